package busybox

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// How long the board may be silent before something is asked again, and how
// often. A board answers in milliseconds; asking too early does no harm.
const (
	answerTime = 2 * time.Second // doubled with each try
	tries      = 5
	// longestAnswer is where the doubling ends.
	longestAnswer = 8 * time.Second
)

// boardFunctions are loaded into the inner shell. They use builtins only.
//
//	_fg      reads one piece of a command, up to the line "#."
//	_fi a b y  adds the piece y to the command (0: starts a new one), reads the
//	           next, calls it a, and prints it back
//	_fr a    adds the last piece, which must be a, and runs the command, once,
//	           between two marks made of a
func boardFunctions() []string {
	return []string{
		`_fg(){ while IFS= read -r _fl;do case $_fl in "#.")break;;"#+"*)_fp=$_fp${_fl#??};;"#-"*)_fp=$_fp$_fw${_fl#??};;esac;done;}`,
		`_fi(){ case $3 in 0)_fc=;_fv=0;;"$_fv");;"$_fy")_fc=$_fc$_fp;_fv=$3;;*)return;;esac;_fy=-;_fp=;_fg;_fy=$1;printf %s "<$1.$2:$_fp:$2.$1>$_fw";}`,
		`_fr(){ [ "$1" = "$_fy" ]||return;_fy=-;_fc=$_fc$_fp;_fd=$1;_fs=;set --;printf %s "<$_fd.$_fd>$_fw";eval "$_fc" </dev/null;_fs=$?;printf %s "<$_fd.$_fd:$_fs:$_fs>$_fw";}`,
	}
}

// converse types text and reads until found says that its answer is there,
// repeating the whole after every answerTime of silence. text must do no harm
// when it is repeated.
func (s *Shell) converse(ctx context.Context, n int, text string, found func(string) bool) error {
	return s.patiently(ctx, n, answerTime, text, found)
}

func (s *Shell) patiently(ctx context.Context, n int, patience time.Duration, text string, found func(string) bool) error {
	for try := 0; ; try++ {
		if err := s.c.Send(ctx, text); err != nil {
			return err
		}
		var got strings.Builder
		var filter kmsgFilter
		var died time.Time
		for {
			chunk, err := s.stream.read(ctx, min(patience<<try, longestAnswer))
			if err != nil {
				return err
			}
			if chunk == "" {
				break
			}
			if s.env.stty {
				rest, _ := filter.feed([]byte(chunk))
				got.Write(rest)
			} else {
				got.WriteString(chunk)
			}
			if found(got.String()) {
				s.stream.alive()
				return nil
			}
			if s.stream.w.dead != omenNone {
				if died.IsZero() {
					died = time.Now()
				} else if time.Since(died) > graceTime {
					return errDead // it goes on talking, as a board that boots does
				}
			}
			if got.Len() > 1<<20 {
				break // a board that never stops talking: ask again, bounded
			}
		}
		if s.stream.w.dead != omenNone {
			return errDead
		}
		if try+1 >= n {
			return ErrShellLost
		}
		s.cfg.log.Warn("busybox: no answer on the console, asking again", "try", try+1)
		if err := s.c.Send(ctx, s.unstick(try)); err != nil {
			return err
		}
	}
}

// unstick is typed before something is typed again: a reader that waits for
// the end of its piece, or a quotation that lost one of its marks, would eat it.
func (s *Shell) unstick(try int) string {
	if s.env.tty {
		return "\x03\n#.\n" // nothing of the caller's is running
	}
	return "\x15" + [...]string{"", `"`, "'"}[try%3] + "\n#.\n"
}

// errDead says that the watch has seen the board die; callers replace it.
var errDead = fmt.Errorf("the board died")

// ask asks the shell for its state, at most n times. before is sent first each time.
func (s *Shell) ask(ctx context.Context, n int, before string) (answer, error) {
	var a answer
	m := newMark()
	err := s.converse(ctx, n, before+m.question(), func(text string) bool {
		var ok bool
		a, _, _, ok = findAnswer([]byte(text), m)
		return ok
	})
	return a, err
}

