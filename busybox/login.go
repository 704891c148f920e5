package busybox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/dutflash/dutflash/transport/console"
)

const (
	settleTime  = 250 * time.Millisecond // a prompt is the end of what the board has to say
	refuseTime  = 2 * time.Second        // ... and a login prompt that cannot be answered certainly is
	firstNudge  = 3 * time.Second        // silence before the first key is pressed
	bootNudge   = 10 * time.Second       // ... while a boot loader or a kernel was the last to speak
	bootNudges  = 3                      // single keys then, before anything longer is typed
	longNudge   = 10 * time.Second       // and the longest later
	refusedTime = 6 * time.Second        // login waits for three seconds before it refuses
	maxRefusals = 2                      // a key may have been lost in the first
	loginText   = 16 << 10               // bytes of boot log that are looked at together
	hintText    = 2 << 10                // and for a prompt at the end of it
)

var (
	reActivate = regexp.MustCompile(`(?i)press enter to activate this console`)
	rePassword = regexp.MustCompile(`(?i)password( for [^:\n]*)?: ?$`)
	reRefused  = regexp.MustCompile(`(?i)login incorrect|authentication fail|access denied|login failed`)
	reShell    = regexp.MustCompile(`[#$%>]$`) // a guess that costs one question
	reBooting  = regexp.MustCompile(`^(?:\[ {0,6}\d{1,9}\.\d{6}\]|Starting kernel|EFI stub:|Uncompressing Linux|Loading |## )`)
	reKernel   = regexp.MustCompile(`\[ {0,6}\d{1,9}\.\d{6}\](?:\[ *[TC]\d+\])? [^\n]*\r?\n`)
)

// Login waits until the board has booted, logs in, proves the shell, and makes
// it ready for commands. It may be called at any time: before the kernel
// prints its first line, at a login prompt, in a shell that is there already,
// and again after a reset or after [Shell.Interactive].
//
// ctx is the deadline; without one it is three minutes. The errors:
// [ErrLoginIncorrect], [ErrLoginRequired], [ErrPanic], [ErrReset] (the board
// started twice), the Err of a [Failure], ctx's own with the last console lines
// where no shell has answered, and [ErrShellLost] where one did and then fell silent.
func (s *Shell) Login(ctx context.Context) error {
	const op = "login"
	if err := s.acquire(ctx, op, ""); err != nil {
		return err
	}
	defer s.release()
	ctx, cancel := bounded(ctx, defaultLoginTimeout)
	defer cancel()
	s.logged, s.lost, s.env = false, false, environment{}
	s.setDead(nil)
	s.stream.reset()
	if s.cfg.booted {
		s.stream.w.last, s.cfg.booted = omenHandedOver, false
	}
	began := time.Now()
	if err := s.reach(ctx); err != nil {
		return err
	}
	s.cfg.log.Debug("busybox: a shell answers", "after", time.Since(began))
	s.stream.w = watch{last: omenSession}
	if err := s.surface(ctx); err != nil {
		return s.explain(op, "", err, "a shell answered once and then no more; log in again, or power-cycle the board")
	}
	if err := s.enter(ctx); err != nil {
		return s.explain(op, "", err, "the shell could not be made ready for commands; log in again, or power-cycle the board")
	}
	s.cfg.log.Debug("busybox: session ready", "after", time.Since(began),
		"quiet", s.env.stty, "ctrl-c", s.env.tty, "kernel messages off", s.env.printk)
	return nil
}

// surface leaves inner shells that an earlier session has left behind.
func (s *Shell) surface(ctx context.Context) error {
	for {
		a, err := s.ask(ctx, tries, "")
		if err != nil || a.name == "" {
			return err
		}
		if err := s.c.Send(ctx, "exit 0\n"); err != nil {
			return err
		}
	}
}

// proof is a sum that only a POSIX shell works out: U-Boot's echo knows
// variables and quotes, but no arithmetic.
type proof struct {
	m    mark
	a, b int
}

func newProof() proof { return proof{newMark(), 1000 + rand.IntN(9000), 1000 + rand.IntN(9000)} }

func (p proof) ask() string { return p.m.value(fmt.Sprintf("$((%d+%d))", p.a, p.b)) }

func (p proof) in(text string) bool {
	v, ok := findFramed(text, p.m)
	return ok && v == fmt.Sprint(p.a+p.b)
}

// approach is how far the way to the shell has been gone.
type approach struct {
	text     string // since the last thing that was typed
	lines    string // the line that failures are looked for in
	user     bool   // the user name has been typed
	refusals int
	proofs   int
	nudges   int
	nudge    time.Duration
	ignored  int // how often something was typed since the board last said anything
}

// reach gets from whatever the board is doing to a shell that has answered.
func (s *Shell) reach(ctx context.Context) error {
	const op = "login"
	p := newProof()
	ap := approach{nudge: firstNudge}
	answers := "" // everything since the first proof, bounded
	wait := ap.nudge
	typed := func(t string) error {
		ap.text = ""
		ap.ignored++
		if err := s.c.Send(ctx, t); err != nil {
			return s.unreached(ctx, err, ap)
		}
		return nil
	}
	prove := func() error {
		ap.proofs++
		before := "\x15" // whatever has been typed before
		if ap.proofs > 2 {
			before = "\x03\x15" // also an open quotation
		}
		return typed(before + p.ask())
	}
	for {
		text, err := s.stream.read(ctx, wait)
		if err != nil {
			return s.unreached(ctx, err, ap)
		}
		if text != "" {
			ap.ignored = 0
		}
		if s.stream.w.dead != omenNone {
			return s.died(op, "")
		}
		if err := s.failure(&ap, text); err != nil {
			return err
		}
		ap.text = lastBytes(ap.text+text, loginText)
		if answers = lastBytes(answers+text, loginText); ap.proofs > 0 && p.in(reKernel.ReplaceAllString(answers, "")) {
			return nil
		}
		if ap.user && reRefused.MatchString(ap.text) {
			ap.user, ap.text = false, ap.text[reRefused.FindStringIndex(ap.text)[1]:]
			if ap.refusals++; ap.refusals >= maxRefusals {
				return s.fail(op, "", ErrLoginIncorrect, "user name %q was refused %d times; look at login.username and login.password in the manifest", s.cfg.login.Username, ap.refusals)
			}
		}
		quiet := text == ""
		hint := s.hint(ap.text)
		if hint == hintNone && ap.nudges > 0 && console.Clean(ap.text[strings.LastIndexByte(ap.text, '\n')+1:]) != "" {
			hint = hintUnknown
		}
		if !quiet {
			switch hint {
			case hintNone:
				wait = s.patience(&ap, answers)
			case hintLogin, hintPassword:
				wait = settleTime
				if s.cfg.login.Username == "" || (hint == hintPassword && s.cfg.login.Password == "") {
					wait = refuseTime
				}
			case hintUnknown:
				wait = time.Second
			default:
				wait = settleTime
			}
			continue
		}
		err = nil
		switch hint {
		case hintActivate:
			err = typed("\n")
		case hintLogin:
			if s.cfg.login.Username == "" {
				return s.fail(op, "", ErrLoginRequired, "a user name; set login.username in the manifest")
			}
			s.cfg.log.Debug("busybox: login prompt, typing the user name")
			ap.user = true
			// A getty learns from this key what ends a line here, and a
			// person's Enter is a carriage return.
			err = typed(s.cfg.login.Username + "\r")
		case hintPassword:
			switch {
			case !ap.user: // somebody else's user name, or noise
				err = typed("\n")
			case s.cfg.login.Password == "":
				return s.fail(op, "", ErrLoginRequired, "a password for %q; set login.password in the manifest", s.cfg.login.Username)
			default:
				err = typed(s.cfg.login.Password + "\r")
			}
		case hintShell:
			err = prove()
		default:
			// Silence. A newline makes a broken prompt whole again; where it
			// has brought up nothing known, the prompt may be an unknown one.
			ap.nudges++
			switch {
			case hint == hintNone && ap.nudges <= bootNudges && s.booting(answers):
				err = typed("\n")
			case ap.nudges%2 == 0 || ap.user || hint == hintUnknown:
				err = prove()
			default:
				err = typed("\n")
			}
			if ap.nudges > 1 {
				ap.nudge = min(2*ap.nudge, longNudge)
			}
		}
		if err != nil {
			return err
		}
		wait = s.patience(&ap, answers)
		switch {
		case hint == hintPassword:
			wait = refusedTime
		case ap.user || hint == hintShell:
			wait = firstNudge
		}
	}
}

