// Package relay switches the cheap USB relay boards with a CH340 serial chip that
// are sold as LCUS-1, LCUS-2, LCUS-4, LCUS-8 or under the name of noyito. They
// take frames of four bytes at 9600 baud: 0xA0, the relay from 1, 0x00 for off or
// 0x01 for on, and the sum of these modulo 256. Most of them answer nothing, so
// the driver cannot verify what they did, and has no state to tell.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.bug.st/serial"

	"github.com/dutflash/dutflash/power"
)

// Controller is a [power.Controller] for one relay of a board. It may be used
// concurrently with itself. The port is opened for each command and closed
// again, so that the boards that share one can be switched by several programs,
// and a board that was unplugged is found again; name it by its path below
// /dev/serial/by-path or by-id for that.
type Controller struct {
	port   string
	relay  int
	config config
}

var _ power.Controller = (*Controller)(nil)

type config struct {
	switching      power.Switching
	normallyClosed bool
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
	c := &Controller{port: port, relay: relay}
	var err error
	if port == "" {
		err = errors.New("the serial port is required")
	}
	if relay < 1 || relay > 255 {
		err = errors.Join(err, fmt.Errorf("relay %d is not from 1 to 255", relay))
	}
	for _, o := range opts {
		err = errors.Join(err, o(&c.config))
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
	return c.config.switching.Switch(ctx, fmt.Sprintf("relay %d at %s", c.relay, c.port), on, c.set, nil)
}

// start is the first byte of a frame.
const start = 0xa0

func (c *Controller) set(ctx context.Context, on bool) error {
	frame := []byte{start, byte(c.relay), 0, 0}
	if on != c.config.normallyClosed {
		frame[2] = 1
	}
	frame[3] = frame[0] + frame[1] + frame[2]
	p, err := serial.Open(c.port, &serial.Mode{BaudRate: 9600})
	if err != nil {
		return explain(err)
	}
	// The chip's driver closes after what is written has been sent; a port that
	// takes nothing is freed by closing it.
	sent := make(chan error, 1)
	go func() {
		_, err := p.Write(frame)
		if err == nil {
			err = p.Drain()
		}
		sent <- err
	}()
	select {
	case err = <-sent:
		return errors.Join(err, p.Close())
	case <-ctx.Done():
		// Flow control or a stuck driver: what waits for it is dropped.
		p.ResetOutputBuffer()
		p.Close()
		t := time.NewTimer(closeGrace)
		defer t.Stop()
		select {
		case <-sent:
		case <-t.C: // the goroutine ends with the driver's call
		}
		return fmt.Errorf("sending the frame: %w", context.Cause(ctx))
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
