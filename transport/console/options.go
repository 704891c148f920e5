package console

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Option configures a [Console].
type Option func(*config) error

// DefaultWindow is how many bytes of unmatched output are kept, in bytes.
const DefaultWindow = 64 << 10

// minWindow is the least window that makes sense: a line and a prompt.
const minWindow = 256

type config struct {
	window     int
	transcript io.Writer
	secrets    []string
	pace       Pace
	lineEnding string
	logger     *slog.Logger
}

// WithWindow sets how many bytes of output that nobody has matched yet are
// kept (default [DefaultWindow], at least 256). When more arrives the oldest
// bytes are dropped, and the next [Match] says how many.
func WithWindow(bytes int) Option {
	return func(c *config) error {
		if bytes < minWindow {
			return fmt.Errorf("window of %d bytes is too small; at least %d", bytes, minWindow)
		}
		c.window = bytes
		return nil
	}
}

// WithTranscript writes every byte that the port gives to w, as it comes, with
// secrets replaced by ***. Bytes that may be the beginning of a secret are held
// back until it is decided. A w that blocks makes the console stop reading; one
// that fails is not written to again, the failure is logged, and Close returns
// it. The console does not close w.
func WithTranscript(w io.Writer) Option {
	return func(c *config) error {
		if w == nil {
			return errors.New("nil transcript")
		}
		c.transcript = w
		return nil
	}
}

// WithSecret is [Console.AddSecret] from the first byte on. The empty string is
// refused. The option may be given several times.
func WithSecret(secret string) Option {
	return func(c *config) error {
		if secret == "" {
			return errors.New("empty secret")
		}
		c.secrets = append(c.secrets, secret)
		return nil
	}
}

// Pace slows down what is sent, for boards whose UART drops characters when
// they come at full speed. The zero value sends as fast as the port takes it.
type Pace struct {
	// ChunkSize is how many bytes are written at once; 0 means 1 where
	// ChunkDelay is set.
	ChunkSize int
	// ChunkDelay is waited between two chunks.
	ChunkDelay time.Duration
	// LineDelay is waited after each line ending (CR, LF or CR LF) that is
	// sent.
	LineDelay time.Duration
}

// WithPace sets the pace of everything that is sent.
func WithPace(p Pace) Option {
	return func(c *config) error {
		if p.ChunkSize < 0 || p.ChunkDelay < 0 || p.LineDelay < 0 {
			return fmt.Errorf("pace %+v has a negative value", p)
		}
		c.pace = p
		return nil
	}
}

// WithLineEnding sets what [Console.SendLine] appends; the default is "\r",
// which is what a terminal sends for Enter.
func WithLineEnding(s string) Option {
	return func(c *config) error {
		if s == "" {
			return errors.New("empty line ending; use Send instead of SendLine")
		}
		c.lineEnding = s
		return nil
	}
}

// WithLogger logs what is sent and what is matched at level debug, and trouble
// with the transcript or an attached person at level warn. Secrets are
// replaced. The default is silence.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		if l == nil {
			return errors.New("nil logger")
		}
		c.logger = l
		return nil
	}
}
