// Package gpio switches power with a GPIO line, over Linux's character device
// (/dev/gpiochipN). On other systems every call is [power.ErrUnsupported].
//
// A line belongs to the process that requested it, and most chips let it fall
// back to what it was before when it is released. So the controller keeps its
// line from the first On or Off until Close, and a board does not stay on after
// the program has ended, unless the hardware latches.
package gpio

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/dutflash/dutflash/power"
)

// Controller is a [power.Controller], [power.StateReader] and, with
// [WithRescueLine], [power.Rescuer] for a line. It may be used concurrently. Close
// gives the line back.
type Controller struct {
	chip, line string
	config     config

	mu     sync.Mutex
	power  held
	rescue held
	closed bool
}

var (
	_ power.Controller  = (*Controller)(nil)
	_ power.StateReader = (*Controller)(nil)
	_ power.Rescuer     = (*Controller)(nil)
	_ power.Releaser    = (*Controller)(nil)
)

// held is a line that was requested; nil while it was not.
type held interface {
	SetValue(value int) error
	Value() (int, error)
	Close() error
}

// Drive is how a line is driven.
type Drive int

// The drives. Open drain is for a line that others pull down too, and open source
// for one that they pull up.
const (
	PushPull Drive = iota
	OpenDrain
	OpenSource
)

// Bias is the resistor of a line.
type Bias int

// The biases. AsIs leaves what the board's firmware has set, and is the default.
const (
	AsIs Bias = iota
	PullUp
	PullDown
	NoBias
)

type config struct {
	switching  power.Switching
	activeLow  bool
	drive      Drive
	bias       Bias
	rescueChip string
	rescueLine string
	hold       time.Duration
	off        time.Duration
}

// Option sets a knob of [New].
type Option func(*config) error

// WithActiveLow says that the power is on while the line is low.
func WithActiveLow() Option {
	return func(c *config) error {
		c.activeLow = true
		return nil
	}
}

// WithDrive sets how the line is driven. The default is PushPull.
func WithDrive(d Drive) Option {
	return func(c *config) error {
		if d < PushPull || d > OpenSource {
			return fmt.Errorf("drive %d does not exist", d)
		}
		c.drive = d
		return nil
	}
}

// WithBias sets the resistor of the line, for one that is driven by an open drain or
// source. The default is AsIs.
func WithBias(b Bias) Option {
	return func(c *config) error {
		if b < AsIs || b > NoBias {
			return fmt.Errorf("bias %d does not exist", b)
		}
		c.bias = b
		return nil
	}
}

// WithRescueLine names the line that holds the board's boot strap, which
// [Controller.Rescue] activates for the time hold (default 1 s) from power on.
// Active-low, drive and bias are as for the power line.
func WithRescueLine(chip, line string, hold time.Duration) Option {
	return func(c *config) error {
		c.rescueChip, c.rescueLine, c.hold = chip, line, hold
		if hold < 0 {
			return fmt.Errorf("hold %v must not be negative", hold)
		}
		if hold == 0 {
			c.hold = time.Second
		}
		return checkLine(chip, line)
	}
}

// WithSwitching sets timeout, retries, settling time, and whether the line is read
// back.
func WithSwitching(s power.Switching) Option {
	return func(c *config) error {
		c.switching = s
		return s.Validate()
	}
}

// New returns a Controller for the line of the chip, such as "gpiochip0" or
// "/dev/gpiochip0", by its offset ("17") or its name ("RELAY1"). Nothing is
// requested yet: the line stays as it is until the first On or Off.
func New(chip, line string, opts ...Option) (*Controller, error) {
	c := &Controller{chip: chip, line: line, config: config{off: power.DefaultCycleWait}}
	err := checkLine(chip, line)
	for _, o := range opts {
		err = errors.Join(err, o(&c.config))
	}
	if err == nil && c.config.rescueChip == chip && c.config.rescueLine == line {
		err = errors.New("power and rescue are the same line")
	}
	if err != nil {
		return nil, fmt.Errorf("power gpio: %w", err)
	}
	return c, nil
}

