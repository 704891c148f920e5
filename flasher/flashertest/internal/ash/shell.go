// Package ash is a POSIX shell for the simulated board that behaves like
// busybox's. It parses and expands with mvdan.cc/sh and runs what it has parsed
// by itself: that module's interpreter gives no process numbers that kill knows,
// has no signal traps, and looks at the host's files.
package ash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"mvdan.cc/sh/v3/syntax"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// flow says how control leaves a list of commands.
type flow int

const (
	onward flow = iota
	breaking
	continuing
	returning
	exiting
	aborting // Ctrl-C, or an error that ends the line of an interactive shell
)

type variable struct {
	value    string
	set      bool
	exported bool
	readonly bool
}

// Shell is one shell process.
type Shell struct {
	p        *kernel.Process
	arg0     string
	builtins map[string]builtin

	vars   map[string]variable
	funcs  map[string]*syntax.Stmt
	params []string
	locals []map[string]variable // what `local` has hidden, per function call
	traps  map[string]string

	interactive bool // prompts
	prompted    bool // is an interactive shell or a subshell of one
	control     bool // gives jobs groups of their own
	monitor     bool // is such a shell or a subshell of one
	chosen      bool // somebody has said whether it does
	errExit     bool
	noUnset     bool
	noGlob      bool
	pipeFail    bool
	trace       bool
	noExec      bool
	replace     bool // the next program takes the shell's place

	reading *atomic.Int32 // of an interactive shell: waitsForLine, childEnded, or 0
	jobs    []*job
	ended   []*job // whose status may still be asked for
	lastBg  int
	status  int
	subst   int // status of the last command substitution of a command
	flow    flow
	levels  int // loops to leave
	loops   int
	calls   int // functions and sourced files
	tested  int // inside a condition, where errexit does not count
	trapped bool
	optAt   int    // getopts: place in the word
	line    int    // of the command, for messages
	base    int    // lines of the text that were cut off before the present one
	command string // builtin that complains
	outer   string // the one that has called it
	root    *kernel.Process
}

// Main is the program `sh`.
func Main(p *kernel.Process) int {
	s := newShell(p)
	args := p.Args[1:]
	inline, stdin := false, false
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			break
		}
		for i, c := range arg[1:] {
			switch c {
			case 'c':
				inline = true
			case 'i':
				s.interactive = true
			case 's':
				stdin = true
			case 'l':
			case 'o':
				if len(args) == 0 || !s.setOption(args[0], arg[0] == '-') {
					s.errorf("illegal option -o")
					return 2
				}
				args = args[1:]
			default:
				if !s.setFlag(byte(c), arg[0] == '-') {
					s.errorf("illegal option -%c", arg[1+i])
					return 2
				}
			}
		}
	}
	switch {
	case inline:
		if len(args) == 0 {
			s.errorf("-c requires an argument")
			return 2
		}
		text := args[0]
		if len(args) > 1 {
			s.arg0, s.params = args[1], args[2:]
		}
		s.source(text)
		return s.finish()
	case len(args) > 0 && !stdin:
		f, err := p.K.FS.Open(p, args[0], kernel.ReadOnly, 0)
		if err != nil {
			s.errorf("can't open '%s': %v", args[0], err)
			return 2
		}
		text, err := readAll(p, f)
		f.Release()
		if err != nil {
			s.errorf("%s: %v", args[0], err)
			return 2
		}
		s.arg0, s.params = args[0], args[1:]
		s.source(text)
		return s.finish()
	}
	s.params = args
	if f := p.FDs.Get(0); f != nil && IsTerminal(f) {
		s.interactive = true
	}
	return s.interact()
}

// IsTerminal reports whether a file is the terminal.
func IsTerminal(f *kernel.File) bool {
	return f != nil && f.Inode != nil && f.Inode.Dev[0] != 0 && (f.Inode.Dev[0] == 4 || f.Inode.Dev[0] == 5 || f.Inode.Dev[0] == 204)
}

func readAll(p *kernel.Process, f *kernel.File) (string, error) {
	var b strings.Builder
	buf := make([]byte, 16<<10)
	for {
		n, err := f.Read(p, buf)
		b.Write(buf[:n])
		if err != nil {
			if err.Error() == "EOF" {
				return b.String(), nil
			}
			return b.String(), err
		}
	}
}

func newShell(p *kernel.Process) *Shell {
	s := &Shell{p: p, root: p, builtins: table(), arg0: p.Args[0], vars: map[string]variable{}, funcs: map[string]*syntax.Stmt{}, traps: map[string]string{}}
	s.arg0 = strings.TrimPrefix(s.arg0, "-")
	for _, d := range [][2]string{{"IFS", " \t\n"}, {"PS1", `\w \$ `}, {"PS2", "> "}, {"PS4", "+ "}, {"OPTIND", "1"}} {
		s.vars[d[0]] = variable{value: d[1], set: true}
	}
	for name, v := range p.Env {
		if name != "IFS" {
			s.vars[name] = variable{value: v, set: true, exported: true}
		}
	}
	s.vars["PWD"] = variable{value: p.Cwd(), set: true, exported: s.vars["PWD"].exported}
	if !s.vars["PATH"].set {
		s.vars["PATH"] = variable{value: "/sbin:/usr/sbin:/bin:/usr/bin", set: true}
	}
	return s
}

