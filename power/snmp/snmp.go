// Package snmp switches the outlets of PDUs over SNMP, versions 1, 2c and 3.
package snmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/dutflash/dutflash/power"
)

// Controller is a [power.Controller] for one outlet of a PDU, and a
// [power.StateReader] where the outlet's description has an object for the state.
// It may be used concurrently as far as the PDU may. Every call has its own
// socket.
type Controller struct {
	host   string
	port   uint16
	outlet Outlet
	config config
}

var (
	_ power.Controller  = (*Controller)(nil)
	_ power.StateReader = (*Controller)(nil)
)

type config struct {
	version   gosnmp.SnmpVersion
	community string
	user      *User
	switching power.Switching
	chosen    int // how many options chose a version
}

// Option sets a knob of [New].
type Option func(*config) error

// WithV1 speaks SNMPv1 with the community.
func WithV1(community string) Option { return withCommunity(gosnmp.Version1, community) }

// WithV2c speaks SNMPv2c with the community. The default is v2c with "private".
func WithV2c(community string) Option { return withCommunity(gosnmp.Version2c, community) }

func withCommunity(v gosnmp.SnmpVersion, community string) Option {
	return func(c *config) error {
		c.version, c.community = v, community
		c.chosen++
		if community == "" {
			return errors.New("the community is empty")
		}
		return nil
	}
}

// WithV3 speaks SNMPv3 as the user (RFC 3414, RFC 3826).
func WithV3(u User) Option {
	return func(c *config) error {
		c.version, c.user = gosnmp.Version3, &u
		c.chosen++
		return u.validate()
	}
}

// WithSwitching sets timeout, retries, settling time and verification.
func WithSwitching(s power.Switching) Option {
	return func(c *config) error {
		c.switching = s
		return s.Validate()
	}
}

// New returns a Controller for the outlet of the PDU at address, a host or
// host:port (default 161, UDP). Nothing is sent yet.
func New(address string, outlet Outlet, opts ...Option) (*Controller, error) {
	c := &Controller{outlet: outlet, config: config{version: gosnmp.Version2c, community: "private"}}
	var err error
	if c.host, c.port, err = parseAddress(address); err == nil {
		err = outlet.validate()
	}
	for _, o := range opts {
		err = errors.Join(err, o(&c.config))
	}
	if c.config.chosen > 1 {
		err = errors.Join(err, errors.New("more than one version of SNMP is chosen"))
	}
	if err != nil {
		return nil, fmt.Errorf("power snmp: %w", err)
	}
	return c, nil
}

func parseAddress(address string) (host string, port uint16, err error) {
	host, port = address, 161
	if h, p, err := net.SplitHostPort(address); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("address %q: bad port", address)
		}
		host, port = h, uint16(n)
	}
	if host == "" {
		return "", 0, fmt.Errorf("address %q has no host", address)
	}
	return host, port, nil
}

func (c *Controller) device() string {
	name := c.outlet.Name
	if name == "" {
		name = c.outlet.On.OID
	}
	return fmt.Sprintf("%s at %s", name, net.JoinHostPort(c.host, strconv.Itoa(int(c.port))))
}

// On switches the outlet on, and asks whether it did where it can be asked.
func (c *Controller) On(ctx context.Context) error { return c.do(ctx, true) }

// Off switches the outlet off, as On does.
func (c *Controller) Off(ctx context.Context) error { return c.do(ctx, false) }

func (c *Controller) do(ctx context.Context, on bool) error {
	state := c.state
	if c.outlet.StateOID == "" {
		state = nil
	}
	return c.config.switching.Switch(ctx, c.device(), on, c.set, state)
}

// State asks whether the outlet is on. Where the outlet's description has no
// object for it, it is [power.ErrUnsupported].
func (c *Controller) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, c.config.switching, "state", c.device(), c.state)
}

func (c *Controller) set(ctx context.Context, on bool) error {
	command := c.outlet.Off
	if on {
		command = c.outlet.On
	}
	return c.session(ctx, func(s *gosnmp.GoSNMP) error {
		p, err := s.Set([]gosnmp.SnmpPDU{{Name: command.OID, Type: gosnmp.Integer, Value: command.Value}})
		if err != nil {
			return fmt.Errorf("writing %d to %s: %w", command.Value, command.OID, explain(err))
		}
		return refusal(p, fmt.Sprintf("writing %d to %s", command.Value, command.OID))
	})
}

