// Package relay switches the cheap USB relay boards with a CH340 serial chip that
// are sold as LCUS-1, LCUS-2, LCUS-4, LCUS-8 or under the name of noyito. They
// take frames of four bytes at 9600 baud: 0xA0, the relay from 1, 0x00 for off or
// 0x01 for on, and the sum of these modulo 256. That is not answered. Those with
// two relays and more answer to 0xFF with a line such as "CH1: ON" for each relay;
// [WithStatus] uses it. Of the others nothing is known after a frame was sent.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"go.bug.st/serial"

	"github.com/dutflash/dutflash/power"
)

// Controller is a [power.Controller] for one relay of a board, or several that
// switch together, and with [WithStatus] a [power.StateReader]. It may be used
// concurrently with itself. The port is opened for each command and closed
// again, so that the boards that share one can be switched by several programs,
// and a board that was unplugged is found again; name it by its path below
// /dev/serial/by-path or by-id for that.
type Controller struct {
	port   string
	relays []int
	config config
}

var (
	_ power.Controller  = (*Controller)(nil)
	_ power.StateReader = (*Controller)(nil)
)

type config struct {
	switching      power.Switching
	normallyClosed bool
	status         bool
	parallel       []int
}

// WithParallel names further relays, from 1 to 255, that switch with the first
// one, for a supply that is more than one contact can carry.
func WithParallel(relays ...int) Option {
	return func(c *config) error {
		c.parallel = slices.Clone(relays)
		return nil
	}
}

// WithStatus says that the board answers to the question for its relays' state. On
// and Off then verify what they did, and State works.
func WithStatus() Option {
	return func(c *config) error {
		c.status = true
		return nil
	}
}

// Option sets a knob of [New].
type Option func(*config) error

// WithNormallyClosed says that the board's power goes over the contact that is
// closed while the relay is at rest: On then lets go of the relay, and Off pulls
// it.
func WithNormallyClosed() Option {
	return func(c *config) error {
		c.normallyClosed = true
		return nil
	}
}

// WithSwitching sets timeout, retries and settling time.
func WithSwitching(s power.Switching) Option {
	return func(c *config) error {
		c.switching = s
		return s.Validate()
	}
}

// New returns a Controller for the relay, from 1 to 255, of the board at the serial
// port. Nothing is opened yet.
func New(port string, relay int, opts ...Option) (*Controller, error) {
	c := &Controller{port: port}
	var err error
	if port == "" {
		err = errors.New("the serial port is required")
	}
	for _, o := range opts {
		err = errors.Join(err, o(&c.config))
	}
	for _, n := range append([]int{relay}, c.config.parallel...) {
		switch {
		case n < 1 || n > 255:
			err = errors.Join(err, fmt.Errorf("relay %d is not from 1 to 255", n))
		case slices.Contains(c.relays, n):
			err = errors.Join(err, fmt.Errorf("relay %d is named twice", n))
		}
		c.relays = append(c.relays, n)
	}
	if err != nil {
		return nil, fmt.Errorf("power relay: %w", err)
	}
	return c, nil
}

// On switches the power on. It returns when the frame has left the computer.
func (c *Controller) On(ctx context.Context) error { return c.do(ctx, true) }

// Off switches the power off, as On does.
func (c *Controller) Off(ctx context.Context) error { return c.do(ctx, false) }

func (c *Controller) do(ctx context.Context, on bool) error {
	var state func(context.Context) (bool, error)
	if c.config.status {
		state = func(ctx context.Context) (bool, error) { return c.state(ctx, !on) }
	}
	return c.config.switching.Switch(ctx, c.device(), on, c.set, state)
}

func (c *Controller) device() string {
	if len(c.relays) == 1 {
		return fmt.Sprintf("relay %d at %s", c.relays[0], c.port)
	}
	return fmt.Sprintf("relays %v at %s", c.relays, c.port)
}

// State asks the board whether the power is on, which with [WithParallel] it is
// while one of the relays is on. Without [WithStatus] it is [power.ErrUnsupported].
func (c *Controller) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, c.config.switching, "state", c.device(), func(ctx context.Context) (bool, error) {
		return c.state(ctx, true)
	})
}

// start is the first byte of a frame.
const start = 0xa0

func (c *Controller) set(ctx context.Context, on bool) error {
	value := byte(0)
	if on != c.config.normallyClosed {
		value = 1
	}
	var frames []byte
	for _, n := range c.relays {
		frames = append(frames, start, byte(n), value, start+byte(n)+value)
	}
	return c.with(ctx, "sending the frame", func(p serial.Port) error {
		_, err := p.Write(frames)
		if err == nil {
			err = p.Drain()
		}
		return err
	})
}

// with opens the port for f.
func (c *Controller) with(ctx context.Context, what string, f func(serial.Port) error) error {
	p, err := serial.Open(c.port, &serial.Mode{BaudRate: 9600})
	if err != nil {
		return explain(err)
	}
	// The chip's driver closes after what is written has been sent; a port that
	// takes nothing is freed by closing it.
	done := make(chan error, 1)
	go func() { done <- f(p) }()
	select {
	case err = <-done:
		return errors.Join(err, p.Close())
	case <-ctx.Done():
		// Flow control or a stuck driver: what waits for it is dropped.
		p.ResetOutputBuffer()
		p.Close()
		t := time.NewTimer(closeGrace)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C: // the goroutine ends with the driver's call
		}
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
}

// closeGrace is how long a write may take to notice that its port was closed.
const closeGrace = time.Second

func explain(err error) error {
	var p *serial.PortError
	switch {
	case errors.As(err, &p) && p.Code() == serial.PortBusy:
		return fmt.Errorf("the port is busy: %w", err)
	case errors.As(err, &p) && p.Code() == serial.PermissionDenied, errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w (is this user in the port's group, often dialout?)", power.ErrAuth, err)
	case errors.As(err, &p) && (p.Code() == serial.PortNotFound || p.Code() == serial.InvalidSerialPort), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", power.ErrNotFound, err)
	}
	return err
}
