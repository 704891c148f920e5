package httpd

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Conditions that an [Error] may wrap.
var (
	// ErrStalled tells that the client took no byte for the stall time.
	ErrStalled = errors.New("the board took no byte")
	// ErrAborted tells that the connection ended before the last byte.
	ErrAborted = errors.New("the connection ended early")
	// ErrContent tells that the file being served could not be read.
	ErrContent = errors.New("reading the content failed")
	// ErrTooLarge tells that an upload exceeded its limit.
	ErrTooLarge = errors.New("upload too large")
)

// Error tells which operation failed, on which name and for which client.
type Error struct {
	Op     string // "send", "upload", "serve", "option"
	Name   string
	Client string
	Err    error
}

// Error returns the operation, the name, the client and the cause.
func (e *Error) Error() string {
	s := "httpd: " + e.Op
	if e.Name != "" {
		s += " " + e.Name
	}
	if e.Client != "" {
		s += " to " + e.Client
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Event tells about one request of a name that exists.
type Event struct {
	Name   string
	Client string // host:port
	Method string
	Range  string // as asked for, or empty
	Bytes  int64  // body bytes accepted by the socket so far
	Done   bool   // the request has ended
	Err    error  // why it ended early: an *Error
}

// Option changes a setting of [New].
type Option func(*config) error

type config struct {
	log    *slog.Logger
	events func(Event)
	stall  time.Duration
}

// WithLogger logs ended requests to l, without their unguessable path.
// Default: silent.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error { c.log = l; return nil }
}

// WithEvents calls f when a request begins, about every MiB, and when it ends
// (Done). Calls come from many goroutines, one at a time; f must return soon
// and must not call Close.
func WithEvents(f func(Event)) Option {
	return func(c *config) error { c.events = f; return nil }
}

// WithStallTimeout ends a transfer that stands still for d, 10 ms to an hour:
// when a file's next 64 KiB were not accepted in that time, or no byte of an
// upload came. Default one minute, longer than a slow card's pauses.
func WithStallTimeout(d time.Duration) Option {
	return func(c *config) error {
		if d < 10*time.Millisecond || d > time.Hour {
			return &Error{Op: "option", Err: fmt.Errorf("WithStallTimeout: %v is not in 10ms..1h", d)}
		}
		c.stall = d
		return nil
	}
}