// betweenStates is how long a state that is neither on nor off is waited for
// before it is asked for again.
const betweenStates = 200 * time.Millisecond

func (c *Controller) state(ctx context.Context) (on bool, err error) {
	if c.outlet.StateOID == "" {
		return false, fmt.Errorf("%w: no object for the state is set", power.ErrUnsupported)
	}
	err = c.session(ctx, func(s *gosnmp.GoSNMP) error {
		for {
			p, err := s.Get([]string{c.outlet.StateOID})
			if err != nil {
				return fmt.Errorf("reading %s: %w", c.outlet.StateOID, explain(err))
			}
			if err := refusal(p, "reading "+c.outlet.StateOID); err != nil {
				return err
			}
			v := p.Variables[0]
			if v.Type != gosnmp.Integer && v.Type != gosnmp.Gauge32 {
				return fmt.Errorf("%w: %s is no number but of type %v", power.ErrRefused, c.outlet.StateOID, v.Type)
			}
			switch n := gosnmp.ToBigInt(v.Value).Int64(); n {
			case int64(c.outlet.StateOn):
				on = true
				return nil
			case int64(c.outlet.StateOff):
				return nil
			default:
				t := time.NewTimer(betweenStates)
				select {
				case <-t.C:
				case <-ctx.Done():
					t.Stop()
					return fmt.Errorf("%w: %s stays %d, which is neither on (%d) nor off (%d): %w", power.ErrState,
						c.outlet.StateOID, n, c.outlet.StateOn, c.outlet.StateOff, context.Cause(ctx))
				}
			}
		}
	})
	return on, err
}

// session opens a socket for f. A datagram that is lost is sent again after a
// second.
func (c *Controller) session(ctx context.Context, f func(*gosnmp.GoSNMP) error) error {
	s := &gosnmp.GoSNMP{
		Target: c.host, Port: c.port, Version: c.config.version, Community: c.config.community,
		Context: ctx, Timeout: time.Second, Retries: 2, MaxOids: gosnmp.MaxOids,
	}
	if c.config.user != nil {
		c.config.user.apply(s)
	}
	if err := s.Connect(); err != nil {
		return err
	}
	defer s.Close()
	err := f(s)
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// refusal is the error in an answer.
func refusal(p *gosnmp.SnmpPacket, what string) error {
	switch {
	case p.Error == gosnmp.NoSuchName:
		return fmt.Errorf("%w: %s: the PDU says %v (is that its make, and has it that outlet?)", power.ErrNotFound, what, p.Error)
	case p.Error == gosnmp.AuthorizationError || p.Error == gosnmp.NoAccess:
		return fmt.Errorf("%w: %s: the PDU says %v (may this community or user write?)", power.ErrAuth, what, p.Error)
	case p.Error != gosnmp.NoError:
		return fmt.Errorf("%w: %s: the PDU says %v (has it that outlet, and may this community or user write?)", power.ErrRefused, what, p.Error)
	case len(p.Variables) != 1:
		return fmt.Errorf("%w: %s: the PDU answers with %d values", power.ErrRefused, what, len(p.Variables))
	case p.Variables[0].Type == gosnmp.NoSuchObject || p.Variables[0].Type == gosnmp.NoSuchInstance:
		return fmt.Errorf("%w: %s: the PDU has no such object (is that its make, and has it that outlet?)", power.ErrNotFound, what)
	}
	return nil
}

// explain names what a person can do something about.
func explain(err error) error {
	for _, wrong := range []error{gosnmp.ErrUnknownUsername, gosnmp.ErrWrongDigest, gosnmp.ErrUnknownSecurityLevel, gosnmp.ErrDecryption} {
		if errors.Is(err, wrong) {
			return fmt.Errorf("%w: %w", power.ErrAuth, err)
		}
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: no SNMP agent is there: %w", power.ErrNotFound, err)
	}
	if strings.Contains(err.Error(), "not authentic") { // the library has no sentinel for it
		return fmt.Errorf("%w: %w (wrong user or passphrase?)", power.ErrAuth, err)
	}
	return fmt.Errorf("%w (an agent does not answer to a wrong community either)", err)
}
