package ash

import (
	"path"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

type builtin = func(s *Shell, args []string) int

// table returns the builtins by their names.
func table() map[string]builtin {
	return map[string]builtin{
		":": succeed, "true": succeed, "false": func(*Shell, []string) int { return 1 },
		".": (*Shell).dot, "source": (*Shell).dot, "eval": (*Shell).eval, "exec": (*Shell).exec, "exit": (*Shell).exit,
		"return": (*Shell).ret, "break": (*Shell).leave, "continue": (*Shell).leave,
		"cd": (*Shell).cd, "pwd": (*Shell).pwd, "chdir": (*Shell).cd,
		"export": (*Shell).export, "readonly": (*Shell).export, "local": (*Shell).local, "unset": (*Shell).unsetNames,
		"set": (*Shell).setParams, "shift": (*Shell).shift, "getopts": (*Shell).getopts,
		"trap": (*Shell).trap, "kill": (*Shell).killJobs, "wait": (*Shell).wait, "jobs": (*Shell).listJobs, "fg": (*Shell).resume, "bg": (*Shell).resume,
		"command": (*Shell).commandBuiltin, "type": (*Shell).typeBuiltin, "hash": succeed,
		"read": (*Shell).read, "echo": (*Shell).echo, "printf": (*Shell).printfBuiltin, "test": (*Shell).test, "[": (*Shell).test, "[[": (*Shell).test,
		"umask": func(s *Shell, args []string) int {
			if len(args) > 1 && strings.TrimLeft(args[1], "0") != "22" {
				s.errorf("only 022 is known to the simulated board")
				return 2
			}
			if len(args) == 1 {
				s.printf("0022\n")
			}
			return 0
		},
	}
}

func succeed(*Shell, []string) int { return 0 }

// Builtin returns a builtin as a program of its own, such as /bin/echo.
func Builtin(name string) func(p *kernel.Process) int {
	return func(p *kernel.Process) int {
		s := newShell(p)
		s.arg0, s.prompted = name, true
		return s.builtins[name](s, p.Args)
	}
}

func (s *Shell) dot(args []string) int {
	if len(args) < 2 {
		s.errorf("filename argument required")
		return 2
	}
	name := args[1]
	if !strings.Contains(name, "/") {
		if p, err := s.lookPath(name); err == nil {
			name = p
		}
	}
	f, err := s.p.K.FS.Open(s.p, name, kernel.ReadOnly, 0)
	if err != nil {
		s.command = "."
		s.fail(2, "can't open '%s': %v", args[1], err)
		return 2
	}
	text, err := readAll(s.p, f)
	f.Release()
	if err != nil {
		s.errorf("%s: %v", name, err)
		return 2
	}
	s.status = 0
	s.calls++
	s.source(text)
	s.calls--
	if s.flow == returning {
		s.flow = onward
	}
	return s.status
}

func (s *Shell) eval(args []string) int {
	s.status = 0
	s.source(strings.Join(args[1:], " "))
	return s.status
}

func (s *Shell) exec(args []string) int {
	if len(args) == 1 {
		return 0
	}
	program, status := s.find(args[1], s.p)
	if program == nil {
		if s.flow = exiting; s.interactive {
			s.flow = aborting
		}
		return status
	}
	s.p.Become(args[1:], s.exported())
	status = program(s.p)
	s.flow = exiting
	delete(s.traps, "EXIT")
	return status
}

// number reads a status or a count.
func (s *Shell) number(arg string) (int, bool) {
	n, err := strconv.Atoi(arg)
	if err != nil || n < 0 {
		s.fail(2, "Illegal number: %s", arg)
		return 2, false
	}
	return n, true
}

func (s *Shell) exit(args []string) int {
	status := s.status
	if len(args) > 1 {
		n, ok := s.number(args[1])
		if !ok {
			return 2
		}
		status = n & 0xff
	}
	s.flow = exiting
	return status
}

func (s *Shell) ret(args []string) int {
	status := s.status
	if len(args) > 1 {
		n, ok := s.number(args[1])
		if !ok {
			return 2
		}
		status = n & 0xff
	}
	s.flow = returning
	if s.calls == 0 {
		s.flow = exiting
		if s.interactive {
			s.flow = aborting
		}
	}
	return status
}

func (s *Shell) leave(args []string) int {
	n := 1
	if len(args) > 1 {
		var ok bool
		if n, ok = s.number(args[1]); !ok || n == 0 {
			return 2
		}
	}
	if s.loops == 0 {
		return 0
	}
	s.levels = min(n, s.loops)
	s.flow = breaking
	if args[0] == "continue" {
		s.flow = continuing
	}
	return 0
}

func (s *Shell) cd(args []string) int {
	dir := s.get("HOME")
	if len(args) > 1 {
		dir = args[1]
	}
	show := dir == "-"
	if show {
		dir = s.get("OLDPWD")
	}
	if dir == "" {
		return 0
	}
	n, err := s.p.K.FS.Stat(s.p, dir, true)
	if err == nil && !n.Mode().IsDir() {
		err = kernel.ENOTDIR
	}
	if err != nil {
		s.errorf("can't cd to %s: %v", dir, err)
		return 2
	}
	at := path.Clean(s.p.Abs(dir))
	s.assign("OLDPWD", s.p.Cwd())
	s.p.Chdir(at)
	s.assign("PWD", at)
	if show {
		s.printf("%s\n", at)
	}
	return 0
}

func (s *Shell) pwd([]string) int {
	s.printf("%s\n", s.p.Cwd())
	return 0
}

func (s *Shell) commandBuiltin(args []string) int {
	rest := args[1:]
	show := false
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		switch rest[0] {
		case "-v", "-V":
			show = true
		case "-p", "--":
		default:
			s.errorf("illegal option %s", rest[0])
			return 2
		}
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return 0
	}
	if show {
		return s.show(rest[0])
	}
	if b, ok := s.builtins[rest[0]]; ok {
		s.command = rest[0]
		return b(s, rest)
	}
	s.command = s.outer
	s.external(rest, nil, nil, false)
	return s.status
}

func (s *Shell) show(name string) int {
	_, isFunc := s.funcs[name]
	_, isBuiltin := s.builtins[name]
	if isFunc || isBuiltin || syntax.IsKeyword(name) {
		s.printf("%s\n", name)
		return 0
	}
	p, err := s.lookPath(name)
	if err == nil {
		_, err = s.p.K.FS.Stat(s.p, p, true)
	}
	if err != nil {
		return 127
	}
	s.printf("%s\n", p)
	return 0
}

func (s *Shell) typeBuiltin(args []string) int {
	status := 0
	for _, name := range args[1:] {
		_, isFunc := s.funcs[name]
		_, isBuiltin := s.builtins[name]
		p, err := s.lookPath(name)
		switch {
		case isFunc:
			s.printf("%s is a function\n", name)
		case isBuiltin && strings.Contains(special, " "+name+" "):
			s.printf("%s is a special shell builtin\n", name)
		case isBuiltin:
			s.printf("%s is a shell builtin\n", name)
		case err == nil:
			s.printf("%s is %s\n", name, p)
		default:
			s.printf("%s: not found\n", name)
			status = 127
		}
	}
	return status
}