// subshell is a copy of s that runs in the process p.
func (s *Shell) subshell(p *kernel.Process) *Shell {
	c := *s
	c.p = p
	c.vars, c.funcs = maps.Clone(s.vars), maps.Clone(s.funcs)
	c.params = slices.Clone(s.params)
	c.locals = nil
	for _, l := range s.locals {
		c.locals = append(c.locals, maps.Clone(l))
	}
	c.traps = map[string]string{}
	for sig, action := range s.traps {
		if action == "" {
			c.traps[sig] = ""
		}
	}
	c.jobs, c.ended, c.reading = nil, nil, nil
	c.interactive, c.control, c.trapped = false, false, false
	c.flow, c.loops, c.replace = onward, 0, false
	if s.interactive {
		p.Ignore(kernel.SIGQUIT, s.traps["QUIT"] == "" && has(s.traps, "QUIT"))
		p.Ignore(kernel.SIGTERM, s.traps["TERM"] == "" && has(s.traps, "TERM"))
		p.Ignore(kernel.SIGTSTP, false)
	}
	return &c
}

func has(m map[string]string, k string) bool { _, ok := m[k]; return ok }

// finish runs the exit trap and returns the status.
func (s *Shell) finish() int {
	if action := s.traps["EXIT"]; action != "" && !s.p.Killed() {
		delete(s.traps, "EXIT")
		status := s.status
		s.flow = onward
		s.trapped = true
		s.source(action)
		if s.flow != exiting {
			s.status = status
		}
	}
	return s.status
}

// dead reports whether the process must end now.
func (s *Shell) dead() bool { return s.p.Killed() }

// stopped reports whether the list of commands is to be left.
func (s *Shell) stopped() bool { return s.flow != onward || s.dead() }

// printf prints on standard output.
func (s *Shell) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(s.p.Stream(1), format, args...)
	return err
}

// source runs a text. Where it is not correct, what is complete before the
// mistake is run first.
func (s *Shell) source(text string) {
	line, base := s.line, s.base
	defer func() { s.line, s.base = line, base }()
	s.base = 0
	f, err := newParser().Parse(strings.NewReader(text), "")
	if err == nil {
		s.stmts(f.Stmts)
		return
	}
	var chunk strings.Builder
	read := 0
	for l := range strings.Lines(text) {
		chunk.WriteString(l)
		read++
		f, err := newParser().Parse(strings.NewReader(chunk.String()), "")
		switch {
		case err == nil && complete(chunk.String()):
			s.stmts(f.Stmts)
			if s.stopped() {
				return
			}
			s.base = read
			chunk.Reset()
		case err != nil && complete(chunk.String()):
			s.syntaxError(chunk.String(), err)
			return
		}
	}
	if chunk.Len() > 0 {
		_, err := newParser().Parse(strings.NewReader(chunk.String()), "")
		s.syntaxError(chunk.String(), err)
	}
}

func newParser() *syntax.Parser { return syntax.NewParser(syntax.Variant(syntax.LangPOSIX)) }

// runTraps runs what was asked for on the signals that have come.
func (s *Shell) runTraps() {
	if s.trapped {
		return
	}
	for _, sig := range s.p.Caught() {
		name := signalNames[sig]
		action, ok := s.traps[name]
		if !ok || action == "" {
			continue
		}
		s.p.Renew()
		status := s.status
		s.trapped = true
		s.source(action)
		s.trapped = false
		if s.flow == onward {
			s.status = status
		}
	}
}

// param returns the value of a variable or a special parameter.
func (s *Shell) param(name string) (v string, set bool) {
	switch name {
	case "@", "*":
		return strings.Join(s.params, " "), len(s.params) > 0
	case "#":
		return fmt.Sprint(len(s.params)), true
	case "?":
		return fmt.Sprint(s.status), true
	case "$":
		return fmt.Sprint(s.root.PID), true
	case "!":
		return fmt.Sprint(s.lastBg), s.lastBg != 0
	case "-":
		return s.flags(), true
	case "0":
		return s.arg0, true
	case "PPID":
		return fmt.Sprint(s.root.PPID), true
	case "LINENO":
		return fmt.Sprint(s.line), true
	}
	if name[0] >= '1' && name[0] <= '9' {
		n, err := strconv.Atoi(name)
		if err != nil || n > len(s.params) {
			return "", false
		}
		return s.params[n-1], true
	}
	known := s.vars[name]
	return known.value, known.set
}

var errReadonly = errors.New("is read only")

func (s *Shell) assign(name, value string) error {
	v := s.vars[name]
	if v.readonly {
		return fmt.Errorf("%s: %w", name, errReadonly)
	}
	v.value, v.set = value, true
	s.vars[name] = v
	return nil
}

func (s *Shell) unset(name string) error {
	if s.vars[name].readonly {
		return fmt.Errorf("%s: %w", name, errReadonly)
	}
	delete(s.vars, name)
	return nil
}

func (s *Shell) get(name string) string { return s.vars[name].value }

// exported is the environment for a program.
func (s *Shell) exported() map[string]string {
	env := map[string]string{}
	for name, v := range s.vars {
		if v.exported && v.set {
			env[name] = v.value
		}
	}
	return env
}

func (s *Shell) context() context.Context { return s.p.Context() }
