package ash

import (
	"io"
	"strings"
	"sync/atomic"

	"mvdan.cc/sh/v3/syntax"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// interact reads commands from standard input until its end.
func (s *Shell) interact() int {
	tty := s.p.K.TTY
	s.prompted = s.interactive
	if s.interactive {
		s.p.Catch(kernel.SIGINT, true)
		s.p.Ignore(kernel.SIGQUIT, true)
		s.p.Ignore(kernel.SIGTERM, true)
		if !s.chosen && tty.Control() && IsTerminal(s.p.FDs.Get(0)) {
			s.control, s.monitor = true, true
		}
		if s.control {
			before := tty.Foreground()
			s.p.Ignore(kernel.SIGTSTP, true)
			s.p.SetPGID(s.p.PID)
			tty.SetForeground(s.p.PID)
			defer func() { tty.SetForeground(before) }()
		}
	}
	if s.interactive {
		s.reading = new(atomic.Int32)
		s.printf("%s", banner)
	}
	in := &input{s: s, buf: make([]byte, 1023)}
	for {
		s.p.Renew()
		if s.flow == exiting || s.dead() {
			return s.finish()
		}
		s.flow, s.loops, s.tested, s.calls, s.command, s.trapped = onward, 0, 0, 0, "", false
		s.runTraps()
		s.reap()
		text, err := in.command()
		switch {
		case err == io.EOF && text == "":
			if s.interactive && IsTerminal(s.p.FDs.Get(0)) {
				s.printf("\n")
			}
			return s.finish()
		case err == kernel.EINTR && s.interactive && !s.dead():
			in.pending = nil
			s.interrupt()
			continue
		case err != nil && err != io.EOF:
			return s.finish()
		}
		s.line = 0
		s.source(text)
		if s.interrupted() {
			s.interrupt()
		}
		if s.flow == aborting {
			s.flow = onward
		}
	}
}

// interrupt goes on after Ctrl-C.
func (s *Shell) interrupt() {
	s.p.Renew()
	if s.traps["INT"] == "" {
		s.p.Caught()
	}
	s.status, s.flow = 130, onward
	s.printf("\n")
}

// banner is what an interactive shell says first.
const banner = "\n\nBusyBox v1.35.0 (simulated) built-in shell (ash)\nEnter 'help' for a list of built-in commands.\n\n"

// interrupted reports whether Ctrl-C has ended the present line.
func (s *Shell) interrupted() bool {
	return s.interactive && s.traps["INT"] == "" && (s.p.Context().Err() != nil || s.flow == aborting && s.status == 130)
}

// input is standard input cut into complete commands.
type input struct {
	s       *Shell
	buf     []byte
	pending []byte
	eof     bool
}

// command reads lines until they are a complete command, or cannot become one.
func (in *input) command() (string, error) {
	var text strings.Builder
	prompt := "PS1"
	for {
		line, err := in.line(prompt)
		if err != nil && err != io.EOF {
			return "", err
		}
		text.WriteString(line)
		if err == io.EOF || complete(text.String()) {
			if text.Len() > 0 {
				err = nil
			}
			return text.String(), err
		}
		prompt = "PS2"
	}
}

func complete(text string) bool {
	trimmed := strings.TrimSuffix(text, "\n")
	slashes := len(trimmed) - len(strings.TrimRight(trimmed, `\`))
	_, err := newParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return !syntax.IsIncomplete(err) && !strings.Contains(err.Error(), "unclosed here-document") && !strings.Contains(err.Error(), "without closing quote")
	}
	if slashes%2 == 1 {
		last := trimmed[strings.LastIndexByte(trimmed, '\n')+1:]
		return strings.HasPrefix(strings.TrimSpace(last), "#")
	}
	return true
}

// line returns the next line with its line feed. Each piece of at most 1023
// characters that is read from a terminal is asked for with a prompt.
func (in *input) line(prompt string) (string, error) {
	for {
		if i := strings.IndexByte(string(in.pending), '\n'); i >= 0 {
			line := string(in.pending[:i+1])
			in.pending = in.pending[i+1:]
			return line, nil
		}
		if in.eof {
			line := string(in.pending)
			in.pending = nil
			return line, io.EOF
		}
		if in.s.interactive {
			in.s.printf("%s", in.s.prompt(prompt))
		}
		n, err := in.read()
		in.pending = append(in.pending, in.buf[:n]...)
		if err == io.EOF {
			in.eof = true
			// ^D ends a terminal's input only for the moment.
			if IsTerminal(in.s.p.FDs.Get(0)) {
				in.eof = false
				line := string(in.pending)
				in.pending = nil
				return line, io.EOF
			}
			continue
		}
		if err != nil {
			return "", err
		}
	}
}

// What a shell's reading says.
const (
	waitsForLine = 1
	childEnded   = 2
)

// read reads from standard input. Without line editing busybox takes it for the
// end of the input when a background job's end interrupts it (seen with 1.35).
func (in *input) read() (int, error) {
	s := in.s
	if s.reading == nil || !IsTerminal(s.p.FDs.Get(0)) {
		return s.p.Stream(0).Read(in.buf)
	}
	s.reading.Store(waitsForLine)
	n, err := s.p.Stream(0).Read(in.buf)
	if s.reading.Swap(0) != childEnded {
		return n, err
	}
	s.p.Renew()
	if n == 0 && err == kernel.EINTR {
		err = io.EOF
	}
	return n, err
}

// prompt expands PS1 or PS2.
func (s *Shell) prompt(name string) string {
	v := s.get(name)
	if !strings.Contains(v, `\`) {
		return v
	}
	cwd := s.get("PWD")
	if home := s.get("HOME"); home != "" && home != "/" && (cwd == home || strings.HasPrefix(cwd, home+"/")) {
		cwd = "~" + cwd[len(home):]
	}
	base := cwd[strings.LastIndexByte(cwd, '/')+1:]
	if base == "" {
		base = cwd
	}
	return strings.NewReplacer(`\w`, cwd, `\W`, base, `\h`, s.hostname(), `\u`, "root", `\$`, "#", `\n`, "\n", `\\`, `\`, `\[`, "", `\]`, "").Replace(v)
}

func (s *Shell) hostname() string {
	f, err := s.p.K.FS.Open(s.p, "/proc/sys/kernel/hostname", kernel.ReadOnly, 0)
	if err != nil {
		return "(none)"
	}
	defer f.Release()
	text, _ := readAll(s.p, f)
	return strings.TrimSpace(text)
}

// reap tells about background jobs that have ended, and forgets them.
func (s *Shell) reap() {
	kept := s.jobs[:0]
	for _, j := range s.jobs {
		if !j.done() {
			kept = append(kept, j)
			continue
		}
		if s.control {
			s.report(j)
		}
		s.ended = append(s.ended, j)
		if len(s.ended) > 100 {
			s.ended = s.ended[1:]
		}
	}
	s.jobs = kept
}