// outer types a line into the outer shell and returns the value of expr
// behind it.
func (s *Shell) outer(ctx context.Context, line, expr string, want *regexp.Regexp) (string, error) {
	var v string
	m := newMark()
	if line != "" {
		line += "\n"
	}
	err := s.converse(ctx, tries, line+m.value(expr), func(text string) bool {
		var ok bool
		v, ok = findFramed(text, m)
		return ok && want.MatchString(v)
	})
	if err != nil {
		return "", fmt.Errorf("%w to %q", err, strings.TrimSpace(line+expr))
	}
	return v, nil
}

var (
	reNumber = regexp.MustCompile(`^[0-9]+$`)
	reModes  = regexp.MustCompile(`^[0-9a-f:]*$`)
	rePrintk = regexp.MustCompile(`^[0-9 \t]*$`)
	reStdin  = regexp.MustCompile(`^[-/a-zA-Z0-9]*$`)
)

// enter makes the proven shell on the console the outer one: terminal and
// kernel are made quiet, and the inner shell is started in it.
func (s *Shell) enter(ctx context.Context) error {
	s.env = environment{}
	s.stream.w.crlf, s.stream.crlf, s.stream.cr = false, false, false
	// What was there stays in _fo and _fk until it has been put back, also
	// when this runs a second time.
	modes, err := s.outer(ctx, `[ -n "$_fx" ]||{ _fx=1;_fu=$PS1;PS1=;};: ${_fo:=$(stty -g 2>/dev/null)}`, `$_fo`, reModes)
	if err != nil {
		return err
	}
	if modes != "" {
		st, err := s.outer(ctx, `stty -echo -opost`, `$?`, reNumber)
		if err != nil {
			return err
		}
		s.env.stty = st == "0"
	}
	if !s.env.stty {
		s.cfg.log.Warn("busybox: the board has no usable stty; output is cleaned on the host")
	}
	level, err := s.outer(ctx, `: ${_fk:=$(cat /proc/sys/kernel/printk 2>/dev/null)}`, `$_fk`, rePrintk)
	if err != nil {
		return err
	}
	if level != "" {
		st, err := s.outer(ctx, `echo 1 2>/dev/null >/proc/sys/kernel/printk`, `$?`, reNumber)
		if err != nil {
			return err
		}
		s.env.printk = st == "0"
	}
	if !s.env.printk {
		s.cfg.log.Debug("busybox: the kernel's console messages stay as they are: /proc/sys/kernel/printk cannot be written")
	}
	starts, err := s.starters(ctx)
	if err != nil {
		return err
	}
	for _, start := range starts {
		if err = s.inner(ctx, start); !errors.Is(err, errNotInner) {
			break
		}
	}
	if err != nil || s.env.tty {
		return err
	}
	st, err := s.outer(ctx, `(:</dev/tty)2>/dev/null`, `$?`, reNumber)
	if s.env.tty = st == "0"; err == nil && !s.env.tty {
		s.cfg.log.Warn("busybox: the shell has no controlling terminal; a command that hangs cannot be stopped from the console")
	}
	return err
}

// errNotInner says that a way to start the inner shell did not start any.
var errNotInner = errors.New("the inner shell did not start")

// guarded starts the inner shell as a job of a shell that does nothing but wait
// for it, and without job control of its own, so that Ctrl-Z stops it together
// with whatever it runs; what has stopped is killed. There has to be a way to
// end the shell itself: busybox' ash leaves its signal handler by longjmp, so
// that an interrupt at the wrong moment leaves a lock of glibc's held and the
// shell waiting for it for ever; and where an init script has started it in the
// background, it cannot be interrupted at all. An interactive shell ignores
// all other keys.
//
// It says when the inner shell has ended, so that what an outer shell prints
// then, such as bash's control sequences, is not taken for the command's.
// NAME stands for the inner shell's name.
const guarded = `sh -c 'set -m;sh +m -i;_fq=$?;kill -9 %% 2>/dev/null;printf "<%s.%s>" NAME NAME;exit $_fq'`

// starters returns the commands to start the inner shell with, best first.
func (s *Shell) starters(ctx context.Context) ([]string, error) {
	st, err := s.outer(ctx, `(:</dev/tty)2>/dev/null`, `$?`, reNumber)
	if err != nil {
		return nil, err
	}
	if s.env.tty = st == "0"; s.env.tty {
		return []string{guarded, "sh -i"}, nil
	}
	// A session leader that ends hangs up its terminal for everybody who has
	// it open, except through /dev/console: only there the outer shell survives.
	in, err := s.outer(ctx, ``, `$(readlink /proc/self/fd/0)`, reStdin)
	if err != nil {
		return nil, err
	}
	if in == "/dev/console" {
		return []string{"setsid -c " + guarded, "setsid cttyhack " + guarded, "setsid -c sh -i", "setsid cttyhack sh -i", "sh -i"}, nil
	}
	return []string{"sh -i"}, nil
}

