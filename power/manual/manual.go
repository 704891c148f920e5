// Package manual lets a person be the switch: it asks on a terminal, or any
// other pair of reader and writer, and waits until the person says that it is
// done.
package manual

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/dutflash/dutflash/power"
)

// Controller is a [power.Controller] that asks a person. It must not be used
// concurrently.
//
// A reader cannot be told to stop: when ctx ends during a question, the
// goroutine that reads stays until the next line or the end of the input, and
// that line answers the next question where it comes after it.
type Controller struct {
	name    string
	in      *bufio.Reader
	out     io.Writer
	config  config
	pending chan answer // of the read that is under way; nil while there is none
}

var _ power.Controller = (*Controller)(nil)

type answer struct {
	line string
	err  error
}

type config struct {
	prompt func(board string, on bool) string
}

// Option sets a knob of [New].
type Option func(*config) error

// WithPrompt sets the question, for another language. The default is
// "Switch BOARD on, then press Enter (or type what keeps you from it): ".
func WithPrompt(prompt func(board string, on bool) string) Option {
	return func(c *config) error {
		if prompt == nil {
			return errors.New("power manual: the prompt must not be nil")
		}
		c.prompt = prompt
		return nil
	}
}

// New returns a Controller for the named board that asks on out and reads lines
// from in. Nothing is read before the first question.
func New(board string, in io.Reader, out io.Writer, opts ...Option) (*Controller, error) {
	if in == nil || out == nil || strings.TrimSpace(board) == "" {
		return nil, errors.New("power manual: a name of the board, a reader and a writer are all required")
	}
	c := config{prompt: func(board string, on bool) string {
		return fmt.Sprintf("Switch %s %s, then press Enter (or type what keeps you from it): ", board, word(on))
	}}
	for _, o := range opts {
		if err := o(&c); err != nil {
			return nil, err
		}
	}
	return &Controller{name: board, in: bufio.NewReader(in), out: out, config: c}, nil
}

func word(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// On asks the person to switch on and waits for the answer. An empty line, "y",
// "yes", "ok" and "done" say that it is done; any other text is
// [power.ErrRefused] with that text. The end of the input is [io.ErrUnexpectedEOF].
func (c *Controller) On(ctx context.Context) error { return c.ask(ctx, true) }

// Off asks the person to switch off, as On does.
func (c *Controller) Off(ctx context.Context) error { return c.ask(ctx, false) }

func (c *Controller) ask(ctx context.Context, on bool) error {
	err := c.question(ctx, on)
	if err != nil {
		return &power.Error{Op: word(on), Device: "by hand, " + c.name, Err: err}
	}
	return nil
}

func (c *Controller) question(ctx context.Context, on bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-c.pending: // typed after an abandoned question: it answers nothing
		c.pending = nil
	default:
	}
	if _, err := io.WriteString(c.out, c.config.prompt(c.name, on)); err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	if c.pending == nil {
		pending := make(chan answer, 1)
		c.pending = pending
		go func() {
			line, err := readLine(c.in)
			pending <- answer{line, err}
		}()
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting for the person: %w", context.Cause(ctx))
	case a := <-c.pending:
		c.pending = nil
		return a.judge()
	}
}

// maxLine is where an answer is cut: what is longer is no answer of a person.
const maxLine = 1000

func readLine(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		b, err := in.ReadByte()
		if err != nil || b == '\n' || b == '\r' {
			return string(line), err
		}
		if len(line) < maxLine {
			line = append(line, b)
		}
	}
}

func (a answer) judge() error {
	text := strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, a.line))
	switch {
	case errors.Is(a.err, io.EOF):
		return fmt.Errorf("waiting for the person: the input is at its end: %w", io.ErrUnexpectedEOF)
	case a.err != nil:
		return fmt.Errorf("waiting for the person: %w", a.err)
	}
	switch strings.ToLower(text) {
	case "", "y", "yes", "ok", "done":
		return nil
	}
	return fmt.Errorf("%w: the person says %q", power.ErrRefused, text)
}
