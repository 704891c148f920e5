// Package qemu switches a virtual board: [New] starts and ends a QEMU process,
// and [Attach] drives a QEMU that somebody else started, over its machine
// protocol (QMP).
package qemu

import (
	"context"
	"errors"
	"fmt"

	"github.com/dutflash/dutflash/power"
)

// Option sets a knob of [New] or [Attach].
type Option func(*config) error

type config struct {
	switching power.Switching
}

// WithSwitching sets timeout, retries and settling time. A QEMU that refuses its
// arguments is not started again.
func WithSwitching(s power.Switching) Option {
	return func(c *config) error {
		c.switching = s
		return s.Validate()
	}
}

func newConfig(opts []Option) (config, error) {
	var c config
	for _, o := range opts {
		if err := o(&c); err != nil {
			return c, fmt.Errorf("power qemu: %w", err)
		}
	}
	return c, nil
}

// Machine is a [power.Controller] and [power.StateReader] for a QEMU that runs
// already. It connects to the monitor for each call, so a QEMU that was started
// again is found again. It must not be used concurrently: QEMU serves one client
// of its monitor at a time.
type Machine struct {
	config           config
	network, address string
}

var (
	_ power.Controller  = (*Machine)(nil)
	_ power.StateReader = (*Machine)(nil)
)

// Attach returns the Machine whose monitor listens at address: unix:PATH or
// tcp:HOST:PORT, what QEMU's option -qmp was given. Nothing is dialled yet. The
// machine should be started with -S, so that it waits for the first On.
func Attach(address string, opts ...Option) (*Machine, error) {
	c, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	m := &Machine{config: c}
	if m.network, m.address, err = parseAddress(address); err != nil {
		return nil, fmt.Errorf("power qemu: %w", err)
	}
	return m, nil
}

func (m *Machine) device() string { return "QEMU at " + m.network + ":" + m.address }

// On lets the machine run. One that had shut down or crashed is reset first.
func (m *Machine) On(ctx context.Context) error {
	return m.config.switching.Switch(ctx, m.device(), true, m.set, m.state)
}

// Off stops the machine and resets it; QEMU itself goes on, so that a console
// stays connected. A QEMU with -no-reboot ends instead, which is an error.
func (m *Machine) Off(ctx context.Context) error {
	return m.config.switching.Switch(ctx, m.device(), false, m.set, m.state)
}

// State tells whether the machine runs.
func (m *Machine) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, m.config.switching, "state", m.device(), m.state)
}

func (m *Machine) set(ctx context.Context, on bool) error {
	mon, err := dialMonitor(ctx, m.network, m.address)
	if err != nil {
		return err
	}
	defer mon.close()
	if on {
		return mon.on()
	}
	return mon.off()
}

func (m *Machine) state(ctx context.Context) (bool, error) {
	mon, err := dialMonitor(ctx, m.network, m.address)
	if err != nil {
		return false, err
	}
	defer mon.close()
	status, err := mon.status()
	return status == "running", err
}

var errNoCommand = errors.New("power qemu: the command to start is required")
