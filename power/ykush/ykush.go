// Package ykush switches the downstream ports of Yepkit's switchable USB hubs:
// YKUSH, YKUSH3 and YKUSH XS. Such a hub has a HID device beside its ports, which
// takes a report with a command and answers with another. The driver speaks to it
// over Linux's hidraw, without a library, and finds it by its serial number; on
// other systems every call is [power.ErrUnsupported].
//
// The user needs write access to the hub's hidraw device, by a udev rule such as
//
//	SUBSYSTEM=="hidraw", ATTRS{idVendor}=="04d8", ATTRS{idProduct}=="f2f7", GROUP="plugdev", MODE="0660"
//
// The protocol is that of Yepkit's own tool (github.com/Yepkit/ykush).
package ykush

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dutflash/dutflash/power"
)

// model is a kind of hub.
type model struct {
	name    string
	product uint16 // of its HID device
	ports   int
	report  int // bytes, apart from the report's number
}

// models are all that Yepkit's tool knows. They take the same commands.
func models() []model {
	return []model{
		{"YKUSH", 0xf2f7, 3, 64},
		{"YKUSH (first edition)", 0x0042, 3, 5},
		{"YKUSH3", 0xf11b, 3, 64},
		{"YKUSH XS", 0xf0cd, 1, 64},
	}
}

// vendor is Microchip's, from which Yepkit has its product IDs.
const vendor = 0x04d8

// What a command does; the port is added to it. The third asks for the state.
const (
	down  = 0x00
	up    = 0x10
	state = 0x20
)

// AllPorts in place of a port switches all of a hub together.
const AllPorts = 0x0a

// accepted is the first byte of an answer to a command that was understood.
const accepted = 0x01

// Controller is a [power.Controller] and [power.StateReader] for a port of a hub.
// It may be used concurrently with itself, but other programs that use the same
// hub at the same moment can mix up the answers. The hub is looked for at each
// call, so one that was unplugged meanwhile is found again.
type Controller struct {
	serial string
	port   int
	config config
}

var (
	_ power.Controller  = (*Controller)(nil)
	_ power.StateReader = (*Controller)(nil)
)

type config struct {
	switching power.Switching
	sysfs     string
	dev       string
}

// Option sets a knob of [New].
type Option func(*config) error

// WithSwitching sets timeout, retries, settling time and verification.
func WithSwitching(s power.Switching) Option {
	return func(c *config) error {
		c.switching = s
		return s.Validate()
	}
}

// WithRoots sets where sysfs and the device files are, for a container that has
// them elsewhere. The defaults are /sys and /dev.
func WithRoots(sysfs, dev string) Option {
	return func(c *config) error {
		if sysfs == "" || dev == "" {
			return errors.New("a root is empty")
		}
		c.sysfs, c.dev = sysfs, dev
		return nil
	}
}

// New returns a Controller for the port, from 1, or [AllPorts], of the hub with the
// serial number (such as "YK12345"; letters count whatever their case). With an empty serial number
// there must be one hub only. Nothing is opened yet.
func New(serial string, port int, opts ...Option) (*Controller, error) {
	c := &Controller{serial: serial, port: port, config: config{sysfs: "/sys", dev: "/dev"}}
	var err error
	if (port < 1 || port > 3) && port != AllPorts {
		err = fmt.Errorf("port %d is not from 1 to 3", port)
	}
	if strings.ContainsAny(serial, "/\x00\n") {
		err = errors.Join(err, fmt.Errorf("%q is no serial number", serial))
	}
	for _, o := range opts {
		err = errors.Join(err, o(&c.config))
	}
	if err != nil {
		return nil, fmt.Errorf("power ykush: %w", err)
	}
	return c, nil
}

func (c *Controller) device() string {
	serial := c.serial
	if serial == "" {
		serial = "(the only one)"
	}
	if c.port == AllPorts {
		return fmt.Sprintf("YKUSH %s, all ports", serial)
	}
	return fmt.Sprintf("YKUSH %s port %d", serial, c.port)
}

// On switches the port on, and asks whether it did.
func (c *Controller) On(ctx context.Context) error { return c.do(ctx, true) }

// Off switches the port off, as On does.
func (c *Controller) Off(ctx context.Context) error { return c.do(ctx, false) }

func (c *Controller) do(ctx context.Context, on bool) error {
	return c.config.switching.Switch(ctx, c.device(), on, c.set, func(ctx context.Context) (bool, error) {
		return c.state(ctx, !on)
	})
}

// State asks whether the port is on, or with [AllPorts] whether one of them is.
func (c *Controller) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, c.config.switching, "state", c.device(), func(ctx context.Context) (bool, error) {
		return c.state(ctx, true)
	})
}

func (c *Controller) set(ctx context.Context, on bool) error {
	action := byte(down)
	if on {
		action = up
	}
	h, err := c.find()
	if err != nil {
		return err
	}
	port := c.port
	if port == AllPorts && h.model.ports == 1 { // it has no command for all
		port = 1
	}
	_, err = h.exchange(ctx, action|byte(port))
	return err
}

// state is on while one of the ports is (one), or while all of them are.
func (c *Controller) state(ctx context.Context, one bool) (bool, error) {
	h, err := c.find()
	if err != nil {
		return false, err
	}
	if c.port != AllPorts {
		return h.state(ctx, c.port)
	}
	for port := 1; port <= h.model.ports; port++ {
		if on, err := h.state(ctx, port); err != nil || on == one {
			return on, err
		}
	}
	return !one, nil
}

func (h hub) state(ctx context.Context, port int) (bool, error) {
	answer, err := h.exchange(ctx, state|byte(port))
	if err != nil {
		return false, err
	}
	// The port, with the bit of up where it is on.
	switch answer {
	case byte(port):
		return false, nil
	case byte(port) | up:
		return true, nil
	}
	return false, fmt.Errorf("the hub answered 0x%02x to the question for the state of port %d (does another program use it?)", answer, port)
}
