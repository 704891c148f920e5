package uboot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

// Interrupt stops autoboot and proves that U-Boot listens. The caller has just
// switched the power on; ctx is the deadline for all of it, or two minutes where it
// has none. The stop key is sent at a steady rate until a prompt shows; then the
// line buffer, in which stop keys may be left, is emptied, and a marker proves the
// prompt.
//
// Errors: [ErrSilent] when nothing was heard since the call, nor before it in this
// console's life, [ErrNoPrompt] when something was heard and no prompt answered,
// both with context.DeadlineExceeded; [ErrPastBootloader] when the operating
// system started or asks for a login; [ErrPassword] when a password is asked for
// and none was given or it was not taken.
func (s *Session) Interrupt(ctx context.Context) error {
	ctx, cancel := limit(ctx, interruptTime)
	defer cancel()
	heard := false
	s.echo = notAsked
	err := s.interrupt(ctx, &heard)
	switch {
	case err == nil, !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil:
	case !heard:
		err = fmt.Errorf("%w: %w", ErrSilent, ctx.Err())
	default:
		// The patterns that were waited for would tell nobody anything.
		err = fmt.Errorf("%w, stop key %s: %w", ErrNoPrompt, s.cfg.stopKeyName(), ctx.Err())
	}
	if err != nil {
		return s.fail("interrupt", "", err)
	}
	s.cfg.log.Info("U-Boot prompt is proved", "prompt", s.prompt, "hush", s.hush, "echo", s.echo == yes)
	return nil
}

// stopKeyName is the stop key for an error message, but not a string that may be a
// password.
func (c *config) stopKeyName() string {
	if len(c.stopKey) > 3 {
		return fmt.Sprintf("of %d characters", len(c.stopKey))
	}
	return strconv.Quote(c.stopKey)
}

// interruptTime is for callers that set no deadline. Boards with slow memory
// training take most of a minute to their prompt.
const interruptTime = 2 * time.Minute

// quietKeys is how many stop keys go unanswered, without any output, before a
// marker is tried on the chance that the prompt is one that nobody named. No stop
// key is sent meanwhile, so a board that is only slow must not be taken for one.
const quietKeys = 30

