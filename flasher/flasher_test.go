package flasher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/transport/image"
	"github.com/dutflash/dutflash/uboot"
)

// takenPort refuses the TFTP port as an operating system does.
type takenPort struct {
	flashertest.Loopback
	err error
}

func (n *takenPort) ListenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	return nil, &net.OpError{Op: "listen", Net: network, Err: os.NewSyscallError("bind", n.err)}
}

// tinyBundle is a bundle that never gets to boot.
func tinyBundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"manifest.yaml": `apiVersion: jumpstarter.dev/v1alpha1
kind: FlashBundleManifest
metadata:
  name: tiny
spec:
  bootcmd: booti 0x82000000 - 0x84000000
  default_target: emmc
  targets:
    emmc: /dev/mmcblk0
  kernel:
    file: data/Image
    address: "0x82000000"
`,
		"data/Image": "kernel",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// quiet has short limits and no retries.
func quiet(t *testing.T, opts ...flasher.Option) []flasher.Option {
	return append([]flasher.Option{
		flasher.WithNetwork(&flashertest.Loopback{}), flasher.WithCacheDir(t.TempDir()), flasher.WithRetries(0),
		flasher.WithCycleWait(time.Millisecond), flasher.WithTimeouts(flasher.Timeouts{Bootloader: 3 * time.Second}),
	}, opts...)
}

// TestBeforeTheBootloader: what fails before U-Boot answers, with what the error
// has to say and what was done to the board.
func TestBeforeTheBootloader(t *testing.T) {
	broken := errors.New("no such hub")
	image := imageFile(t, "image.raw", testImage(mib))
	for _, tc := range []struct {
		name  string
		board *flashertest.Cable
		opts  []flasher.Option
		step  flasher.Step
		is    error
		says  string
		did   []string
	}{
		{
			name: "TFTP port is taken", board: &flashertest.Cable{}, opts: []flasher.Option{flasher.WithNetwork(&takenPort{err: syscall.EADDRINUSE})},
			step: flasher.StepServe, is: flasher.ErrPortTaken, says: "another TFTP daemon",
		},
		{
			name: "TFTP port is for root", board: &flashertest.Cable{}, opts: []flasher.Option{flasher.WithNetwork(&takenPort{err: syscall.EACCES})},
			step: flasher.StepServe, is: flasher.ErrPortPermission, says: "cap_net_bind_service",
		},
		{
			name: "console cannot be opened", board: &flashertest.Cable{OpenErr: broken},
			step: flasher.StepConsole, is: broken, says: "no such hub",
		},
		{
			name: "power switch fails", board: &flashertest.Cable{PowerErr: broken},
			step: flasher.StepPower, is: broken, says: "power", did: []string{"open", "off", "off"},
		},
		{
			name: "board is silent", board: &flashertest.Cable{},
			step: flasher.StepBootloader, is: uboot.ErrSilent, says: "baud rate", did: []string{"open", "off", "on", "off"},
		},
		{
			name: "board never answers", board: &flashertest.Cable{Says: "\r\nU-Boot SPL 2024.01\r\nDDR training...\r\n"},
			step: flasher.StepBootloader, is: context.DeadlineExceeded, says: "DDR training...", did: []string{"open", "off", "on", "off"},
		},
		{
			name: "option that the console refuses", board: &flashertest.Cable{}, opts: []flasher.Option{flasher.WithConsoleOptions(console.WithWindow(1))},
			step: flasher.StepConsole, is: flasher.ErrConfig, says: "too small", did: []string{"open"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			f, err := flasher.New(tc.board.Open, tc.board, tinyBundle(t), quiet(t, tc.opts...)...)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Flash(t.Context(), image)
			var typed *flasher.Error
			if !errors.As(err, &typed) || typed.Step != tc.step || !errors.Is(err, tc.is) {
				t.Fatalf("got %v, want a *flasher.Error of step %q that wraps %v", err, tc.step, tc.is)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("the error does not say %q:\n%v", tc.says, err)
			}
			if !slices.Equal(tc.board.Did(), tc.did) {
				t.Errorf("the board saw %q, want %q", tc.board.Did(), tc.did)
			}
			tc.board.Close()
			leaks(t, before)
		})
	}
}

// leaks fails the test if goroutines stay behind.
func leaks(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}

func TestNewRefuses(t *testing.T) {
	b := &flashertest.Cable{}
	for _, tc := range []struct {
		name   string
		open   flasher.OpenConsole
		bundle string
		opts   []flasher.Option
	}{
		{"no console", nil, "ref", nil},
		{"no bundle", b.Open, "", nil},
		{"nil logger", b.Open, "ref", []flasher.Option{flasher.WithLogger(nil)}},
		{"nil network", b.Open, "ref", []flasher.Option{flasher.WithNetwork(nil)}},
		{"server address that nobody has", b.Open, "ref", []flasher.Option{flasher.WithServerAddress(netip.IPv4Unspecified())}},
		{"port", b.Open, "ref", []flasher.Option{flasher.WithHTTPPort(65536)}},
		{"method", b.Open, "ref", []flasher.Option{flasher.WithMethod("carrier pigeon")}},
		{"verify", b.Open, "ref", []flasher.Option{flasher.WithVerify("some")}},
		{"retries", b.Open, "ref", []flasher.Option{flasher.WithRetries(-1)}},
		{"timeout", b.Open, "ref", []flasher.Option{flasher.WithTimeouts(flasher.Timeouts{Boot: -1})}},
		{"cycle wait", b.Open, "ref", []flasher.Option{flasher.WithCycleWait(0)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := flasher.New(tc.open, b, tc.bundle, tc.opts...)
			var typed *flasher.Error
			if !errors.Is(err, flasher.ErrConfig) || !errors.As(err, &typed) {
				t.Errorf("got %v, want a *flasher.Error that wraps ErrConfig", err)
			}
		})
	}
}