func checkLine(chip, line string) error {
	if !regexp.MustCompile(`^(/dev/)?[\w.-]+$`).MatchString(chip) {
		return fmt.Errorf("chip %q: want gpiochipN or /dev/gpiochipN", chip)
	}
	if line == "" {
		return errors.New("the line is required: its offset or its name")
	}
	if n, err := strconv.Atoi(line); err == nil && n < 0 {
		return fmt.Errorf("line %d must not be negative", n)
	}
	return nil
}

func (c *Controller) device() string { return "GPIO " + c.chip + " line " + c.line }

// On activates the line.
func (c *Controller) On(ctx context.Context) error { return c.do(ctx, true) }

// Off deactivates the line.
func (c *Controller) Off(ctx context.Context) error { return c.do(ctx, false) }

func (c *Controller) do(ctx context.Context, on bool) error {
	return c.config.switching.Switch(ctx, c.device(), on, func(_ context.Context, on bool) error {
		return c.set(&c.power, c.chip, c.line, on)
	}, c.state)
}

// State reads the line: as an output after the first On or Off, and before that
// without a change to it.
func (c *Controller) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, c.config.switching, "state", c.device(), c.state)
}

// Rescue switches off, activates the rescue line, switches on after two seconds,
// and lets go of the rescue line after its time. Without [WithRescueLine] it is
// [power.ErrUnsupported]. The rescue line is let go of also where something fails.
func (c *Controller) Rescue(ctx context.Context) error {
	if c.config.rescueLine == "" {
		return &power.Error{Op: "rescue", Device: c.device(), Err: fmt.Errorf("%w: no rescue line is set", power.ErrUnsupported)}
	}
	err := c.startRescue(ctx)
	err = errors.Join(err, c.set(&c.rescue, c.config.rescueChip, c.config.rescueLine, false))
	if err != nil {
		return &power.Error{Op: "rescue", Device: c.device(), Err: err}
	}
	return nil
}

func (c *Controller) startRescue(ctx context.Context) error {
	if err := c.Off(ctx); err != nil {
		return err
	}
	if err := c.set(&c.rescue, c.config.rescueChip, c.config.rescueLine, true); err != nil {
		return fmt.Errorf("activating %s line %s: %w", c.config.rescueChip, c.config.rescueLine, err)
	}
	if err := sleep(ctx, c.config.off); err != nil {
		return err
	}
	if err := c.On(ctx); err != nil {
		return err
	}
	return sleep(ctx, c.config.hold)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// errClosed is for calls after Close.
var errClosed = fmt.Errorf("%w: the controller is closed", power.ErrRefused)

// set requests the line where it is not held, with the value at once, so that it
// makes no step in between. A chip that was unplugged is asked for again.
func (c *Controller) set(line *held, chip, name string, on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	value := 0
	if on {
		value = 1
	}
	if *line == nil {
		l, err := request(chip, name, c.config, &value)
		if err != nil {
			return err
		}
		*line = l
		return nil
	}
	if err := (*line).SetValue(value); err != nil {
		(*line).Close()
		*line = nil
		return err
	}
	return nil
}

func (c *Controller) state(context.Context) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, errClosed
	}
	if c.power != nil {
		v, err := c.power.Value()
		return v == 1, err
	}
	l, err := request(c.chip, c.line, c.config, nil)
	if err != nil {
		return false, err
	}
	v, err := l.Value()
	return v == 1, errors.Join(err, l.Close())
}

// Release does what Close does; it makes a Controller a [power.Releaser].
func (c *Controller) Release() error { return c.Close() }

// Close gives the lines back to the kernel. What they do then depends on the chip.
// Later calls fail; only the first Close does something.
func (c *Controller) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var err error
	for _, line := range []*held{&c.power, &c.rescue} {
		if *line != nil {
			err = errors.Join(err, (*line).Close())
			*line = nil
		}
	}
	return err
}
