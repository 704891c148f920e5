package flasher_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/uboot"
)

// firewalled is a network that lets the board's TFTP requests in, and none of the
// answers out.
type firewalled struct {
	flasher.Network
	address netip.Addr
}

func (n firewalled) Address() netip.Addr { return n.address }

func (n firewalled) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	conn, err := n.Network.ListenPacket(ctx, network, address)
	return deafConn{conn}, err
}

type deafConn struct{ net.PacketConn }

func (deafConn) WriteTo(p []byte, _ net.Addr) (int, error) { return len(p), nil }

// loopback is this host's own network with other ports than those that need a
// privilege.
type loopback struct{ net.ListenConfig }

func (l *loopback) ListenPacket(ctx context.Context, network, _ string) (net.PacketConn, error) {
	return l.ListenConfig.ListenPacket(ctx, network, "127.0.0.1:0")
}

func (l *loopback) Listen(ctx context.Context, network, _ string) (net.Listener, error) {
	return l.ListenConfig.Listen(ctx, network, "127.0.0.1:0")
}

// TestRealLoadErrors: what a real U-Boot does where its network is wrong, and what the
// error says of it. The boards wait most of the time, so they do it side by side.
func TestRealLoadErrors(t *testing.T) {
	t.Parallel()
	bundle := bundleDir(t, virtboard.ARM64, debian.Bundle{})
	wrong := netip.MustParseAddr("192.168.127.77")
	answers, nobody := newRig(t, virtboard.ARM64, mib), newRig(t, virtboard.ARM64, mib)
	foreign, _, _ := newDaemonBoard(t, t.TempDir()) // QEMU's TFTP server, for an empty directory
	var console syncBuffer
	overThere, err := flasher.New(foreign.open, foreign, bundle, flasher.WithNetwork(&loopback{}), flasher.WithServerAddress(netip.MustParseAddr("10.0.2.2")),
		flasher.WithCacheDir(t.TempDir()), flasher.WithTranscript(&console), flasher.WithCycleWait(10*time.Millisecond), flasher.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, tc := range []struct {
		name string
		f    *flasher.Flasher
		is   error
		not  error
		says []string // what U-Boot did, what this host saw of it, what to do
	}{
		{"answers are dropped", answers.flasher(t, bundle, flasher.WithRetries(0),
			flasher.WithNetwork(firewalled{answers.board.Network(), answers.board.Network().Address()})), uboot.ErrNoServer, uboot.ErrNoARP,
			[]string{`"tftpboot 0x`, "U-Boot asked 3 times, and acknowledged nothing of what it was sent",
				"the board's requests come to this host's port 69, and nothing that is sent back to it arrives", "seen by the TFTP server", "firewalls"}},
		{"nobody has the address", nobody.flasher(t, bundle, flasher.WithRetries(0), flasher.WithServerAddress(wrong)), uboot.ErrNoARP, uboot.ErrTFTP,
			[]string{`"tftpboot 0x`, "ARP Retry count exceeded", "nobody on the board's network answers for its address",
				"U-Boot was told that the server is 192.168.127.77, in its own network 192.168.127.0/24", "WithServerAddress"}},
		{"another server has the address", overThere, uboot.ErrTFTP, uboot.ErrNoServer,
			[]string{`"tftpboot 0x`, "TFTP error: 'File not found' (1)", "said by another TFTP server, 10.0.2.2: this host's never saw the request", "WithTFTPServer"}},
	} {
		wg.Go(func() {
			_, err := tc.f.BusyboxShell(t.Context())
			var typed *flasher.Error
			if !errors.As(err, &typed) || typed.Step != flasher.StepLoad || !errors.Is(err, tc.is) || errors.Is(err, tc.not) || errors.Is(err, context.Canceled) {
				t.Errorf("%s: got %v\nwant %v in step %q, and not %v", tc.name, err, tc.is, flasher.StepLoad, tc.not)
				return
			}
			for _, says := range tc.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%s: the error does not say %q: %v", tc.name, says, err)
				}
			}
			t.Logf("%s:\n%v", tc.name, err)
		})
	}
	wg.Wait()
	answers.isOff(t)
	nobody.isOff(t)
}