func TestOneOperationAtATime(t *testing.T) {
	b := &flashertest.Cable{Says: "U-Boot SPL\r\n"}
	defer b.Close()
	started := make(chan struct{})
	var once sync.Once
	f, err := flasher.New(b.Open, b, tinyBundle(t), quiet(t, flasher.WithProgress(func(ev flasher.Event) {
		if ev.Step == flasher.StepBootloader {
			once.Do(func() { close(started) })
		}
	}))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := f.BootloaderShell(ctx)
		ended <- err
	}()
	<-started
	if _, err := f.BusyboxShell(ctx); !errors.Is(err, flasher.ErrBusy) {
		t.Errorf("a second operation: %v, want ErrBusy", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the first operation: %v, want context.Canceled", err)
	}
}

// TestImageThatIsNotToBeHad: the board is left as it is.
func TestImageThatIsNotToBeHad(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "image.raw")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct {
		ref  string
		opts []flasher.Option
		want error
	}{
		{"http://127.0.0.1:1/image.raw", nil, image.ErrUnreachable},
		{write(""), nil, image.ErrEmpty},
		{write("an image"), []flasher.Option{flasher.WithPrepareOptions(image.WithSHA256File(write("no checksum")))}, image.ErrInvalid},
		{write("\xfd7zXZ\x00damaged"), nil, image.ErrCorrupt},
	} {
		b := &flashertest.Cable{Says: "U-Boot SPL\r\n"}
		f, err := flasher.New(b.Open, b, tinyBundle(t), quiet(t, append(tc.opts, flasher.WithCacheDir(t.TempDir()))...)...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Flash(t.Context(), tc.ref)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.ref, err, tc.want)
		}
		if did := b.Did(); len(did) > 0 {
			t.Errorf("%s: the board was touched: %v", tc.ref, did)
		}
		b.Close()
	}
}

// closer counts how often it is closed.
type closer struct {
	closed int
	err    error
}

func (c *closer) Close() error { c.closed++; return c.err }

// TestClose: what belongs to the Flasher goes with it, once, and not under an operation.
func TestClose(t *testing.T) {
	b := &flashertest.Cable{Says: "U-Boot SPL\r\n"}
	defer b.Close()
	held, stuck := &closer{}, &closer{err: errors.New("stuck")}
	started := make(chan struct{})
	var once sync.Once
	f, err := flasher.New(b.Open, b, tinyBundle(t), quiet(t, flasher.WithCloser(held), flasher.WithCloser(stuck), flasher.WithProgress(func(ev flasher.Event) {
		if ev.Step == flasher.StepBootloader {
			once.Do(func() { close(started) })
		}
	}))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := f.BootloaderShell(ctx)
		ended <- err
	}()
	<-started
	if err := f.Close(); !errors.Is(err, flasher.ErrBusy) || held.closed != 0 {
		t.Errorf("Close under an operation: %v, closed %d times", err, held.closed)
	}
	cancel()
	<-ended
	if err := f.Close(); !errors.Is(err, stuck.err) {
		t.Errorf("Close: %v, want what the second says", err)
	}
	if err := f.Close(); err != nil || held.closed != 1 || stuck.closed != 1 {
		t.Errorf("the second Close: %v; closed %d and %d times", err, held.closed, stuck.closed)
	}
	if _, err := f.BootloaderShell(t.Context()); !errors.Is(err, flasher.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
	if _, err := flasher.New(b.Open, b, "x", flasher.WithCloser(nil)); !errors.Is(err, flasher.ErrConfig) {
		t.Errorf("nothing to close: %v, want ErrConfig", err)
	}
}

// Example shows what a program hands to New. The board here is nobody's; see
// examples/qemu for one that boots.
func Example() {
	open := func(context.Context) (io.ReadWriteCloser, error) { return nil, errors.New("cable not plugged in") }
	board := &flashertest.Cable{}
	f, err := flasher.New(open, board, "quay.io/jumpstarter-dev/jumpstarter-flasher-ti-j784s4:latest",
		flasher.WithDefaultTarget("emmc"), flasher.WithRetries(1))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = f.Flash(context.Background(), "/no/such/image.raw.xz")
	var typed *flasher.Error
	if errors.As(err, &typed) {
		fmt.Println("failed at:", typed.Step)
	}
	// Output: failed at: check
}