func (s *Session) interrupt(ctx context.Context, heard *bool) error {
	signs := []expect.ExpectOpt{
		expect.Regexp(promptPattern(s.prompts())),
		expect.Regexp(passedText),
		expect.Regexp(loginText),
		expect.Regexp(passwordText),
	}
	send := s.cfg.autobootText == ""
	if !send {
		signs = append(signs, expect.String(s.cfg.autobootText))
	}
	passwords := 0
	quiet, last := 0, ""
	for {
		key := s.cfg.stopKey
		switch {
		case !*heard && quiet > 0 && quiet%quietKeys == 0:
			key = "\x03" // a prompt that was there before would be silent
		case !send:
			key = ""
		}
		if err := s.con.Send(ctx, key); err != nil {
			return err
		}
		m, err := s.within(ctx, s.cfg.interval, signs...)
		if tail := s.con.Tail(tailLines); tail != last {
			last, quiet, *heard = tail, 0, true
		} else {
			quiet++
		}
		saw, text := sign(-1), ""
		switch {
		case ctx.Err() != nil:
			return ended(ctx)
		case err == nil:
			saw, text = sign(m.Index), m.Text
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		if saw == signPrompt || saw < 0 && *heard && quiet >= quietKeys {
			dropped, err := s.prove(ctx)
			if err == nil || s.con.Err() != nil {
				return err
			}
			if ctx.Err() != nil {
				return ended(ctx)
			}
			quiet = 0
			saw, text = s.missed(dropped)
		}
		switch saw {
		case signSystem, signLogin:
			return fmt.Errorf("%w: %s", ErrPastBootloader, clip(text))
		case signPassword:
			if passwords++; s.cfg.password == "" || passwords > passwordTries {
				return s.refused(passwords)
			}
			if err := s.con.SendLine(ctx, s.cfg.password); err != nil {
				return err
			}
		case signAutoboot:
			send = true
		}
	}
}

// sign is what the output says of the board's state.
type sign int

const (
	signPrompt sign = iota
	signSystem
	signLogin
	signPassword
	signAutoboot
)

// missed finds the sign in output that was dropped in vain; a prompt is none there,
// because it did not answer.
func (s *Session) missed(dropped string) (saw sign, text string) {
	for i, p := range []*regexp.Regexp{passedText, loginText, passwordText} {
		if text = p.FindString(dropped); text != "" {
			return signSystem + sign(i), text
		}
	}
	if s.cfg.autobootText != "" && strings.Contains(dropped, s.cfg.autobootText) {
		return signAutoboot, s.cfg.autobootText
	}
	return -1, ""
}

var (
	loginText    = regexp.MustCompile(`(?:^|[\r\n])[\w.-]+ login: `)
	passwordText = regexp.MustCompile(`[Ee]nter [Pp]assword:|(?:^|[\r\n])Password: ?`)
)

// passwordTries is two, because stop keys that were sent before the question
// spoil the first answer.
const passwordTries = 2

func (s *Session) refused(asked int) error {
	if s.cfg.password == "" {
		return fmt.Errorf("%w: use WithPassword", ErrPassword)
	}
	return fmt.Errorf("%w: it was given %d times and not taken", ErrPassword, asked-1)
}

// promptPattern matches any of the prompts at the beginning of a line, behind a
// timestamp too, or behind the sequences that clear the screen of a menu. Its group
// is the prompt.
func promptPattern(prompts []string) *regexp.Regexp {
	quoted := make([]string, len(prompts))
	for i, p := range prompts {
		quoted[i] = console.QuoteMeta(p)
	}
	return regexp.MustCompile(`(?:^|[\r\n]|\x1b\[[\d;?]*[A-Za-z])(?:` + stampText + `)?(` + strings.Join(quoted, "|") + `)`)
}

// within is Expect with a deadline of its own.
func (s *Session) within(ctx context.Context, d time.Duration, opts ...expect.ExpectOpt) (*match, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return s.con.Expect(ctx, opts...)
}

// proveTime is how long U-Boot may take to answer a marker. A loaded host with an
// emulated board is slower than any hardware.
const proveTime = 3 * time.Second

// prove empties the line buffer and has U-Boot print a marker. What the board had
// printed before is dropped.
func (s *Session) prove(ctx context.Context) (dropped string, err error) {
	s.dropped = ""
	s.drop()
	// An ESC that is left over swallows the next character as part of an
	// escape sequence, so one Ctrl-C is not enough.
	for range 3 {
		if err := s.con.Send(ctx, "\x03"); err != nil {
			return s.dropped, err
		}
		if _, err := s.within(ctx, 50*time.Millisecond, expect.String("\x00no such text\x00")); !errors.Is(err, context.DeadlineExceeded) {
			return s.dropped, err
		}
	}
	// What was typed last may be in the line editor if each Ctrl-C got lost.
	if after := s.drop(); s.prompt != "" && !s.cleared().MatchString(after) {
		if err := s.clearLine(ctx); err != nil {
			return s.dropped, err
		}
	}
	m := s.newMarker()
	hit, err := s.question(ctx, m)
	if err != nil {
		return s.dropped, err
	}
	s.hush, s.lost = hit.Groups[1] != "$?", false
	s.stamped = stamp.MatchString(hit.Before[strings.LastIndexByte(hit.Before, '\n')+1:])
	s.prompt = s.learnPrompt(ctx)
	return s.dropped, nil
}

// prompts are those of the configuration and one that was learnt before.
func (s *Session) prompts() []string {
	if s.prompt == "" || slices.Contains(s.cfg.prompts, s.prompt) {
		return s.cfg.prompts
	}
	return append([]string{s.prompt}, s.cfg.prompts...)
}

// learnPrompt returns what follows the answer to a command. A board that prints
// other things at the same time keeps the prompt that it is known by.
func (s *Session) learnPrompt(ctx context.Context) string {
	known := promptPattern(s.prompts())
	m, err := s.within(ctx, proveTime/3, expect.Regexp(known))
	if err == nil {
		return m.Groups[1]
	}
	rest := s.con.Discard()
	return stamp.ReplaceAllString(rest[strings.LastIndexAny(rest, "\r\n")+1:], "")
}