// booting reports whether the last that was heard is a boot loader's or a
// kernel's. Nobody may be reading the UART yet. A few keys wait in its FIFO, but
// a full one can make it deaf for good: QEMU 7.2's PL011 and 16550 receive
// nothing any more when Linux resets a FIFO that is full.
func (s *Shell) booting(heard string) bool {
	// The last line that is not blank, all of it. To have a regular expression look
	// for it in all that was heard took a fifth of the time that a flash costs the host.
	line := heard[strings.LastIndexByte(strings.TrimRight(heard, " \t\n\f\r\v\x00"), '\n')+1:]
	return s.stream.w.last == omenUBoot || reBooting.MatchString(line)
}

// patience is how long to wait in silence before something is typed.
func (s *Shell) patience(ap *approach, heard string) time.Duration {
	if s.booting(heard) {
		return max(ap.nudge, bootNudge)
	}
	return ap.nudge
}

// unreached is the error for a wait that ended without a shell.
func (s *Shell) unreached(ctx context.Context, err error, ap approach) error {
	detail := "the console failed before a shell answered"
	if ctx.Err() != nil {
		err = ctx.Err()
		detail = "no shell has answered; the board may have stopped booting, or login_prompt, username or console= do not fit"
		switch {
		case s.stream.recent() == "":
			detail = "the board has sent nothing at all; look at power, the serial line and its speed"
		case ap.ignored >= 3:
			detail = fmt.Sprintf("the board has not answered the last %d things that were typed with a single character; look at the line from the host to the board and at flow control, or the board has hung", ap.ignored)
		}
	}
	return s.fail("login", "", err, "%s", detail)
}

// failure looks for the configured texts in whole lines.
func (s *Shell) failure(ap *approach, text string) error {
	if len(s.cfg.failures) == 0 {
		return nil
	}
	lines := strings.Split(ap.lines+text, "\n")
	ap.lines = lastBytes(lines[len(lines)-1], maxLine)
	for _, line := range lines[:len(lines)-1] {
		for _, f := range s.cfg.failures {
			if f.Pattern.MatchString(strings.TrimRight(line, "\r")) {
				return s.fail("login", "", f.Err, "while waiting for the shell")
			}
		}
	}
	return nil
}

// hint is what the end of the console's text looks like.
type hint int

const (
	hintNone hint = iota
	hintActivate
	hintLogin
	hintPassword
	hintShell
	hintUnknown // something on the last line, in answer to a key
)

// hint reads the last line, without kernel messages and control sequences.
//
// It is asked for whatever comes while the kernel boots, so that only the end of that is
// looked at: a prompt, and what kernel messages may stand behind it.
func (s *Shell) hint(text string) hint {
	// What is asked for each piece of the boot log has to be cheap.
	if strings.Contains(text, "activate this console") && reActivate.MatchString(text) {
		return hintActivate
	}
	text = console.Clean(reKernel.ReplaceAllString(lastBytes(text, hintText), ""))
	line := strings.TrimRight(text[strings.LastIndexByte(text, '\n')+1:], " \t\r")
	ends := func(p string) bool { return strings.HasSuffix(line, strings.TrimRight(p, " \t")) }
	switch {
	case line == "":
		return hintNone
	case ends(s.cfg.login.LoginPrompt):
		return hintLogin
	case rePassword.MatchString(line):
		return hintPassword
	case ends(s.cfg.login.Prompt), reShell.MatchString(line):
		return hintShell
	}
	return hintNone
}

// lastBytes keeps at most n bytes from the end of s.
func lastBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[len(s)-n:]
}
