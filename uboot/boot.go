package uboot

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	expect "github.com/Netflix/go-expect"
)

// Boot types a boot command, which may be a list joined by ";", and returns once
// the kernel was started: at "Starting kernel ...", an EFI stub's or the kernel's
// first words, whatever comes first. What is printed after that is left for
// whoever waits for the system. A command that comes back is
// [ErrBootReturned], with [ErrBadImage] where the message is known; a board that
// resets is [ErrReset]. What is typed is checked as by [Session.Run].
//
// ctx is the deadline, or the session's command timeout where ctx has none. For
// kernels that start without a word see [WithQuietBoot].
func (s *Session) Boot(ctx context.Context, cmd string) error {
	if err := s.boot(ctx, cmd); err != nil {
		return s.fail("boot", cmd, err)
	}
	return nil
}

// arrived looks for failures in what has arrived and was not consumed, which stays
// where there is none.
func (s *Session) arrived(fails []failure) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var hit match
	err := s.await(ctx, nil, fails, &hit)
	if hit.Text == "" {
		return nil
	}
	return err
}

func (s *Session) boot(ctx context.Context, cmd string) error {
	if cmd == "" {
		return errors.New("the boot command is empty")
	}
	ctx, cancel := limit(ctx, s.cfg.timeout)
	defer cancel()
	plain, err := s.closed(cmd)
	if err != nil {
		return err
	}
	typed, err := s.fit(ctx, plain)
	if err != nil {
		return err
	}
	m := s.newMarker()
	if err := s.issue(ctx, m, typed); err != nil {
		if typed != plain {
			err = joined(err, s.putBack(ctx, setting{longVariable, ""}))
		}
		return err
	}
	var hit match
	wait := ctx
	if s.cfg.quietBoot > 0 {
		wait, cancel = context.WithTimeout(ctx, s.cfg.quietBoot)
		defer cancel()
	}
	err = s.await(wait, []expect.ExpectOpt{expect.Regexp(passedText), expect.Regexp(m.last())}, fatal(), &hit)
	if err != nil {
		s.lost = true // nobody can tell what runs there now
		known := recognise(hit.Before, bootFailures())
		if hit.Text == "" {
			known = s.arrived(bootFailures())
		}
		switch {
		case known != nil:
			return fmt.Errorf("%w: %w", known, err)
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			s.cfg.log.Info("The boot command says nothing: taken for handed over", "after", s.cfg.quietBoot)
			return nil
		}
		return err
	}
	if hit.Index == 0 {
		s.lost = true
		return nil
	}
	s.eatPrompt(ctx)
	status := -1
	if n, err := strconv.Atoi(hit.Groups[1]); err == nil {
		status = n
	}
	out := normalise(s.unstamp(hit.Before))
	failed := fmt.Errorf("%w: %w", ErrBootReturned, named(&CommandError{Command: cmd, Status: status, Output: out}))
	if known := recognise(hit.Before, bootFailures()); known != nil {
		failed = fmt.Errorf("%w: %w", known, failed)
	}
	failed = s.shown(failed)
	if typed != plain {
		failed = joined(failed, s.putBack(ctx, setting{longVariable, ""}))
	}
	return failed
}
