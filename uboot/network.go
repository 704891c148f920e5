package uboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"time"
)

// Network is the board's network configuration.
type Network struct {
	// Address is the board's address with the prefix length of its network.
	Address netip.Prefix
	// Gateway is the router; the zero value is none, as on an isolated lab
	// network.
	Gateway netip.Addr
	// Server is the TFTP server ($serverip); the zero value leaves it as it is.
	Server netip.Addr
}

// dhcpTries and dhcpWait are how often DHCP is asked, and the wait between.
const (
	dhcpTries = 3
	dhcpWait  = 2 * time.Second
)

// DHCP asks for an address, up to three times, two seconds apart. Nothing is
// loaded: autoload is off meanwhile and then as before. Server is what U-Boot
// holds as $serverip afterwards, if anything. [ErrNoDHCP] and [ErrNoEthernet]
// name the usual failures.
func (s *Session) DHCP(ctx context.Context) (Network, error) {
	n, err := s.dhcp(ctx)
	if err != nil {
		return Network{}, s.fail("dhcp", "dhcp", err)
	}
	return n, nil
}

func (s *Session) dhcp(ctx context.Context) (n Network, err error) {
	before, err := s.env(ctx, "autoload")
	if err != nil && !errors.Is(err, ErrNotDefined) {
		return n, err
	}
	if err := s.setEnv(ctx, "autoload", "no"); err != nil {
		return n, errors.Join(err, s.putBack(ctx, setting{"autoload", before}))
	}
	if err := errors.Join(s.ask(ctx), s.putBack(ctx, setting{"autoload", before})); err != nil {
		return n, err
	}
	return s.network(ctx)
}

// ask runs dhcp until it gets an answer.
func (s *Session) ask(ctx context.Context) error {
	for try := 1; ; try++ {
		out, err := s.run(ctx, "dhcp", networkLoops())
		if err == nil && (s.hush || bound.MatchString(out)) {
			return nil
		}
		err = dhcpFailure(out, err)
		if try == dhcpTries || !errors.Is(err, ErrNoDHCP) || s.lost || ctx.Err() != nil {
			return err
		}
		s.cfg.log.Warn("No DHCP answer, trying again", "try", try, "of", dhcpTries)
		timer := time.NewTimer(dhcpWait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// dhcpFailure names what dhcp failed of.
func dhcpFailure(out string, err error) error {
	// Some ask for ever without a word, until the deadline.
	unanswered := errors.Is(err, context.DeadlineExceeded) && asked.MatchString(out)
	known := recognise(out, networkFailures())
	switch {
	case errors.Is(err, ErrReset), errors.Is(err, ErrCrash):
		return err
	case err == nil && errors.Is(known, ErrNoEthernet):
		return known
	case err == nil: // no exit status to tell
		return fmt.Errorf("%w: dhcp printed %q", ErrNoDHCP, out)
	case errors.Is(known, ErrNoEthernet):
		return fmt.Errorf("%w: %w", known, err)
	case errors.Is(known, ErrNoServer), isStatus(err), unanswered:
		return fmt.Errorf("%w: %w", ErrNoDHCP, err)
	}
	return err
}

// bound is what counts where there is no exit status.
var bound = regexp.MustCompile(`DHCP client bound to address`)

// asked is a request without the answer behind it.
var asked = regexp.MustCompile(`BOOTP broadcast \d+\s*$`)

func isStatus(err error) bool {
	var status *CommandError
	return errors.As(err, &status) && !errors.Is(err, ErrUnknownCommand)
}

// network reads what U-Boot's environment says.
func (s *Session) network(ctx context.Context) (n Network, err error) {
	address, err := s.address(ctx, "ipaddr")
	if err != nil {
		return n, err
	}
	if !address.IsValid() {
		return n, fmt.Errorf("%w: ipaddr is not set", ErrNoDHCP)
	}
	mask, err := s.address(ctx, "netmask")
	if err != nil {
		return n, err
	}
	bits := 24
	if mask.Is4() {
		ones, size := net.IPMask(mask.AsSlice()).Size()
		if size == 0 {
			return n, fmt.Errorf("netmask %v has holes", mask)
		}
		bits = ones
	}
	n.Address = netip.PrefixFrom(address, bits)
	if n.Gateway, err = s.address(ctx, "gatewayip"); err != nil {
		return n, err
	}
	n.Server, err = s.address(ctx, "serverip")
	return n, err
}

// address reads a variable that holds an address; the zero value is for one that
// is not set or is 0.0.0.0.
func (s *Session) address(ctx context.Context, name string) (netip.Addr, error) {
	text, err := s.env(ctx, name)
	if errors.Is(err, ErrNotDefined) {
		return netip.Addr{}, nil
	}
	if err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s: %w", name, err)
	}
	if a.IsUnspecified() {
		return netip.Addr{}, nil
	}
	return a, nil
}

// setting is an environment variable; the value "" stands for none.
type setting struct{ name, value string }

// putBack sets variables to what they were, also when ctx has ended, and all of
// them even if one fails. Nothing is to be put back on a board that is gone.
func (s *Session) putBack(ctx context.Context, before ...setting) error {
	if s.lost {
		return nil
	}
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), recoverTime)
		defer cancel()
	}
	var errs []error
	for _, v := range before {
		if err := s.setEnv(ctx, v.name, v.value); err != nil {
			errs = append(errs, fmt.Errorf("%s was not put back to %q: %w", v.name, v.value, err))
		}
	}
	return errors.Join(errs...)
}

// SetNetwork sets ipaddr, netmask, gatewayip and, where n has one, serverip.
func (s *Session) SetNetwork(ctx context.Context, n Network) error {
	if err := s.setNetwork(ctx, n); err != nil {
		return s.fail("network", "", err)
	}
	return nil
}

func (s *Session) setNetwork(ctx context.Context, n Network) error {
	if !n.Address.IsValid() || !n.Address.Addr().Is4() {
		return fmt.Errorf("%v is no IPv4 address with a prefix length", n.Address)
	}
	mask := net.CIDRMask(n.Address.Bits(), 32)
	gateway := ""
	if n.Gateway.IsValid() {
		gateway = n.Gateway.String()
	}
	settings := []setting{{"ipaddr", n.Address.Addr().String()}, {"netmask", net.IP(mask).String()}, {"gatewayip", gateway}}
	if n.Server.IsValid() {
		settings = append(settings, setting{"serverip", n.Server.String()})
	}
	for _, v := range settings {
		if err := s.setEnv(ctx, v.name, v.value); err != nil {
			return err
		}
	}
	return nil
}
