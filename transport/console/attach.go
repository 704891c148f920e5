package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	// settle is how long a part of what may be a secret is kept from the person
	// who watches; a board that prints a secret is faster, a person who types
	// wants to see the echo.
	settle = 50 * time.Millisecond
	// leaveGrace is how long a terminal that takes no output holds up the end
	// of an attachment.
	leaveGrace = time.Second
)

// AttachOption configures [Console.Attach].
type AttachOption func(*attachConfig) error

type attachConfig struct {
	escape  escape
	replay  int
	capture io.Writer
	idle    *idleShell // or nil
}

// WithEscape sets the keys that leave the session; the default is Ctrl-]
// ("\x1d"). Where the sequence has several keys, a part of it that was typed
// reaches the board with the key that follows.
func WithEscape(keys string) AttachOption {
	return func(c *attachConfig) error {
		if keys == "" {
			return errors.New("empty escape sequence: nobody could leave")
		}
		c.escape.seq = []byte(keys)
		return nil
	}
}

// WithReplay sets how many of the last lines of the session the person sees
// first; the default is 24, 0 means none.
func WithReplay(lines int) AttachOption {
	return func(c *attachConfig) error {
		if lines < 0 {
			return fmt.Errorf("replay of %d lines", lines)
		}
		c.replay = lines
		return nil
	}
}

// WithCapture writes what the person sees of the board from now on to w as
// well, a file for example. It has the secrets replaced. An error of w ends the
// attachment.
func WithCapture(w io.Writer) AttachOption {
	return func(c *attachConfig) error {
		if w == nil {
			return errors.New("nil capture")
		}
		c.capture = w
		return nil
	}
}

// Attach connects a person to the session until he leaves with the escape
// sequence, which is announced at the start. What is typed on stdin is sent to
// the board; what the board prints goes to stdout, after the last lines of the
// session. Where stdin is a terminal it is in raw mode meanwhile.
//
// Other calls go on working: an Expect sees what the person sees, including the
// echo of what he types, and a Send goes between two of his keys. Several
// persons may be attached. Output is the board's own, ANSI sequences included,
// with secrets replaced by ***; a secret that the board prints with pauses of
// more than 50 ms within it is not recognised here (it is in the transcript).
// A person whose terminal does not keep up loses output and is told how much.
//
// The result is nil when the person left or stdin ended, otherwise an [*Error]
// wrapping [ErrPortClosed], [ErrClosed], the error of ctx, or that of stdin or
// stdout.
//
// When Attach returns, nothing reads from stdin any more if it is an *os.File
// on Unix, or has SetReadDeadline as network connections have. A Read of any
// other reader (also of the console of Windows) cannot be interrupted: a
// goroutine stays until that Read returns, and what it returns is lost.
func (c *Console) Attach(ctx context.Context, stdin io.Reader, stdout io.Writer, opts ...AttachOption) error {
	cfg := attachConfig{escape: escape{seq: []byte{0x1d}}, replay: 24}
	for _, opt := range opts {
		if err := opt(&cfg); err != nil {
			return c.fail("attach", nil, err)
		}
	}
	if stdin == nil || stdout == nil {
		return c.fail("attach", nil, errors.New("nil stdin or stdout"))
	}
	t, heard, _, err := c.watch()
	if err != nil {
		return c.fail("attach", nil, err)
	}
	defer c.unwatch(t)
	restore, err := makeRaw(stdin)
	if err != nil {
		return c.fail("attach", nil, fmt.Errorf("setting the terminal to raw mode: %w", err))
	}
	err = c.attached(ctx, &cfg, t, heard, stdin, stdout)
	if rerr := restore(); rerr != nil {
		err = errors.Join(err, fmt.Errorf("restoring the terminal: %w", rerr))
	}
	if err != nil {
		return c.fail("attach", nil, err)
	}
	return nil
}

