package power

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// What the drivers' errors wrap, for a caller to branch on.
var (
	// ErrNotFound: the switch, or the port of it, is not there.
	ErrNotFound = errors.New("power switch not found")
	// ErrAuth: the switch refused the credentials or asks for some.
	ErrAuth = errors.New("power switch refused the credentials")
	// ErrRefused: the switch understood and said no, or does not know the
	// command. It makes no sense to say the same again.
	ErrRefused = errors.New("power switch refused the command")
	// ErrState: the switch took the command, and says that the board's power is
	// still as it was.
	ErrState = errors.New("power switch did not change its state")
	// ErrUnsupported: this switch, or this operating system, cannot do it. It
	// is errors.ErrUnsupported.
	ErrUnsupported = errors.ErrUnsupported
)

// Defaults of [Switching].
const (
	DefaultTimeout = 10 * time.Second
	DefaultTries   = 3
	DefaultPause   = 500 * time.Millisecond
)

// Switching says how persistently a driver does what it is told. The zero value
// is the defaults. Every driver whose device can fail for a moment takes one.
type Switching struct {
	// Timeout is how long one try may take, verification included, the
	// deadline of the caller's context apart. The default is DefaultTimeout.
	Timeout time.Duration
	// Tries is how often a command is given before its failure is reported;
	// 1 is no retry. The default is DefaultTries. The device is opened or
	// dialled anew for every try, so that one that was unplugged meanwhile is
	// found again. What wraps [ErrAuth], [ErrRefused] or [ErrUnsupported] is
	// not tried again.
	Tries int
	// Pause is the time between tries. The default is DefaultPause.
	Pause time.Duration
	// Settle is the time that On and Off wait after the switch has done it,
	// for a supply that ramps up or down slowly. The default is none.
	Settle time.Duration
	// Unverified leaves out the question whether the switch really switched,
	// where the device can answer it.
	Unverified bool
	// Logger is told about tries that failed. The default is silence.
	Logger *slog.Logger
}

// Validate returns an error for a negative number.
func (s Switching) Validate() error {
	if s.Timeout < 0 || s.Tries < 0 || s.Pause < 0 || s.Settle < 0 {
		return fmt.Errorf("timeout %v, tries %d, pause %v and settling time %v: none may be negative", s.Timeout, s.Tries, s.Pause, s.Settle)
	}
	return nil
}

// withDefaults fills what is unset.
func (s Switching) withDefaults() Switching {
	if s.Timeout == 0 {
		s.Timeout = DefaultTimeout
	}
	if s.Tries == 0 {
		s.Tries = DefaultTries
	}
	if s.Pause == 0 {
		s.Pause = DefaultPause
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return s
}

// verifyEvery is how often the state is asked for until it is as commanded.
const verifyEvery = 100 * time.Millisecond

// Switch is On and Off of a driver: it calls set, asks state (nil where the
// device cannot tell) until the answer is on, and waits for the power to settle.
// Failures are tried again as s says. The error is an [*Error] that names device.
//
// set must do no harm when it is repeated: a command that toggles is none for it.
func (s Switching) Switch(ctx context.Context, device string, on bool,
	set func(ctx context.Context, on bool) error, state func(ctx context.Context) (bool, error),
) error {
	s = s.withDefaults()
	op := "off"
	if on {
		op = "on"
	}
	_, err := try(ctx, s, op, device, func(ctx context.Context) (struct{}, error) {
		if err := set(ctx, on); err != nil || state == nil || s.Unverified {
			return struct{}{}, err
		}
		return struct{}{}, verify(ctx, on, state)
	})
	if err == nil && s.Settle > 0 {
		err = sleep(ctx, s.Settle)
	}
	if err != nil {
		return &Error{Op: op, Device: device, Err: err}
	}
	return nil
}

// Ask puts a question to a device (ask, which State and Read of a driver are made
// of), again where it fails, as s says. The error is an [*Error] of operation op
// that names device.
func Ask[T any](ctx context.Context, s Switching, op, device string, ask func(ctx context.Context) (T, error)) (T, error) {
	answer, err := try(ctx, s.withDefaults(), op, device, ask)
	if err != nil {
		var none T
		return none, &Error{Op: op, Device: device, Err: err}
	}
	return answer, nil
}

// try calls f until it succeeds, the tries are used up, or ctx ends.
func try[T any](ctx context.Context, s Switching, op, device string, f func(ctx context.Context) (T, error)) (T, error) {
	var none T
	for n := 1; ; n++ {
		if ctx.Err() != nil {
			return none, context.Cause(ctx)
		}
		once, cancel := context.WithTimeout(ctx, s.Timeout)
		answer, err := f(once)
		expired := once.Err() != nil
		cancel()
		switch {
		case err == nil:
			return answer, nil
		case ctx.Err() != nil:
			return none, because(context.Cause(ctx), err)
		case expired && !errors.Is(err, context.DeadlineExceeded):
			err = fmt.Errorf("%w after %v: %w", context.DeadlineExceeded, s.Timeout, err)
		}
		if n >= s.Tries || errors.Is(err, ErrAuth) || errors.Is(err, ErrRefused) || errors.Is(err, ErrUnsupported) {
			if n > 1 {
				err = fmt.Errorf("%w (try %d of %d)", err, n, s.Tries)
			}
			return none, err
		}
		s.Logger.Warn("power switch failed; trying again", "op", op, "device", device, "try", n, "error", err)
		if cause := sleep(ctx, s.Pause); cause != nil {
			return none, because(cause, err)
		}
	}
}

// because joins the end of a context with what the device had said before.
func because(cause, last error) error {
	if errors.Is(last, cause) {
		return last
	}
	return fmt.Errorf("%w (before that: %w)", cause, last)
}

// verify asks until the answer is on.
func verify(ctx context.Context, on bool, state func(ctx context.Context) (bool, error)) error {
	for asked := false; ; asked = true {
		got, err := state(ctx)
		switch {
		case err != nil && asked && ctx.Err() != nil: // the time was over during the question
			return fmt.Errorf("%w (it answered %s): %w", ErrState, onOff(!on), err)
		case err != nil:
			return fmt.Errorf("asking for the state afterwards: %w", err)
		}
		if got == on {
			return nil
		}
		if err := sleep(ctx, verifyEvery); err != nil {
			return fmt.Errorf("%w (it answered %s): %w", ErrState, onOff(got), err)
		}
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// sleep waits, and returns the cause where ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
