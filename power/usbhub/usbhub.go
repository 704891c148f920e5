// Package usbhub switches a board that is fed by a port of a USB hub, as uhubctl
// does: the port's power is switched with the requests of the USB hub class (USB
// 2.0 specification, 11.24.2; USB 3.2, 10.16.2).
//
// The kernel does it where it can (Linux 6.0 or later has a file "disable" for each
// port, Documentation/ABI/testing/sysfs-bus-usb), and else the driver sends the
// requests itself through usbfs (/dev/bus/usb). A port of a USB 3 hub has a peer,
// which is the same socket of the hub's USB 2 side; where the kernel knows the
// peer, both are switched, since the socket has power while one of them is on.
//
// Most hubs have no switch for the power of a port and say so in their
// descriptor; that is [power.ErrUnsupported]. The descriptor is read through
// usbfs: a user who may write only the file of sysfs is not warned. There are also
// hubs that say they have the switch, and have none: look at the board once.
//
// It needs the right to write to the file of sysfs, or to the hub's node below
// /dev/bus/usb. A udev rule gives both to the group plugdev, here for hubs of
// vendor 05e3:
//
//	SUBSYSTEM=="usb", DRIVER=="usb", ATTR{idVendor}=="05e3", MODE="0664", GROUP="plugdev"
//	SUBSYSTEM=="usb", DRIVER=="hub", RUN+="/bin/sh -c 'chgrp -f plugdev $sys$devpath/*-port*/disable; chmod -f 0664 $sys$devpath/*-port*/disable'"
package usbhub

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/dutflash/dutflash/power"
)

// Controller is a [power.Controller] and a [power.StateReader] for one port of a hub.
// It may be used concurrently. The hub is looked up for each command, so that one
// that was unplugged is found again in the same socket.
type Controller struct {
	hub    string
	port   int
	config config
}

var (
	_ power.Controller  = (*Controller)(nil)
	_ power.StateReader = (*Controller)(nil)
)

type config struct {
	switching power.Switching
	alone     bool
	system    system
}

// Option sets a knob of [New].
type Option func(*config) error

// WithoutPeer leaves the port's peer, the other side of a USB 3 hub, as it is.
func WithoutPeer() Option {
	return func(c *config) error {
		c.alone = true
		return nil
	}
}

// WithSwitching sets timeout, retries, settling time and verification.
func WithSwitching(s power.Switching) Option {
	return func(c *config) error {
		c.switching = s
		return s.Validate()
	}
}

// location is what the kernel calls a hub: bus, and the ports on the way to it.
var location = regexp.MustCompile(`^(usb)?[1-9][0-9]{0,2}$|^[1-9][0-9]{0,2}-[1-9][0-9]{0,2}(\.[1-9][0-9]{0,2}){0,5}$`)

// New returns a Controller for a port, from 1 to 255, of the hub at a location such
// as "1-1.4" (bus 1, port 1 of the root hub, port 4 of the hub there), as lsusb -t,
// uhubctl and /sys/bus/usb/devices have it. The root hub of bus 1 is "1" or "usb1".
// Nothing is opened yet.
func New(hub string, port int, opts ...Option) (*Controller, error) {
	c := &Controller{hub: hub, port: port, config: config{system: linux()}}
	var err error
	if !location.MatchString(hub) {
		err = fmt.Errorf("hub %q is no location such as 1-1.4, or 1 for a root hub (uhubctl or lsusb -t shows them)", hub)
	}
	if port < 1 || port > 255 {
		err = errors.Join(err, fmt.Errorf("port %d is not from 1 to 255", port))
	}
	for _, o := range opts {
		err = errors.Join(err, o(&c.config))
	}
	if err != nil {
		return nil, fmt.Errorf("power usbhub: %w", err)
	}
	return c, nil
}

// On switches the port's power on, and asks the hub whether it is.
func (c *Controller) On(ctx context.Context) error { return c.do(ctx, true) }

// Off switches the port's power off, as On does. What is plugged into the port
// disappears from this computer.
func (c *Controller) Off(ctx context.Context) error { return c.do(ctx, false) }

func (c *Controller) do(ctx context.Context, on bool) error {
	return c.config.switching.Switch(ctx, c.name(), on, c.set, c.state)
}

func (c *Controller) name() string { return fmt.Sprintf("port %d of USB hub %s", c.port, c.hub) }

// State asks the hub whether the port has power.
func (c *Controller) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, c.config.switching, "state", c.name(), c.state)
}

func (c *Controller) set(ctx context.Context, on bool) error {
	ports, err := c.config.system.find(c.hub, c.port, c.config.alone)
	if err != nil {
		return err
	}
	for _, p := range ports {
		if err := p.set(ctx, on); err != nil {
			return err
		}
	}
	return nil
}

// state is on while the port or its peer is.
func (c *Controller) state(ctx context.Context) (bool, error) {
	ports, err := c.config.system.find(c.hub, c.port, c.config.alone)
	if err != nil {
		return false, err
	}
	for _, p := range ports {
		if on, err := p.state(ctx); on || err != nil {
			return on, err
		}
	}
	return false, nil
}