// attached runs the two directions until one of them ends.
func (c *Console) attached(ctx context.Context, cfg *attachConfig, t *tap, heard []byte, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := newInput(stdin)
	typed := make(chan error, 1)
	go func() { typed <- c.forward(ctx, in, cfg) }()
	if cfg.idle != nil {
		cfg.idle.shows(heard, false)
		told := make(chan struct{})
		go func() { defer close(told); c.tellIdle(ctx, cfg.idle) }()
		defer func() { cancel(); <-told }()
	}
	leave := make(chan struct{})
	shown := make(chan error, 1)
	go func() { shown <- c.show(cfg, t, heard, stdout, leave) }()

	var err error
	select {
	case err = <-typed:
		typed = nil
	case err = <-shown:
		shown = nil
	case <-ctx.Done():
		err = contextError(ctx)
	case <-c.done:
		err = c.Err()
	}
	cancel()
	close(leave)
	if in.interrupt() && typed != nil {
		<-typed
	}
	in.release()
	if shown != nil {
		timer := time.NewTimer(leaveGrace)
		defer timer.Stop()
		select {
		case serr := <-shown:
			err = errors.Join(err, serr)
		case <-timer.C:
			err = errors.Join(err, fmt.Errorf("stdout has not taken the last output within %v; a goroutine waits for it", leaveGrace))
		}
	}
	return err
}

// forward sends what is typed until the escape sequence or the end of stdin.
func (c *Console) forward(ctx context.Context, in *input, cfg *attachConfig) error {
	buf := make([]byte, sendPiece)
	for {
		n, err := in.read(buf)
		out, left := cfg.escape.feed(buf[:n])
		if len(out) > 0 {
			if err := cfg.idle.types(out, func() error { return c.send(ctx, string(out)) }); err != nil {
				if ctx.Err() != nil {
					return nil // somebody else ended it and knows why
				}
				return err
			}
		}
		switch {
		case left || errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errInterrupted):
			return nil
		case err != nil:
			return fmt.Errorf("reading stdin: %w", err)
		}
	}
}

// show writes the greeting, the replay, and what the board prints.
func (c *Console) show(cfg *attachConfig, t *tap, heard []byte, stdout io.Writer, leave <-chan struct{}) error {
	greeting := fmt.Sprintf("[attached to the console; leave with %s]\r\n", &cfg.escape)
	// The past comes cleaned, so that an old question such as "where is your
	// cursor?" is not asked, and answered, again.
	past := c.Redact(Clean(c.Redact(string(heard))))
	if last := lastLines(past, cfg.replay); last != "" {
		if strings.HasSuffix(past, "\n") {
			last += "\n"
		}
		greeting += strings.ReplaceAll(last, "\n", "\r\n")
	}
	if _, err := io.WriteString(stdout, greeting); err != nil {
		return fmt.Errorf("writing to stdout: %w", err)
	}
	var red redactor
	write := func(p []byte) error {
		if len(p) == 0 {
			return nil
		}
		if _, err := stdout.Write(p); err != nil {
			return fmt.Errorf("writing to stdout: %w", err)
		}
		if cfg.capture != nil {
			if _, err := cfg.capture.Write(p); err != nil {
				return fmt.Errorf("writing the capture: %w", err)
			}
		}
		return nil
	}
	pass := func() error {
		p, lost := t.take()
		cfg.idle.shows(p, lost > 0)
		c.mu.Lock()
		red.secrets = c.hidden
		c.mu.Unlock()
		out := red.write(nil, p)
		if lost > 0 {
			out = fmt.Appendf(out, "\r\n[%d bytes were not shown: this terminal does not keep up]\r\n", lost)
		}
		return write(out)
	}
	idle := time.NewTimer(settle)
	defer idle.Stop()
	for {
		select {
		case <-t.more:
			if err := pass(); err != nil {
				return err
			}
			idle.Reset(settle)
		case <-idle.C:
			held := red.held
			red.held = nil
			if err := write(held); err != nil {
				return err
			}
		case <-leave:
			if err := pass(); err != nil {
				return err
			}
			if err := write(red.flush(nil)); err != nil {
				return err
			}
			if _, err := io.WriteString(stdout, "\r\n[left the console]\r\n"); err != nil {
				return fmt.Errorf("writing to stdout: %w", err)
			}
			return nil
		}
	}
}
