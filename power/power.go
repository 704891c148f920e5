// Package power switches a board on and off.
//
// [Controller] is what every switch can do. What only some can do (cycle by
// themselves, tell whether the board is on, measure what it draws, start it in
// recovery mode) is a further interface, found by type assertion: [Cycler],
// [StateReader], [Meter], [Rescuer], [Releaser].
// Drivers live in sub-packages, one per kind of switch, so that a program
// links only what it uses. [Switching] has the retries, the settling time and the
// verification that drivers share; a driver of one's own can use it too.
package power

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// DefaultCycleWait is how long [Cycle] leaves the board without power when the
// caller names no time: long enough for the capacitors of most boards.
const DefaultCycleWait = 2 * time.Second

// Controller switches the power of one board. Both calls are idempotent: to
// switch on what is on is no error. They return once the switch has taken the
// command, and return an error that wraps ctx.Err() when ctx ends first.
//
// Implementations need not be safe for concurrent use: a board is driven by one
// Flasher at a time.
type Controller interface {
	On(ctx context.Context) error
	Off(ctx context.Context) error
}

// Cycler is a [Controller] whose device cycles by itself, for instance because
// a hub loses the command channel of its own port while that is off. [Cycle]
// prefers it.
type Cycler interface {
	// Cycle switches off, waits, and switches on. A wait of zero is
	// DefaultCycleWait.
	Cycle(ctx context.Context, wait time.Duration) error
}

// StateReader is a [Controller] whose device can tell whether power is on. A
// driver that finds at run time that its device cannot returns an error that
// wraps [ErrUnsupported].
type StateReader interface {
	State(ctx context.Context) (on bool, err error)
}

// Reading is one measurement of a [Meter]. What the device does not measure is
// NaN.
type Reading struct {
	Time    time.Time
	Volts   float64
	Amperes float64
	Watts   float64
}

// Meter is a [Controller] that measures what the board draws. A driver that finds
// at run time that its device cannot returns an error that wraps [ErrUnsupported].
// [Readings] makes a stream of it.
type Meter interface {
	Read(ctx context.Context) (Reading, error)
}

// Rescuer is a [Controller] that can start its board in recovery mode, for
// instance because a second line of it holds the board's boot strap.
type Rescuer interface {
	// Rescue switches the board off and on again in recovery mode. The next
	// On after an Off starts it as usual.
	Rescue(ctx context.Context) error
}

// Releaser is a [Controller] that holds something of the system from its first command
// on, as a GPIO line is held. It is no io.Closer: what switches a board may be something
// larger that others close, such as a board in an emulator.
type Releaser interface {
	// Release gives it back; what the power does then depends on the device. Later
	// commands fail. Only the first Release does something.
	Release() error
}

// ErrWait is wrapped by the error for a negative wait.
var ErrWait = errors.New("wait must not be negative")

// Error says which operation on which switch failed.
type Error struct {
	// Op is "on", "off", "cycle", "state", "read" or "rescue".
	Op string
	// Device names the switch and its port as a person would look for it.
	// It may be empty where the caller knows it.
	Device string
	Err    error
}

func (e *Error) Error() string {
	if e.Device == "" {
		return fmt.Sprintf("power %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("power %s (%s): %v", e.Op, e.Device, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Cycle switches the board off, waits, and switches it on. A wait of zero is
// [DefaultCycleWait]; a negative one is refused with [ErrWait]. A [Cycler] does
// it by itself. When ctx ends during the wait the board stays off.
func Cycle(ctx context.Context, c Controller, wait time.Duration) error {
	if wait < 0 {
		return &Error{Op: "cycle", Err: fmt.Errorf("%w: %v", ErrWait, wait)}
	}
	if wait == 0 {
		wait = DefaultCycleWait
	}
	if own, ok := c.(Cycler); ok {
		return opError("cycle", own.Cycle(ctx, wait))
	}
	if err := c.Off(ctx); err != nil {
		return opError("cycle, off", err)
	}
	if err := sleep(ctx, wait); err != nil {
		return &Error{Op: "cycle, waiting while off", Err: err}
	}
	return opError("cycle, on", c.On(ctx))
}

// opError wraps err unless it says already which switch it is about.
func opError(op string, err error) error {
	var own *Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	return &Error{Op: op, Err: err}
}
