package tftp

import (
	"fmt"
	"log/slog"
	"time"
)

// Option changes a setting of [New].
type Option func(*config) error

type config struct {
	log          *slog.Logger
	events       func(Event)
	maxBlock     int // 0: the path's MTU
	maxWindow    int
	timeout      time.Duration
	retries      int
	maxTransfers int
}

func outOfRange(name string, got any, want string) error {
	return &Error{Op: "option", Err: fmt.Errorf("%s: %v is not in %s", name, got, want)}
}

// WithLogger logs refused requests and ended transfers to l. Default: silent.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error { c.log = l; return nil }
}

// WithEvents calls f for every event, one at a time. f must return soon, as
// transfers wait for it, and must not call Close.
func WithEvents(f func(Event)) Option {
	return func(c *config) error { c.events = f; return nil }
}

// WithMaxBlockSize caps blksize at n bytes, 512 to 65464. The default is what
// fits the MTU of the interface towards the board, or 1468 where that is not
// known.
func WithMaxBlockSize(n int) Option {
	return func(c *config) error {
		if n < 512 || n > 65464 {
			return outOfRange("WithMaxBlockSize", n, "512..65464")
		}
		c.maxBlock = n
		return nil
	}
}

// WithMaxWindowSize caps windowsize at n blocks, 1 to 65535; 1 turns windows
// off. Default 64. A window never exceeds 1 MiB of data.
func WithMaxWindowSize(n int) Option {
	return func(c *config) error {
		if n < 1 || n > 65535 {
			return outOfRange("WithMaxWindowSize", n, "1..65535")
		}
		c.maxWindow = n
		return nil
	}
}

// WithTimeout sets how long the first acknowledgement is waited for, and the
// longest wait before a packet is sent again, 10 ms to 255 s. Default 1 s. A
// client's timeout option takes the place of the latter.
func WithTimeout(d time.Duration) Option {
	return func(c *config) error {
		if d < 10*time.Millisecond || d > 255*time.Second {
			return outOfRange("WithTimeout", d, "10ms..255s")
		}
		c.timeout = d
		return nil
	}
}

// WithRetries sets how many times in a row, without an answer, something is
// sent again after the longest wait has been reached, 1 to 100. Default 15, as a client
// that lost an answer may be silent for long: U-Boot for 5 s at a time.
func WithRetries(n int) Option {
	return func(c *config) error {
		if n < 1 || n > 100 {
			return outOfRange("WithRetries", n, "1..100")
		}
		c.retries = n
		return nil
	}
}

// WithMaxTransfers bounds how many transfers run at once, 1 to 10000. Default
// 64. When all are taken, a new request displaces one that was never
// acknowledged, of the address that has the most of these. Requests that come faster
// than displaced transfers end wait in the socket; what that has no room for is lost,
// and clients ask again.
func WithMaxTransfers(n int) Option {
	return func(c *config) error {
		if n < 1 || n > 10000 {
			return outOfRange("WithMaxTransfers", n, "1..10000")
		}
		c.maxTransfers = n
		return nil
	}
}
