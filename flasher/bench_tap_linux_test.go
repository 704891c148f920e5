package flasher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/dutflash/dutflash/transport/image"
)

// tapBundle is set to the bundle in the process that runs in the namespace.
const tapBundle = "DUTFLASH_TAP_BUNDLE"

// BenchmarkFourBoardsTap is BenchmarkFourBoards with the boards' networks outside of
// this process: real U-Boot and Linux on tap devices on a bridge, the kernel's own
// TCP/IP, and dnsmasq for DHCP, in a network namespace of its own. What is left in
// this process is what a lab's host pays: TFTP, HTTP, consoles and the plan.
func BenchmarkFourBoardsTap(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("a network namespace with tap devices needs root")
	}
	dir := os.Getenv(tapBundle)
	if dir == "" {
		cmd := exec.CommandContext(b.Context(), testtool.Need(b, "unshare", "apt-get install util-linux"), "-n", os.Args[0],
			"-test.run=^$", "-test.bench=^BenchmarkFourBoardsTap$", "-test.benchtime=1x", fmt.Sprintf("-test.short=%v", testing.Short()))
		cmd.Env = append(os.Environ(), tapBundle+"="+bundleDir(b, virtboard.ARM64, debian.Bundle{}))
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		return
	}
	bridge(b)
	size := int64(256 * mib)
	if testing.Short() {
		size = 64 * mib
	}
	raw, _ := benchImage(b, "image.raw", size, func(int) bool { return false })
	src, err := image.Open(compressed(b, raw, "xz", ".xz", "-1", "-T2"))
	if err != nil {
		b.Fatal(err)
	}
	cache := b.TempDir()
	prepared, err := image.Prepare(b.Context(), src, image.WithCacheDir(cache))
	if err != nil {
		b.Fatal(err)
	}
	defer prepared.Close()
	if err := prepared.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	serve := func(boards int) time.Duration {
		servers, err := flasher.NewServers(nil)
		if err != nil {
			b.Fatal(err)
		}
		defer servers.Close()
		var flashers []*flasher.Flasher
		for i := range boards {
			t := newTapBoard(b, i, size+16*mib)
			defer t.Off(context.Background())
			f, err := flasher.New(t.open, t, dir, flasher.WithServers(servers), flasher.WithCacheDir(cache),
				flasher.WithServerAddress(netip.MustParseAddr("10.9.7.1")), flasher.WithCycleWait(10*time.Millisecond), flasher.WithRetries(0),
				flasher.WithTFTPWindow(2)) // a full ring puts the card of U-Boot to sleep; internal/virtboard wakes it
			if err != nil {
				b.Fatal(err)
			}
			flashers = append(flashers, f)
		}
		begun := hostCPU(b)
		var wg sync.WaitGroup
		for _, f := range flashers {
			wg.Go(func() {
				res, err := f.FlashPrepared(b.Context(), prepared)
				if err != nil || res.SHA256 != prepared.SHA256() {
					b.Errorf("%+v, %v", res, err)
				}
			})
		}
		wg.Wait()
		return hostCPU(b) - begun
	}
	for b.Loop() {
		one, four := serve(1), serve(4)
		fmt.Printf("\nnetworks outside the process, %d MiB image: CPU of the host to serve one board %.2f s, four boards at once %.2f s\n", size/mib, one.Seconds(), four.Seconds())
		benchRatio(b, "tap: four boards / one: serve", four.Seconds()/one.Seconds(), 4.2)
	}
}

// bridge sets up the namespace that this process is in.
func bridge(b testing.TB) {
	b.Helper()
	for _, line := range []string{"link set lo up", "link add br0 type bridge", "addr add 10.9.7.1/24 dev br0", "link set br0 up"} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			b.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	cmd := exec.Command(testtool.Need(b, "dnsmasq", "apt-get install dnsmasq-base"), "--no-daemon", "--conf-file=/dev/null", "--port=0",
		"--interface=br0", "--bind-interfaces", "--dhcp-range=10.9.7.10,10.9.7.99", "--dhcp-leasefile="+filepath.Join(b.TempDir(), "leases"), "--pid-file=")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// tapBoard is a QEMU with a tap device on the bridge. It is switched on once.
type tapBoard struct {
	tap, disk, mac string

	mu     sync.Mutex
	serial *os.File // QEMU's end of the console
	cmd    *exec.Cmd
}

func newTapBoard(b testing.TB, n int, size int64) *tapBoard {
	b.Helper()
	t := &tapBoard{tap: fmt.Sprintf("tap%d", n), disk: filepath.Join(b.TempDir(), "disk"), mac: fmt.Sprintf("52:54:00:12:35:%02x", n)}
	err := errors.Join(os.WriteFile(t.disk, nil, 0o600), os.Truncate(t.disk, size))
	exec.Command("ip", "tuntap", "add", t.tap, "mode", "tap").Run() // it may be there from the run before
	for _, line := range []string{"link set " + t.tap + " master br0", "link set " + t.tap + " up"} {
		if out, ipErr := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); ipErr != nil {
			err = errors.Join(err, fmt.Errorf("ip %s: %w: %s", line, ipErr, out))
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	return t
}

func (t *tapBoard) open(context.Context) (io.ReadWriteCloser, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "serial")
	defer ours.Close() // FileConn duplicates it
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serial = theirs
	return net.FileConn(ours)
}

// On starts QEMU; see internal/virtboard for its devices.
func (t *tapBoard) On(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cmd != nil {
		return nil
	}
	cmd := exec.Command("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-m", "512", "-nodefaults", "-no-user-config", "-display", "none",
		"-bios", "/usr/lib/u-boot/qemu_arm64/u-boot.bin", "-chardev", "socket,id=console,fd=3", "-serial", "chardev:console",
		"-netdev", "tap,id=net0,script=no,downscript=no,ifname="+t.tap, "-device", "virtio-net-device,netdev=net0,bus=virtio-mmio-bus.31,mac="+t.mac,
		"-drive", "if=none,id=disk0,format=raw,file="+t.disk, "-device", "virtio-blk-device,bus=virtio-mmio-bus.0,drive=disk0")
	cmd.ExtraFiles, cmd.Stderr = []*os.File{t.serial}, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	t.cmd = cmd
	return t.serial.Close()
}

func (t *tapBoard) Off(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cmd == nil {
		return nil
	}
	t.cmd.Process.Kill()
	t.cmd.Wait()
	t.cmd = nil
	return nil
}
