package flasher_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/uboot"
)

// interfacesBundle is set to the bundle in the process that runs in the namespace.
const interfacesBundle = "DUTFLASH_INTERFACES_BUNDLE"

// TestSeveralInterfaces: a host with two networks, of which the default route's is not
// the board's, and with two addresses in the board's, in a network namespace of its own.
// Real U-Boot loads from the address that faces it or that it is told, and every answer
// comes from there. What it loads is no kernel, to be short.
func TestSeveralInterfaces(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a network namespace with tap devices needs root")
	}
	dir := os.Getenv(interfacesBundle)
	if dir == "" {
		t.Parallel()
		dir = bundleDir(t, virtboard.ARM64, debian.Bundle{})
		for _, name := range []string{"kernel", "initramfs"} {
			if err := os.WriteFile(filepath.Join(dir, "data", name), testImage(mib), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), testtool.Need(t, "unshare", "apt-get install util-linux"), "-n", os.Args[0], "-test.run=^TestSeveralInterfaces$", "-test.v")
		cmd.Env = append(os.Environ(), interfacesBundle+"="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	bridge(t) // 10.9.7.1/24
	for _, line := range []string{
		"addr add 10.9.7.9/24 dev br0",
		"link add office type veth peer name office-peer", "addr add 10.9.5.1/24 dev office", "link set office up", "link set office-peer up",
		"route add default via 10.9.5.254",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	board := newTapBoard(t, 0, mib)
	defer board.Off(context.Background())
	at := netip.MustParseAddr
	for _, tc := range []struct {
		name string
		opts []flasher.Option
		from netip.Addr
	}{
		{"the address that faces the board", nil, at("10.9.7.1")},
		{"another address than the kernel would answer from", []flasher.Option{flasher.WithServerAddress(at("10.9.7.9"))}, at("10.9.7.9")},
		{"the address of another interface, behind the gateway", []flasher.Option{flasher.WithServerAddress(at("10.9.5.1"))}, at("10.9.5.1")},
		{"bound to that interface", []flasher.Option{flasher.WithServerAddress(at("10.9.5.1")), flasher.WithBindAddress(at("10.9.5.1"))}, at("10.9.5.1")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var console syncBuffer
			f, err := flasher.New(board.open, board, dir, append(tc.opts, flasher.WithCacheDir(t.TempDir()), flasher.WithTranscript(&console),
				flasher.WithCycleWait(10*time.Millisecond), flasher.WithRetries(0), flasher.WithTFTPWindow(2))...) // see BenchmarkFourBoardsTap
			if err != nil {
				t.Fatal(err)
			}
			stop := tftpSources(t, "br0")
			_, err = f.BusyboxShell(t.Context())
			sources := stop()
			if !errors.Is(err, uboot.ErrBadImage) {
				t.Fatalf("got %v, want everything loaded, and %v", err, uboot.ErrBadImage)
			}
			if n := strings.Count(console.String(), "TFTP from server "+tc.from.String()); n != 2 {
				t.Errorf("U-Boot loaded %d files from %v, want 2:\n%s", n, tc.from, console.String())
			}
			if len(sources) != 1 || sources[tc.from] < 300 {
				t.Errorf("packets from port 69 by source: %v, want all from %v", sources, tc.from)
			}
		})
	}
}

// tftpSources counts the packets from port 69 that go out by an interface, by their
// source.
func tftpSources(t *testing.T, name string) (stop func() map[netip.Addr]int) {
	t.Helper()
	link, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all & 0xffff, Ifindex: link.Index}))
	if err != nil {
		t.Fatal(err)
	}
	sources, done := map[netip.Addr]int{}, make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		defer unix.Close(fd)
		for p := make([]byte, 65536); ; {
			select {
			case <-done:
				return
			default:
			}
			n, _, err := unix.Recvfrom(fd, p, 0)
			if err != nil || n < 28 || p[0]>>4 != 4 || p[9] != unix.IPPROTO_UDP {
				continue
			}
			if header := int(p[0]&15) * 4; header+8 <= n && binary.BigEndian.Uint16(p[header:]) == 69 {
				sources[netip.AddrFrom4([4]byte(p[12:16]))]++
			}
		}
	})
	return func() map[netip.Addr]int {
		close(done)
		reading.Wait()
		return sources
	}
}
