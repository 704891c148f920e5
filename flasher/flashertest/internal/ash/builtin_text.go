package ash

import (
	"io"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/syntax"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

func (s *Shell) write(text string) int {
	if _, err := io.WriteString(s.p.Stream(1), text); err != nil && err != kernel.EINTR {
		if err != kernel.EPIPE {
			s.plainf("write error: %v", err)
		}
		return 1
	}
	return 0
}

func (s *Shell) echo(args []string) int {
	args = args[1:]
	end, escapes := "\n", false
options:
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		for _, c := range args[0][1:] {
			if c != 'n' && c != 'e' && c != 'E' {
				break options
			}
		}
		for _, c := range args[0][1:] {
			switch c {
			case 'n':
				end = ""
			default:
				escapes = c == 'e'
			}
		}
		args = args[1:]
	}
	text := strings.Join(args, " ")
	if escapes {
		var stop bool
		if text, stop = unescape(text, true); stop {
			end = ""
		}
	}
	return s.write(text + end)
}

// unescape replaces backslash sequences; with zero an octal number starts with
// \0, as in echo -e and %b. stop is \c.
func unescape(text string, zero bool) (out string, stop bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		const plain, meant = `abfnrtv\`, "\a\b\f\n\r\t\v\\"
		c := text[i]
		switch j := strings.IndexByte(plain, c); {
		case j >= 0:
			b.WriteByte(meant[j])
		case c == 'c':
			return b.String(), true
		case c == 'x':
			n := 0
			for n < 2 && i+1+n < len(text) && strings.IndexByte("0123456789abcdefABCDEF", text[i+1+n]) >= 0 {
				n++
			}
			if n == 0 {
				b.WriteString(`\x`)
				break
			}
			v, _ := strconv.ParseUint(text[i+1:i+1+n], 16, 8)
			b.WriteByte(byte(v))
			i += n
		case c >= '0' && c <= '7':
			digits := 3
			if zero && c == '0' {
				i++
			}
			n := 0
			for n < digits && i+n < len(text) && text[i+n] >= '0' && text[i+n] <= '7' {
				n++
			}
			v, _ := strconv.ParseUint("0"+text[i:i+n], 8, 16)
			b.WriteByte(byte(v))
			i += n - 1
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String(), false
}

func (s *Shell) printfBuiltin(args []string) int {
	if len(args) > 1 && args[1] == "--" {
		args = args[1:]
	}
	if len(args) < 2 {
		s.errorf("usage: printf FORMAT [ARG]...")
		return 2
	}
	f := &formatter{s: s, args: args[2:]}
	for {
		before := len(f.args)
		if f.once(args[1]); f.stop || len(f.args) == 0 || len(f.args) == before {
			break
		}
	}
	if st := s.write(f.out.String()); st != 0 {
		return st
	}
	return f.status
}

type formatter struct {
	s      *Shell
	args   []string
	out    strings.Builder
	stop   bool
	status int
}

func (f *formatter) next() (string, bool) {
	if len(f.args) == 0 {
		return "", false
	}
	a := f.args[0]
	f.args = f.args[1:]
	return a, true
}

// once goes through the format one time.
func (f *formatter) once(format string) {
	for i := 0; i < len(format) && !f.stop; i++ {
		switch {
		case format[i] == '\\':
			j := i + 1
			for j < len(format) && j < i+4 && strings.IndexByte("01234567xabcdefABCDEFnrtv\\89", format[j]) >= 0 {
				if j > i+1 && (format[i+1] < '0' || format[i+1] > '7') && format[i+1] != 'x' {
					break
				}
				j++
			}
			text, stop := unescape(format[i:max(j, min(i+2, len(format)))], false)
			f.out.WriteString(text)
			f.stop = stop
			i = max(j, min(i+2, len(format))) - 1
		case format[i] != '%':
			f.out.WriteByte(format[i])
		case i+1 < len(format) && format[i+1] == '%':
			f.out.WriteByte('%')
			i++
		default:
			i = f.directive(format, i)
		}
	}
}

// directive formats one argument and returns the last index that it used.
func (f *formatter) directive(format string, i int) int {
	spec := "%"
	for i++; i < len(format) && strings.IndexByte("-+ #0123456789.*", format[i]) >= 0; i++ {
		if format[i] == '*' {
			w, _ := f.next()
			n, _ := strconv.Atoi(w)
			spec += strconv.Itoa(n)
			continue
		}
		spec += string(format[i])
	}
	for i < len(format) && strings.IndexByte("hlLqjzt", format[i]) >= 0 {
		i++
	}
	if i == len(format) {
		f.s.plainf("%s: invalid format", format)
		f.status, f.stop = 1, true
		return i
	}
	switch c := format[i]; c {
	case 's', 'b':
		v, _ := f.next()
		if c == 'b' {
			v, f.stop = unescape(v, true)
		}
		f.out.WriteString(padded(spec, v))
	case 'c':
		v, _ := f.next()
		f.out.WriteString(padded(spec, v[:min(1, len(v))]))
	case 'd', 'i', 'u', 'x', 'X', 'o':
		v, _ := f.next()
		n := f.number(v)
		if c == 'i' || c == 'u' {
			c = 'd'
		}
		f.out.WriteString(sprint(spec+string(c), n))
	default:
		f.s.plainf("%s: invalid format", format)
		f.status, f.stop = 1, true
	}
	return i
}

func (f *formatter) number(v string) int64 {
	if v == "" {
		return 0
	}
	if (v[0] == '"' || v[0] == '\'') && len(v) > 1 {
		return int64(v[1])
	}
	n, err := strconv.ParseInt(v, 0, 64)
	if err != nil {
		f.s.plainf("invalid number '%s'", v)
		f.status = 1
	}
	return n
}

// read reads one line, byte by byte, so that what follows is left to others.
func (s *Shell) read(args []string) int {
	raw, silent := false, false
	prompt, fd := "", 0
	var timeout time.Duration
	limit := -1
	args = args[1:]
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		flags := args[0][1:]
		args = args[1:]
		for j := 0; j < len(flags); j++ {
			value := func() string {
				v := flags[j+1:]
				j = len(flags)
				if v == "" && len(args) > 0 {
					v, args = args[0], args[1:]
				}
				return v
			}
			switch flags[j] {
			case 'r':
				raw = true
			case 's':
				silent = true
			case 'p':
				prompt = value()
			case 't':
				sec, _ := strconv.ParseFloat(value(), 64)
				timeout = time.Duration(sec * float64(time.Second))
			case 'n':
				limit, _ = strconv.Atoi(value())
			case 'u':
				fd, _ = strconv.Atoi(value())
			default:
				s.errorf("illegal option -%c", flags[j])
				return 2
			}
		}
	}
	if prompt != "" && IsTerminal(s.p.FDs.Get(fd)) {
		io.WriteString(s.p.Stream(2), prompt)
	}
	tty := s.p.K.TTY
	if silent && IsTerminal(s.p.FDs.Get(fd)) {
		before := tty.Termios()
		quiet := before
		quiet.Lflag &^= kernel.ECHO
		tty.SetTermios(quiet, false)
		defer tty.SetTermios(before, false)
	}
	if timeout > 0 {
		t := time.AfterFunc(timeout, s.p.Interrupt)
		defer s.p.Renew()
		defer t.Stop()
	}
	var line strings.Builder
	status := 0
	one := make([]byte, 1)
	escaped := false
	for limit < 0 || line.Len() < limit {
		n, err := s.p.Stream(fd).Read(one)
		if n == 0 || err != nil {
			status = 1
			if err != nil && err != io.EOF && timeout == 0 {
				status = 130
			}
			break
		}
		c := one[0]
		if c == 0 {
			continue
		}
		if !raw && escaped {
			escaped = false
			if c == '\n' {
				str := line.String()
				line.Reset()
				line.WriteString(str[:len(str)-1])
				continue
			}
		} else if !raw && c == '\\' {
			escaped = true
		} else if c == '\n' {
			break
		}
		line.WriteByte(c)
	}
	for _, name := range args {
		if !syntax.ValidName(name) {
			s.fail(2, "%s: bad variable name", name)
			return 2
		}
	}
	if len(args) == 0 {
		args = []string{"REPLY"}
	}
	rest := line.String()
	for i, name := range args {
		var v string
		if v, rest = s.cutField(rest, raw, i == len(args)-1); !s.set(name, v) {
			return 2
		}
	}
	return status
}

// cutField takes the first field off a line that was read; the last variable
// gets all that is left, without white space around it.
func (s *Shell) cutField(line string, raw, last bool) (field, rest string) {
	ifs := " \t\n"
	if set := s.vars["IFS"]; set.set {
		ifs = set.value
	}
	white := func(c byte) bool {
		return (c == ' ' || c == '\t' || c == '\n') && strings.IndexByte(ifs, c) >= 0
	}
	for line != "" && white(line[0]) {
		line = line[1:]
	}
	var b []byte
	keep := 0 // bytes that a backslash protects from being cut off the end
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case !raw && c == '\\':
			if i++; i < len(line) {
				b = append(b, line[i])
				keep = len(b)
			}
		case !last && strings.IndexByte(ifs, c) >= 0:
			i++
			for blank := white(c); i < len(line) && (white(line[i]) || blank && strings.IndexByte(ifs, line[i]) >= 0); i++ {
				blank = blank && white(line[i])
			}
			return string(b), line[i:]
		default:
			b = append(b, c)
		}
	}
	for len(b) > keep && white(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	// One delimiter at the end of the last field counts for nothing.
	if last && len(b) > keep && strings.IndexByte(ifs, b[len(b)-1]) >= 0 && strings.Count(string(b), string(b[len(b)-1])) == 1 {
		b = b[:len(b)-1]
	}
	return string(b), ""
}
