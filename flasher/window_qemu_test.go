package flasher_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/uboot"
)

// narrowNetwork is that of a board whose network card has few buffers.
type narrowNetwork struct {
	flasher.Network
	address netip.Addr
	buffers int64
}

func (n narrowNetwork) Address() netip.Addr { return n.address }

func (n narrowNetwork) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	conn, err := n.Network.ListenPacket(ctx, network, address)
	return &narrowConn{PacketConn: conn, buffers: n.buffers}, err
}

// narrowConn loses what comes at once and is more than the buffers hold.
type narrowConn struct {
	net.PacketConn
	buffers int64

	mu   sync.Mutex
	used int64
	last time.Time
}

func (c *narrowConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, a, err := c.PacketConn.ReadFrom(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = 0 // the board has read them, and says something
	return n, a, err
}

func (c *narrowConn) WriteTo(p []byte, to net.Addr) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.last) > time.Millisecond { // the board has read them
		c.used = 0
	}
	c.last = time.Now()
	if c.used++; c.used > c.buffers {
		return len(p), nil
	}
	return c.PacketConn.WriteTo(p, to)
}

// TestWindowRemembered: what a real U-Boot loses of the first operation's windows,
// the next operation of the same Flasher does not ask for any more. What it loads is
// no kernel, to be short: it boots nothing.
func TestWindowRemembered(t *testing.T) {
	t.Parallel()
	r := newRig(t, virtboard.ARM64, mib)
	dir := bundleDir(t, virtboard.ARM64, debian.Bundle{})
	for _, name := range []string{"kernel", "initramfs"} {
		if err := os.WriteFile(filepath.Join(dir, "data", name), testImage(2*mib), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	narrow := narrowNetwork{r.board.Network(), r.board.Network().Address(), 5}
	f := r.flasher(t, dir, flasher.WithNetwork(narrow), flasher.WithRetries(0))
	for range 2 {
		if _, err := f.BusyboxShell(t.Context()); !errors.Is(err, uboot.ErrBadImage) {
			t.Fatalf("got %v, want everything loaded, and %v", err, uboot.ErrBadImage)
		}
	}
	asked := regexp.MustCompile(`setenv tftpwindowsize '?(\d+)`).FindAllStringSubmatch(r.console.String(), -1)
	if len(asked) < 2 {
		t.Fatalf("U-Boot was told windows of %q", asked)
	}
	first, _ := strconv.Atoi(asked[0][1])
	last, _ := strconv.Atoi(asked[len(asked)-1][1])
	if first != 16 || last < 1 || last > 5 {
		t.Errorf("the first window is %d and the last %d, want 16, and at most the 5 that the card holds; all: %q", first, last, asked)
	}
}
