// Package redfish switches servers, and boards behind a management controller,
// that speak Redfish (DMTF DSP0266, with the schemas of DSP2046): the action
// ComputerSystem.Reset, the property PowerState, and what the chassis measures.
//
// Systems are found by the links of the service root, as the specification wants
// it; nothing but /redfish/v1/ is a fixed path. Management controllers of before
// Redfish speak IPMI, see [github.com/dutflash/dutflash/power/ipmi].
package redfish

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/internal/web"
)

// DefaultTimeout is what one try may take, where [WithSwitching] does not say it:
// management controllers are slow, and verification is part of it. The time for
// a graceful shutdown comes on top.
const DefaultTimeout = time.Minute

// Controller is a [power.Controller], [power.Cycler], [power.StateReader] and
// [power.Meter] for one system. It may be used concurrently. Every request makes
// its own connection.
type Controller struct {
	base   *url.URL
	config config
}

var (
	_ power.Controller  = (*Controller)(nil)
	_ power.Cycler      = (*Controller)(nil)
	_ power.StateReader = (*Controller)(nil)
	_ power.Meter       = (*Controller)(nil)
)

type config struct {
	web            web.Client
	user, password string
	session        bool
	system         string
	graceful       time.Duration
	powerCycle     bool
	switching      power.Switching
}

// Option sets a knob of [New].
type Option func(*config) error

// WithLogin sets user and password of basic authentication, which are sent unasked
// with each request.
func WithLogin(user, password string) Option { return login(user, password, false) }

// WithSession sets user and password with which a session is opened for each
// command (DSP0266, "Redfish session login authentication"), and closed after it.
func WithSession(user, password string) Option { return login(user, password, true) }

func login(user, password string, session bool) Option {
	return func(c *config) error {
		if user == "" {
			return errors.New("the login has no user")
		}
		c.user, c.password, c.session = user, password, session
		return nil
	}
}

// WithSystem names one system, by the Id of it, where the service has several.
func WithSystem(id string) Option {
	return func(c *config) error {
		c.system = id
		return nil
	}
}

// WithGracefulShutdown has Off ask the operating system to shut down, and force
// the power off when it is still on after the time (more than zero).
func WithGracefulShutdown(wait time.Duration) Option {
	return func(c *config) error {
		c.graceful = wait
		if wait <= 0 {
			return fmt.Errorf("the time for a graceful shutdown must be positive, not %v", wait)
		}
		return nil
	}
}

// WithPowerCycle has Cycle use the reset type PowerCycle, whose time without power
// the management controller decides, instead of Off, a wait, and On. It cannot be
// verified that the power was off.
func WithPowerCycle() Option {
	return func(c *config) error {
		c.powerCycle = true
		return nil
	}
}

// WithCA sets the PEM certificates that the service is checked against, in place of
// the system's.
func WithCA(pem []byte) Option { return func(c *config) error { return c.web.TrustCA(pem) } }

// WithInsecureTLS leaves out the check of the service's certificate.
func WithInsecureTLS() Option {
	return func(c *config) error {
		c.web.TrustAnybody()
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

// New returns a Controller for the system of the service at an address, a host or an
// https or http URL; https is what a host alone is taken for. Nothing is sent
// yet.
func New(address string, opts ...Option) (*Controller, error) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	base, err := web.Base(address)
	c := &Controller{base: base}
	for _, o := range opts {
		err = errors.Join(err, o(&c.config))
	}
	if err != nil {
		return nil, fmt.Errorf("power redfish: %w", err)
	}
	if c.config.switching.Timeout == 0 {
		c.config.switching.Timeout = DefaultTimeout + c.config.graceful
	}
	c.config.web.Password = c.config.password // so that no error has it
	if !c.config.session {
		c.config.web.User = c.config.user
	}
	c.config.web.SetUp()
	return c, nil
}

func (c *Controller) name() string {
	if c.config.system != "" {
		return fmt.Sprintf("Redfish system %s at %s", c.config.system, c.base.Host)
	}
	return "Redfish system at " + c.base.Host
}

// On switches on (reset type On, or ForceOn where that is all there is) unless the
// power is on, and waits until it is.
func (c *Controller) On(ctx context.Context) error { return c.do(ctx, true) }

// Off switches off (reset type ForceOff) unless the power is off, and waits until
// it is.
func (c *Controller) Off(ctx context.Context) error { return c.do(ctx, false) }

func (c *Controller) do(ctx context.Context, on bool) error {
	return c.config.switching.Switch(ctx, c.name(), on, c.set, c.state)
}

// Cycle switches off and on, with the wait between or as [WithPowerCycle] says.
func (c *Controller) Cycle(ctx context.Context, wait time.Duration) error {
	if wait < 0 {
		return &power.Error{Op: "cycle", Device: c.name(), Err: fmt.Errorf("%w: %v", power.ErrWait, wait)}
	}
	if !c.config.powerCycle {
		return power.Cycle(ctx, onOff{c}, wait)
	}
	return c.config.switching.Switch(ctx, c.name(), true, func(ctx context.Context, _ bool) error {
		return c.with(ctx, func(s *session) error {
			sys, err := s.system(ctx)
			if err != nil {
				return err
			}
			if sys.PowerState == stateOff { // there is nothing to cycle
				return s.reset(ctx, sys, "On", "ForceOn")
			}
			return s.reset(ctx, sys, "PowerCycle")
		})
	}, c.state)
}

// onOff hides Cycle.
type onOff struct{ c *Controller }

func (o onOff) On(ctx context.Context) error  { return o.c.On(ctx) }
func (o onOff) Off(ctx context.Context) error { return o.c.Off(ctx) }

// State asks whether the power is on. A system that is being switched, and one
// that sleeps, is neither on nor off, which is an error.
func (c *Controller) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, c.config.switching, "state", c.name(), func(ctx context.Context) (on bool, err error) {
		state, err := c.powerState(ctx)
		if err == nil && state != stateOn && state != stateOff {
			err = fmt.Errorf("the system's PowerState is %q", state)
		}
		return state == stateOn, err
	})
}

// Values of PowerState (Resource schema).
const (
	stateOn  = "On"
	stateOff = "Off"
)

func (c *Controller) powerState(ctx context.Context) (state string, err error) {
	err = c.with(ctx, func(s *session) error {
		sys, err := s.system(ctx)
		state = sys.PowerState
		return err
	})
	return state, err
}

// state is for the verification, during which a system may well be between on and
// off: the way to off is still on, and the way to on not yet.
func (c *Controller) state(ctx context.Context) (bool, error) {
	state, err := c.powerState(ctx)
	return state != stateOff && state != "PoweringOn", err
}

func (c *Controller) set(ctx context.Context, on bool) error {
	return c.with(ctx, func(s *session) error {
		sys, err := s.system(ctx)
		switch {
		case err != nil:
			return err
		case on && sys.PowerState == stateOn, !on && sys.PowerState == stateOff:
			return nil // services may refuse to do it again
		case on:
			err = s.reset(ctx, sys, "On", "ForceOn")
		case c.config.graceful > 0:
			err = s.shutDown(ctx, sys, c.config.graceful)
		default:
			err = s.reset(ctx, sys, "ForceOff")
		}
		if err != nil || c.config.switching.Unverified {
			return err
		}
		// Here rather than by Switch alone, which would open a session for each
		// question.
		want := stateOff
		if on {
			want = stateOn
		}
		return s.await(ctx, want)
	})
}

// Read returns the watts that the system's chassis draws: PowerWatts of its
// EnvironmentMetrics, or PowerConsumedWatts of its Power, which services had before.
// Volts and Amperes are NaN.
func (c *Controller) Read(ctx context.Context) (power.Reading, error) {
	return power.Ask(ctx, c.config.switching, "read", c.name(), func(ctx context.Context) (r power.Reading, err error) {
		err = c.with(ctx, func(s *session) error {
			watts, err := s.watts(ctx)
			r = power.Reading{Time: time.Now(), Volts: math.NaN(), Amperes: math.NaN(), Watts: watts}
			return err
		})
		return r, err
	})
}
