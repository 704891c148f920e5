package usbhub_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/guest"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/usbhub"
)

func TestMain(m *testing.M) { guest.Main(m, onThePC) }

// TestRealKernel runs the driver where there are USB hubs: with Debian's kernel on a
// PC of QEMU's, which has one hub that switches its ports and one that does not.
func TestRealKernel(t *testing.T) {
	guest.Run(t, guest.Machine{Arch: debian.PC, Modules: []string{"xhci_pci"}, QEMUArgs: []string{
		"-device", "qemu-xhci,id=x", "-device", "usb-hub,bus=x.0,port=1,port-power=on", "-device", "usb-tablet,bus=x.0,port=1.2",
		"-device", "usb-hub,bus=x.0,port=2", "-device", "usb-tablet,bus=x.0,port=2.1",
	}})
}

// onThePC is what is tried there.
func onThePC() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := errors.Join(plugged(ctx, "1-1.2", true), plugged(ctx, "1-2.1", true)); err != nil {
		return err
	}
	// What hangs on the port is gone while its power is off.
	if err := switches(ctx, func(on bool) error { return plugged(ctx, "1-1.2", on) }); err != nil {
		return fmt.Errorf("by the kernel's file: %w", err)
	}
	// A kernel before 6.0 does not have the file: without the port's directory the
	// driver sends the requests itself.
	if err := os.MkdirAll("/tmp/devices", 0o755); err != nil {
		return err
	}
	if err := os.Symlink(devices+"/1-1", "/tmp/devices/1-1"); err != nil {
		return err
	}
	// QEMU's hub does not report then that its device is gone; the kernel's file asks
	// the hub.
	if err := switches(ctx, disabled, usbhub.WithDevices("/tmp/devices")); err != nil {
		return fmt.Errorf("by usbfs: %w", err)
	}
	return refuses(ctx)
}

const devices = "/sys/bus/usb/devices"

// plugged waits until the kernel sees a device, or none any more.
func plugged(ctx context.Context, name string, want bool) error {
	for {
		if _, err := os.Stat(filepath.Join(devices, name)); (err == nil) == want {
			return nil
		}
		select {
		case <-ctx.Done():
			all, _ := filepath.Glob(devices + "/*")
			return fmt.Errorf("device %s: want it there %v; there are %v", name, want, all)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// disabled asks the kernel about the port.
func disabled(on bool) error {
	text, err := os.ReadFile(devices + "/1-1:1.0/1-1-port2/disable")
	if want := map[bool]string{true: "0", false: "1"}[on]; err == nil && strings.TrimSpace(string(text)) != want {
		err = fmt.Errorf("the kernel's file for the port says %q, want %s", text, want)
	}
	return err
}

// switches looks with seen whether the port does what the driver says.
func switches(ctx context.Context, seen func(on bool) error, opts ...usbhub.Option) error {
	c, err := usbhub.New("1-1", 2, append(opts, usbhub.WithSwitching(power.Switching{Tries: 1}))...)
	if err != nil {
		return err
	}
	for _, on := range []bool{true, false, false, true} {
		do := c.Off
		if on {
			do = c.On
		}
		if err := do(ctx); err != nil {
			return err
		}
		state, err := c.State(ctx)
		if err != nil || state != on {
			return fmt.Errorf("state %v, %w; want %v", state, err, on)
		}
		if err := seen(on); err != nil {
			return err
		}
	}
	return nil
}

// refuses: hubs and ports that cannot be switched, or are not there.
func refuses(ctx context.Context) error {
	for _, tc := range []struct {
		hub  string
		port int
		want error
	}{{"1-2", 1, power.ErrUnsupported}, {"1-1", 9, power.ErrNotFound}, {"1-1.2", 1, power.ErrNotFound}, {"1-3", 1, power.ErrNotFound}} {
		c, err := usbhub.New(tc.hub, tc.port, usbhub.WithSwitching(power.Switching{Tries: 1}))
		if err != nil {
			return err
		}
		if err := c.Off(ctx); !errors.Is(err, tc.want) {
			return fmt.Errorf("port %d of hub %s: %w, want %w", tc.port, tc.hub, err, tc.want)
		}
	}
	return plugged(ctx, "1-2.1", true)
}
