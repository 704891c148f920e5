package virtboard

import (
	"errors"
	"fmt"
)

// ErrMissing is in the error of [New] where a program or file that the board
// needs is not installed. The message names the Debian package.
var ErrMissing = errors.New("not installed")

// ErrDied is in the error of [Board.On] and [Board.State] where the QEMU
// process ended by itself with a failure. What it said is in the message.
var ErrDied = errors.New("qemu died")

// ErrClosed is in the error of every call on a [Board] after [Board.Close].
var ErrClosed = errors.New("virtual board is closed")

// Error is what all calls of this package fail with.
type Error struct {
	Op     string // the step, such as "power on"
	Detail string // what QEMU said, where it said something
	Err    error
}

// Error returns the step, the reason and what QEMU said.
func (e *Error) Error() string {
	s := fmt.Sprintf("virtual board: %s: %v", e.Op, e.Err)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }
