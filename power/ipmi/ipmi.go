// Package ipmi switches servers, and boards behind a management controller, that
// speak IPMI 2.0 over the network (RMCP+, "lanplus"; IPMI 2.0 specification,
// chapters 13 and 28): Chassis Control, and Get Chassis Status.
//
// What speaks it is the program ipmitool, which has to be installed. The Go
// library there is (github.com/bougou/go-ipmi, v0.8.0) takes answers without a
// look at their session, sequence number and integrity code, so that a late or
// forged datagram passes for the state of the power, and has the keyed hash of a
// wrong password in its error. ipmitool gets the password by its environment, not
// by its command line, which every user of the host can read.
//
// A controller that speaks Redfish as well is better asked by that, see
// [github.com/dutflash/dutflash/power/redfish]: IPMI 2.0 gives everybody who asks a
// hash of the password to guess at.
package ipmi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/dutflash/dutflash/power"
)

// DefaultTimeout is what one try may take, where [WithSwitching] does not say it:
// ipmitool alone tries for 20 s to reach the management controller. The time for
// a graceful shutdown comes on top.
const DefaultTimeout = time.Minute

// DefaultPort is the UDP port of a management controller.
const DefaultPort = 623

// Controller is a [power.Controller], [power.Cycler] and [power.StateReader] for
// the chassis of one management controller. It may be used concurrently. Every
// question has a session of its own.
type Controller struct {
	host   string
	port   int
	config config
}

var (
	_ power.Controller  = (*Controller)(nil)
	_ power.Cycler      = (*Controller)(nil)
	_ power.StateReader = (*Controller)(nil)
)

type config struct {
	user, password string
	operator       bool
	cipherSuite    int
	graceful       time.Duration
	powerCycle     bool
	switching      power.Switching
}

// Option sets a knob of [New].
type Option func(*config) error

// What fits into the messages (IPMI 2.0, tables 13-11 and 22-30).
const (
	maxUser     = 16
	maxPassword = 20
)

// WithLogin sets user (up to 16 bytes) and password (up to 20 bytes). Without it
// both are empty, which is the anonymous user.
func WithLogin(user, password string) Option {
	return func(c *config) error {
		c.user, c.password = user, password
		switch {
		case user == "":
			return errors.New("the login has no user")
		case len(user) > maxUser || len(password) > maxPassword:
			return fmt.Errorf("the user may have %d bytes and the password %d, not %d and %d", maxUser, maxPassword, len(user), len(password))
		case strings.ContainsRune(user+password, 0):
			return errors.New("the login has a byte 0")
		}
		return nil
	}
}

// WithOperator asks for the privileges of an operator, which is enough to switch,
// for users who have no more. The default is administrator.
func WithOperator() Option {
	return func(c *config) error {
		c.operator = true
		return nil
	}
}

// WithCipherSuite names the cipher suite of the session (IPMI 2.0, table 22-20;
// 3 is SHA-1 with AES-128, 17 SHA-256 with AES-128), for management controllers
// that do not tell theirs, on which ipmitool wastes 10 s. From 1 to 17; suite 0
// would have no authentication. The default is the best that the controller tells.
func WithCipherSuite(id int) Option {
	return func(c *config) error {
		c.cipherSuite = id
		if id < 1 || id > 17 {
			return fmt.Errorf("cipher suite %d is not from 1 to 17", id)
		}
		return nil
	}
}

// WithGracefulShutdown has Off ask the operating system to shut down (by ACPI), and
// force the power off when it is still on after the time (more than zero).
func WithGracefulShutdown(wait time.Duration) Option {
	return func(c *config) error {
		c.graceful = wait
		if wait <= 0 {
			return fmt.Errorf("the time for a graceful shutdown must be positive, not %v", wait)
		}
		return nil
	}
}

// WithPowerCycle has Cycle use the command's own power cycle, whose time without
// power the management controller decides (at least 1 s by the specification),
// instead of Off, a wait, and On. It cannot be verified that the power was off.
func WithPowerCycle() Option {
	return func(c *config) error {
		c.powerCycle = true
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

// New returns a Controller for the management controller at an address, HOST or
// HOST:PORT, where an IPv6 address with a port stands in brackets. Nothing is sent
// and nothing run yet.
func New(address string, opts ...Option) (*Controller, error) {
	c := &Controller{}
	var err error
	c.host, c.port, err = split(address)
	for _, o := range opts {
		err = errors.Join(err, o(&c.config))
	}
	if err != nil {
		return nil, fmt.Errorf("power ipmi: %w", err)
	}
	if c.config.switching.Timeout == 0 {
		c.config.switching.Timeout = DefaultTimeout + c.config.graceful
	}
	return c, nil
}

func split(address string) (host string, port int, err error) {
	host, port = address, DefaultPort
	// More than one colon without brackets is an IPv6 address alone.
	if strings.HasPrefix(address, "[") || strings.Count(address, ":") == 1 {
		var number string
		if host, number, err = net.SplitHostPort(address); err == nil {
			port, err = strconv.Atoi(number)
		}
		if err != nil || port < 1 || port > 65535 {
			return "", 0, fmt.Errorf("address %q is neither HOST nor HOST:PORT", address)
		}
	}
	// An URL may have a password, and does not come here by accident alone.
	if host == "" || strings.HasPrefix(host, "-") || strings.ContainsAny(host, "/@ \t\r\n\x00") {
		return "", 0, errors.New("the address is neither HOST nor HOST:PORT")
	}
	return host, port, nil
}

func (c *Controller) name() string {
	if c.port == DefaultPort {
		return "IPMI chassis of " + c.host
	}
	return "IPMI chassis of " + net.JoinHostPort(c.host, strconv.Itoa(c.port))
}

// On switches on unless the power is on, and waits until it is.
func (c *Controller) On(ctx context.Context) error { return c.do(ctx, true) }

// Off switches off, at once or as [WithGracefulShutdown] says, unless the power is
// off, and waits until it is.
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
		on, err := c.state(ctx)
		if err != nil {
			return err
		}
		if !on { // there is nothing to cycle
			return c.control(ctx, "on")
		}
		return c.control(ctx, "cycle")
	}, c.state)
}

// onOff hides Cycle.
type onOff struct{ c *Controller }

func (o onOff) On(ctx context.Context) error  { return o.c.On(ctx) }
func (o onOff) Off(ctx context.Context) error { return o.c.Off(ctx) }

// State asks whether the power is on.
func (c *Controller) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, c.config.switching, "state", c.name(), c.state)
}

func (c *Controller) set(ctx context.Context, on bool) error {
	is, err := c.state(ctx)
	switch {
	case err != nil:
		return err
	case is == on:
		return nil // controllers may refuse to do it again
	case on:
		err = c.control(ctx, "on")
	case c.config.graceful > 0:
		err = c.shutDown(ctx)
	default:
		err = c.control(ctx, "off")
	}
	if err != nil || c.config.switching.Unverified {
		return err
	}
	// Here rather than by Switch alone, which would ask faster than management
	// controllers like to open sessions.
	return c.await(ctx, on)
}

// shutDown asks the operating system, and uses force where that does not help.
func (c *Controller) shutDown(ctx context.Context) error {
	err := c.control(ctx, "soft")
	switch {
	case err == nil:
		asking, cancel := context.WithTimeout(ctx, c.config.graceful)
		defer cancel()
		if err = c.await(asking, false); err == nil || asking.Err() == nil || ctx.Err() != nil {
			return err
		}
	case !errors.Is(err, power.ErrRefused):
		return err
	}
	return c.control(ctx, "off")
}

// awaitEvery is how often the state is asked for until it is as commanded.
const awaitEvery = time.Second

func (c *Controller) await(ctx context.Context, want bool) error {
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for asked := false; ; asked = true {
		on, err := c.state(ctx)
		switch {
		case err != nil && asked && ctx.Err() != nil: // the time was over during the question
			return fmt.Errorf("%w: %w", power.ErrState, err)
		case err != nil, on == want:
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", power.ErrState, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
