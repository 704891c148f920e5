package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Conditions that a caller would branch on; all of them arrive wrapped in an
// [*Error].
var (
	// ErrClosed says that [Console.Close] was called. It wraps
	// [net.ErrClosed].
	ErrClosed = fmt.Errorf("console: %w", net.ErrClosed)

	// ErrPortClosed says that the port ended or failed without our doing; the
	// port's own error (io.EOF, a serial or network error) is wrapped beside
	// it.
	ErrPortClosed = errors.New("port ended")

	// ErrWindow says that a regexp matched text that is longer than the window,
	// so that its beginning is gone. Use [WithWindow] for more.
	ErrWindow = errors.New("match is longer than the window")

	// ErrNotSupported says that this operating system has no pseudo-terminals
	// that we know how to open.
	ErrNotSupported = errors.New("not supported on this operating system")
)

// tailLines and tailBytes bound what an Error carries of the session.
const (
	tailLines = 10
	tailBytes = 2048
)

// Error is the error type of this package. Secrets are replaced by *** in what
// it says and in all fields but Err. errors.Is(err, context.DeadlineExceeded) tells a timeout.
type Error struct {
	// Op is what was being done: "send", "expect", "attach", "pty", "close".
	Op string
	// Wanted describes what was waited for, one entry per matcher; it is nil
	// where nothing was.
	Wanted []string
	// Tail holds the last lines heard from the board, cleaned and bounded; it
	// may be empty when the board was silent.
	Tail string
	// Err is the cause.
	Err error

	cause string // what Err says, with secrets replaced
}

// Error implements error: the operation, what was wanted, the cause, and the
// last lines of the session.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("console: ")
	b.WriteString(e.Op)
	if len(e.Wanted) > 0 {
		b.WriteString(" ")
		b.WriteString(strings.Join(e.Wanted, " or "))
	}
	b.WriteString(": ")
	if e.cause != "" {
		b.WriteString(e.cause)
	} else {
		fmt.Fprint(&b, e.Err)
	}
	switch {
	case e.Tail != "":
		fmt.Fprintf(&b, "; last console lines:\n%s", e.Tail)
	case e.Op == "expect":
		b.WriteString("; the console was silent")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// fail makes an Error of this session; wanted has its secrets replaced already.
// It must be called without c.mu held.
func (c *Console) fail(op string, wanted []string, err error) *Error {
	return &Error{Op: op, Wanted: wanted, Tail: bounded(c.Tail(tailLines)), Err: err, cause: c.Redact(err.Error())}
}

// longestName bounds the description of one matcher, in characters.
const longestName = 80

// clip bounds a text whose secrets have been replaced already: the beginning of
// a secret would not be recognised any more.
func clip(s string) string {
	if r := []rune(s); len(r) > longestName {
		return string(r[:longestName]) + "..."
	}
	return s
}

// bounded keeps the last tailBytes of s, from a line's start where there is
// one.
func bounded(s string) string {
	if len(s) <= tailBytes {
		return s
	}
	s = s[len(s)-tailBytes:]
	if i := strings.IndexByte(s, '\n'); i >= 0 && i < len(s)-1 {
		return s[i+1:]
	}
	return strings.ToValidUTF8(s, "")
}

// contextError tells why ctx ended: its error, and its cause where somebody
// gave one.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || cause == err {
		return err
	}
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
