package flasher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/transport/image"
)

// Attempt is one failed try of an operation that was tried again, or given up.
type Attempt struct {
	// Number counts from 1.
	Number int `json:"number"`
	// Step is where it failed.
	Step Step `json:"step"`
	// Err is why.
	Err error `json:"-"`
	// Reason is Err as text.
	Reason string `json:"reason"`
	// Elapsed is how long the attempt took.
	Elapsed time.Duration `json:"-"`
}

// WithRetries sets how often an operation is begun anew with a power cycle after
// a failure that another try may mend: a lost console, a reset, a panic, a hang,
// no DHCP answer, a failed transfer. 0 is never; the default is 3. What another
// try cannot mend (configuration, a power switch that refuses the password, a
// damaged image, a target that is too small, a device that refuses writes) fails
// at once. A flash that is tried again continues: what is on the device already is
// not written again.
func WithRetries(n int) Option {
	return func(c *config) error {
		if n < 0 {
			return fmt.Errorf("WithRetries: %d is negative", n)
		}
		c.retries = n
		return nil
	}
}

// WithRetryWait sets the wait before the first retry; it doubles with each
// further one. The default is 1 s.
func WithRetryWait(d time.Duration) Option {
	return func(c *config) error {
		if d <= 0 {
			return fmt.Errorf("WithRetryWait: %v is not positive", d)
		}
		c.retryWait = d
		return nil
	}
}

// try runs fn, which begins with a power cycle, as often as the failures allow.
func (o *operation) try(ctx context.Context, fn func(context.Context) error) error {
	cfg := &o.f.cfg
	wait := cfg.retryWait
	for n := 1; ; n++ {
		begun := time.Now()
		err := fn(ctx)
		if err == nil {
			return nil
		}
		a := Attempt{Number: n, Err: err, Reason: err.Error(), Elapsed: time.Since(begun)}
		var own *Error
		if errors.As(err, &own) {
			a.Step = own.Step
		}
		o.attempts = append(o.attempts, a)
		if n > cfg.retries || ctx.Err() != nil || !retryable(err) || o.refusedTwice() {
			if own != nil {
				own.Attempts = o.attempts
			}
			return err
		}
		cfg.log.Warn("Attempt failed, trying again", "attempt", n, "of", cfg.retries+1, "wait", wait, "error", err)
		if err := o.dropBoard(); err != nil {
			cfg.log.Warn("Closing the console of the failed attempt", "error", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		wait *= 2
	}
}

// dropBoard forgets everything about a board that is about to be power-cycled.
// The console is opened anew: a USB adapter may have come back as another port.
func (o *operation) dropBoard() error {
	con := o.con
	o.setConsole(nil)
	o.uboot, o.shell, o.held = nil, nil, nil
	if con == nil {
		return nil
	}
	return con.Close()
}

// errWriteRefused: dd of a method that writes the whole image could not write.
var errWriteRefused = errors.New("the device refuses to be written")

// refusedTwice says whether the device refused a write of the whole image in the
// last two attempts. One refusal may be a board in a bad mood.
func (o *operation) refusedTwice() bool {
	n := len(o.attempts)
	return n > 1 && errors.Is(o.attempts[n-1].Err, errWriteRefused) && errors.Is(o.attempts[n-2].Err, errWriteRefused)
}

// retryable says whether a power cycle may mend what went wrong. Only the steps
// that depend on the board's mood are tried again, and of those not the ones
// whose answer was clear.
func retryable(err error) bool {
	if errors.Is(err, ErrTargetGone) {
		return true // whatever could not be read or written because of that
	}
	for _, final := range []error{
		ErrConfig, ErrNoServerAddress, ErrVerify, ErrPartitionTable, ErrTargetChanged,
		ErrDeviceRead, ErrDumpWriter, ErrDumpTransfer,
		extents.ErrVerify, extents.ErrWrite, extents.ErrRead,
		busybox.ErrLoginIncorrect, image.ErrChanged, context.Canceled,
	} {
		if errors.Is(err, final) {
			return false
		}
	}
	var own *Error
	if !errors.As(err, &own) {
		return false
	}
	if own.Step == StepPower && (errors.Is(err, power.ErrAuth) || errors.Is(err, power.ErrUnsupported)) {
		return false // the switch, and not something that is unsupported elsewhere
	}
	switch own.Step {
	case StepConsole, StepPower, StepBootloader, StepNetwork, StepLoad, StepBoot, StepLogin, StepShell, StepWrite, StepSync, StepDump:
		return true
	case StepTarget, StepPreflash, StepVerify, StepTable:
		if errors.Is(err, errUnfinished) {
			return true // what is written is not written again
		}
		// A command that ran and failed will fail again; a board that was
		// lost meanwhile may not.
		var command *busybox.CommandError
		return boardLost(err) && !errors.As(err, &command)
	}
	return false
}

// boardLost says whether the board or its console went away in the middle.
func boardLost(err error) bool {
	for _, lost := range []error{
		console.ErrPortClosed, busybox.ErrReset, busybox.ErrPanic, busybox.ErrOutOfMemory,
		busybox.ErrShellLost, context.DeadlineExceeded,
	} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}
