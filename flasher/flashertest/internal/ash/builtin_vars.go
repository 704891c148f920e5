package ash

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Quote writes a value as `export -p` and `set` do.
func quoted(v string) string { return "'" + strings.ReplaceAll(v, "'", `'"'"'`) + "'" }

func (s *Shell) export(args []string) int {
	names := args[1:]
	if len(names) > 0 && names[0] == "-p" {
		names = names[1:]
	}
	if len(names) == 0 {
		for _, name := range slices.Sorted(maps.Keys(s.vars)) {
			if v := s.vars[name]; args[0] == "export" && v.exported || args[0] == "readonly" && v.readonly {
				if v.set {
					s.printf("%s %s=%s\n", args[0], name, quoted(v.value))
				} else {
					s.printf("%s %s\n", args[0], name)
				}
			}
		}
		return 0
	}
	for _, arg := range names {
		name, value, has := strings.Cut(arg, "=")
		if !syntax.ValidName(name) {
			s.fail(2, "%s: bad variable name", name)
			return 2
		}
		if has && !s.set(name, value) {
			return 2
		}
		v := s.vars[name]
		v.exported = v.exported || args[0] == "export"
		v.readonly = v.readonly || args[0] == "readonly"
		s.vars[name] = v
	}
	return 0
}

func (s *Shell) local(args []string) int {
	if len(s.locals) == 0 {
		s.fail(2, "not in a function")
		return 2
	}
	hidden := s.locals[len(s.locals)-1]
	for _, arg := range args[1:] {
		name, value, has := strings.Cut(arg, "=")
		if _, known := hidden[name]; !known {
			hidden[name] = s.vars[name]
		}
		if has && !s.set(name, value) {
			return 2
		}
	}
	return 0
}

func (s *Shell) unsetNames(args []string) int {
	funcs := false
	for _, name := range args[1:] {
		switch {
		case name == "-f":
			funcs = true
		case name == "-v":
			funcs = false
		case funcs:
			delete(s.funcs, name)
		default:
			if err := s.unset(name); err != nil {
				s.fail(2, "%v", err)
				return 2
			}
		}
	}
	return 0
}

// flags is $-.
func (s *Shell) flags() string {
	out := ""
	for _, f := range []struct {
		on bool
		c  string
	}{{s.noUnset, "u"}, {s.trace, "x"}, {s.prompted, "s"}, {s.noExec, "n"}, {s.monitor, "m"}, {s.prompted, "i"}, {s.noGlob, "f"}, {s.errExit, "e"}} {
		if f.on {
			out += f.c
		}
	}
	return out
}

func (s *Shell) setFlag(c byte, on bool) bool {
	switch c {
	case 'e':
		s.errExit = on
	case 'u':
		s.noUnset = on
	case 'f':
		s.noGlob = on
	case 'x':
		s.trace = on
	case 'n':
		s.noExec = on
	case 'm':
		s.control = on && s.p.K.TTY.Control()
		s.monitor, s.chosen = s.control, true
	default:
		return false
	}
	return true
}

func (s *Shell) setOption(name string, on bool) bool {
	switch name {
	case "errexit":
		s.errExit = on
	case "nounset":
		s.noUnset = on
	case "noglob":
		s.noGlob = on
	case "xtrace":
		s.trace = on
	case "pipefail":
		s.pipeFail = on
	case "monitor":
		return s.setFlag('m', on)
	default:
		return false
	}
	return true
}

func (s *Shell) setParams(args []string) int {
	rest := args[1:]
	if len(rest) == 0 {
		for _, name := range slices.Sorted(maps.Keys(s.vars)) {
			if v := s.vars[name]; v.set {
				s.printf("%s=%s\n", name, quoted(v.value))
			}
		}
		return 0
	}
	for len(rest) > 0 {
		arg := rest[0]
		if arg == "--" {
			s.params = slices.Clone(rest[1:])
			return 0
		}
		if len(arg) < 2 || arg[0] != '-' && arg[0] != '+' {
			break
		}
		rest = rest[1:]
		for i := 1; i < len(arg); i++ {
			if arg[i] == 'o' {
				if len(rest) == 0 || !s.setOption(rest[0], arg[0] == '-') {
					s.errorf("illegal option %co %s", arg[0], strings.Join(rest[:min(1, len(rest))], ""))
					return 1
				}
				rest = rest[1:]
			} else if !s.setFlag(arg[i], arg[0] == '-') {
				s.fail(2, "illegal option %c%c", arg[0], arg[i])
				return 2
			}
		}
	}
	if len(rest) > 0 {
		s.params = slices.Clone(rest)
	}
	return 0
}

func (s *Shell) shift(args []string) int {
	n := 1
	if len(args) > 1 {
		var ok bool
		if n, ok = s.number(args[1]); !ok {
			return 2
		}
	}
	if n > len(s.params) {
		return 1
	}
	s.params = s.params[n:]
	return 0
}

func (s *Shell) getopts(args []string) int {
	if len(args) < 3 {
		s.errorf("usage: getopts optstring var [arg]")
		return 2
	}
	words := s.params
	if len(args) > 3 {
		words = args[3:]
	}
	at, _ := strconv.Atoi(s.get("OPTIND"))
	end := func() int { s.assign(args[2], "?"); return 1 }
	if at < 1 || at > len(words) || !strings.HasPrefix(words[at-1], "-") || words[at-1] == "-" {
		return end()
	}
	word := words[at-1]
	if word == "--" {
		s.assign("OPTIND", fmt.Sprint(at+1))
		return end()
	}
	if s.optAt < 1 || s.optAt >= len(word) {
		s.optAt = 1
	}
	c := word[s.optAt]
	s.optAt++
	next := func() {
		at++
		s.optAt = 1
	}
	i := strings.IndexByte(args[1], c)
	switch {
	case i < 0 || c == ':':
		s.assign(args[2], "?")
		fmt.Fprintf(s.p.Stream(2), "Illegal option -%c\n", c)
	case i+1 < len(args[1]) && args[1][i+1] == ':':
		value := word[s.optAt:]
		if value == "" && at < len(words) {
			value = words[at]
			at++
		}
		next()
		s.assign("OPTARG", value)
		s.assign(args[2], string(c))
		s.assign("OPTIND", fmt.Sprint(at))
		return 0
	default:
		s.assign(args[2], string(c))
	}
	if s.optAt >= len(word) {
		next()
	}
	s.assign("OPTIND", fmt.Sprint(at))
	return 0
}