// inner starts the inner shell from the outer one and loads it.
func (s *Shell) inner(ctx context.Context, start string) error {
	name := word()
	start = strings.ReplaceAll(start, "NAME", name)
	// _fx is set in the outer shell only, so that these lines may be repeated.
	// ash has what it runs ignore Ctrl-\ as it does itself, unless it is trapped.
	setup := "[ -z \"$_fx\" ]||{ PS1= PS2= ENV= " + start + ";_fq=$?;}\n" +
		"[ -n \"$_fx\" ]||{ _fn=" + name + " _fq= _fd= _fs= _fy=- _fv=- _fc= _fp=;trap : 3;}\n"
	m := newMark()
	var a answer
	err := s.converse(ctx, tries, setup+m.question(), func(text string) bool {
		var ok bool
		a, _, _, ok = findAnswer([]byte(text), m)
		return ok
	})
	if err != nil {
		return fmt.Errorf("%w after starting %q", err, start)
	}
	if a.name != name {
		return fmt.Errorf("%w: %q ended with status %q", errNotInner, start, a.quit)
	}
	s.nonce = name
	if _, err := s.outer(ctx, "_fw='\n'", `${#_fw}`, regexp.MustCompile(`^1$`)); err != nil {
		return err
	}
	lf, err := s.outer(ctx, "", `"$_fw"`, regexp.MustCompile(`^\r*\n$`))
	if err != nil {
		return err
	}
	s.stream.crlf = lf != "\n"
	s.stream.w.crlf = s.env.stty
	for _, f := range boardFunctions() {
		m := newMark()
		load := "IFS= read -r _fl\n" + f + "\nprintf %s \"<" + m.a + `.""` + m.b + `:$_fl:` + m.b + `.""` + m.a + ">\"\n"
		err := s.converse(ctx, tries, load, func(text string) bool {
			got, ok := findFramed(text, m)
			return ok && got == f
		})
		if err != nil {
			return fmt.Errorf("%w to the session's functions", err)
		}
		if _, err := s.outer(ctx, `eval "$_fl"`, `$?`, regexp.MustCompile(`^0$`)); err != nil {
			return err
		}
	}
	s.logged, s.lost = true, false
	return nil
}

// Interactive puts back what Login has changed, in the reverse order: it
// leaves the inner shell, restores the kernel's console messages, echo, output
// processing and with them prompt and line editing, and sends an empty line, so
// that a person who is now attached to the console finds a prompt. Log in again
// with Login before the next command.
//
// The context bounds it, or the command timeout where it has no deadline.
func (s *Shell) Interactive(ctx context.Context) error {
	const op = "interactive"
	if err := s.acquire(ctx, op, ""); err != nil {
		return err
	}
	defer s.release()
	ctx, cancel := bounded(ctx, s.cfg.timeout)
	defer cancel()
	if err := s.ready(ctx, op, ""); err != nil {
		return err
	}
	s.logged = false
	m := newMark()
	err := s.converse(ctx, tries, "[ -z \"$_fn\" ]||exit 0\n"+m.question(), func(text string) bool {
		a, _, _, ok := findAnswer([]byte(text), m)
		return ok && a.name == ""
	})
	if err == nil && s.env.printk {
		_, err = s.outer(ctx, `echo "$_fk">/proc/sys/kernel/printk`, `$?`, regexp.MustCompile(`^0$`))
	}
	if err == nil && s.env.stty {
		_, err = s.outer(ctx, `stty "$_fo"`, `$?`, regexp.MustCompile(`^0$`))
	}
	if err == nil {
		s.env = environment{}
		s.stream.w.crlf, s.stream.crlf, s.stream.cr = false, false, false
		err = s.c.Send(ctx, "PS1=$_fu;unset _fo _fk _fq _fx _fu\n")
	}
	if err != nil {
		return s.explain(op, "", err, "the terminal may still be without echo; type: stty sane")
	}
	s.cfg.log.Debug("busybox: terminal handed over")
	return nil
}
