package virtboard_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/virtboard"
)

func TestListenAddresses(t *testing.T) {
	n := newBoard(t, virtboard.Config{Arch: virtboard.ARM64}).Network()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	listen := func(ctx context.Context, network, address string) (string, func() error, error) {
		if strings.HasPrefix(network, "udp") {
			c, err := n.ListenPacket(ctx, network, address)
			if err != nil {
				return "", nil, err
			}
			return c.LocalAddr().String(), c.Close, nil
		}
		l, err := n.Listen(ctx, network, address)
		if err != nil {
			return "", nil, err
		}
		return l.Addr().String(), l.Close, nil
	}
	for _, network := range []string{"tcp", "tcp4", "udp", "udp4"} {
		addr, closer, err := listen(t.Context(), network, ":69")
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		if addr != "192.168.127.1:69" {
			t.Errorf("%s: address %s", network, addr)
		}
		if _, _, err := listen(t.Context(), network, "192.168.127.1:69"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s: port in use: %v", network, err)
		}
		if _, _, err := listen(t.Context(), network, "127.0.0.1:0"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("%s: another host's address: %v", network, err)
		}
		if _, _, err := listen(cancelled, network, ":70"); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled: %v", network, err)
		}
		if err := closer(); err != nil {
			t.Error(err)
		}
		_, closer, err = listen(t.Context(), network, "0.0.0.0:69")
		if err != nil {
			t.Fatalf("%s: port is free again: %v", network, err)
		}
		closer()
	}
	if _, err := n.Listen(t.Context(), "udp", ":1"); err == nil {
		t.Error("Listen took a packet network")
	}
	if _, err := n.ListenPacket(t.Context(), "tcp", ":1"); err == nil {
		t.Error("ListenPacket took a stream network")
	}
}

func TestFaultsOutOfRange(t *testing.T) {
	n := newBoard(t, virtboard.Config{Arch: virtboard.ARM64}).Network()
	for _, f := range []virtboard.Faults{{Loss: -0.1}, {Loss: 1.1}, {Loss: math.NaN()}, {Delay: -1}} {
		if err := n.SetFaults(f); err == nil {
			t.Errorf("%+v: no error", f)
		}
	}
}

// TestFaults has U-Boot meet each fault.
func TestFaults(t *testing.T) {
	b := newBoard(t, virtboard.Config{Arch: virtboard.ARM64, NoRouter: true})
	n := b.Network()
	term := openTerminal(t, b)
	powerOn(t, b)
	term.uboot()
	term.run("setenv autoload no")
	set := func(f virtboard.Faults) {
		t.Helper()
		if err := n.SetFaults(f); err != nil {
			t.Fatal(err)
		}
	}
	noAnswer := func(f virtboard.Faults) {
		t.Helper()
		set(f)
		term.send("dhcp\n")
		term.expect("BOOTP broadcast 3") // no answer to the first two
		set(virtboard.Faults{})
		term.expect("DHCP client bound")
		term.expect("=> ")
	}
	noAnswer(virtboard.Faults{NoDHCP: true})
	noAnswer(virtboard.Faults{LinkDown: true})
	noAnswer(virtboard.Faults{Loss: 1})
	if out := term.run("printenv gatewayip"); !strings.Contains(out, "not defined") {
		t.Errorf("an isolated network has a router: %q", out)
	}
	const delay = 300 * time.Millisecond
	set(virtboard.Faults{Delay: delay})
	began := time.Now()
	if out := term.run("ping 192.168.127.1"); !strings.Contains(out, "is alive") {
		t.Errorf("ping with a delay: %q", out)
	}
	if took := time.Since(began); took < delay { // that it waits is what is tested
		t.Errorf("ping took %v with a delay of %v", took, delay)
	}
}
