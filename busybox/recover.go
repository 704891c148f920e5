package busybox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	recoverTime = 30 * time.Second // to get the shell back after a command was stopped
	rungTime    = 2 * time.Second  // for each way to stop it
	// lastRungTime is for boards that are busy with something else.
	lastRungTime = 4 * time.Second
)

// ladder is what is typed to get a shell back, one after the other: nothing,
// an end for a reader or quotation, interrupt, quit, and stop, after which the
// stopped job is killed.
func ladder() []string { return append([]string{"", "\x15\n#.\n"}, stops()...) }

// stops are the rungs that end what runs.
func stops() []string { return []string{"\x03", "\x03", "\x1c", "\x1a", "\x03"} }

// climb types the rungs until a shell answers.
func (s *Shell) climb(ctx context.Context, rungs []string) (a answer, rung string, err error) {
	m := newMark() // one for all: an answer that comes late is an answer
	var got []byte
	for i := range rungs {
		rung = rungs[i]
		if err := s.c.Send(ctx, rung+m.question()); err != nil {
			return a, rung, err
		}
		wait := rungTime
		if i == len(rungs)-1 {
			wait = lastRungTime
		}
		for until := time.Now().Add(wait); ; {
			left := time.Until(until)
			if left <= 0 {
				break
			}
			text, err := s.stream.read(ctx, left)
			if err != nil {
				return a, rung, err
			}
			got = append(got, text...)
			if a, _, _, ok := findAnswer(got, m); ok {
				return a, rung, nil
			}
			if over := len(got) - recentBytes; over > 0 {
				got = got[:copy(got, got[over:])]
			}
		}
		if s.stream.w.dead != omenNone {
			return a, rung, errDead
		}
	}
	return a, rung, ErrShellLost
}

// recover proves the inner shell again, or gets to the outer one and starts a
// new inner shell.
func (s *Shell) recover(ctx context.Context) error { return s.regain(ctx, ladder()) }

func (s *Shell) regain(ctx context.Context, rungs []string) error {
	s.lost = true
	a, rung, err := s.climb(ctx, rungs)
	if err != nil {
		return err
	}
	// It answers, so whatever was read was not the board's death.
	s.stream.w = watch{crlf: s.env.stty, last: omenSession}
	if rung == "\x1a" && a.name == s.nonce {
		// An inner shell with job control, which has stopped the command.
		if _, err := s.outer(ctx, `kill -9 %% 2>/dev/null`, `$?`, reNumber); err != nil {
			return err
		}
	}
	if a.name == s.nonce {
		s.lost = false
		return nil
	}
	s.cfg.log.Warn("busybox: the session's shell is gone, starting another; its variables are lost")
	return s.enter(ctx)
}

// interrupted makes the error of a command that did not come to its end, and
// gets the shell back where the reason was the context.
func (s *Shell) interrupted(ctx context.Context, op, cmd string, cause error, when string) error {
	if ctx.Err() == nil || errors.Is(cause, errDead) {
		return s.explain(op, cmd, cause, "%s", when)
	}
	cause = context.Cause(ctx)
	tail := s.tail()
	s.cfg.log.Warn("busybox: stopping a command", "command", short(s.hide(cmd), 120), "reason", cause)
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recoverTime)
	defer cancel()
	err := s.regain(rctx, stops())
	switch {
	case err == nil:
		return &Error{Op: op, Command: s.hide(cmd), Err: cause, Tail: tail,
			Detail: when + "; it was stopped and the shell answers again"}
	case errors.Is(err, errDead):
		return s.explain(op, cmd, fmt.Errorf("%w; %w", cause, err), "%s", when)
	default:
		hint := "; the next command tries to get the shell back, else power-cycle the board"
		if !s.env.tty {
			hint = "; the shell has no controlling terminal, so Ctrl-C reaches nobody: power-cycle the board, or start the shell with setsid cttyhack in the initramfs"
		}
		if !errors.Is(err, ErrShellLost) {
			err = fmt.Errorf("%w: %w", ErrShellLost, err)
		}
		return &Error{Op: op, Command: s.hide(cmd), Err: fmt.Errorf("%w; %w", cause, err), Tail: tail, Detail: when + hint}
	}
}

// explain makes the error for what broke a conversation. After it the shell
// has to be proved again.
func (s *Shell) explain(op, cmd string, err error, format string, args ...any) error {
	s.lost = true
	if errors.Is(err, errDead) {
		return s.died(op, cmd)
	}
	detail := fmt.Sprintf(format, args...)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		detail = "no answer from the shell in time: " + detail
	}
	return s.fail(op, cmd, err, "%s", detail)
}

// died collects what the board still has to say about its death and makes the
// error of it.
func (s *Shell) died(op, cmd string) error {
	ctx, cancel := context.WithTimeout(context.Background(), graceTime)
	defer cancel()
	for {
		text, err := s.stream.read(ctx, graceTime)
		if err != nil || text == "" {
			break
		}
	}
	err := s.stream.w.err(op, s.hide(cmd))
	s.setDead(errors.Unwrap(err))
	s.logged = false
	return err
}
