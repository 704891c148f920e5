package usbhub_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/usbhub"
)

// TestMain is the init process where the test below boots a kernel with it, which
// makes an environment variable of what it does not know on its command line.
func TestMain(m *testing.M) {
	if os.Getpid() != 1 || os.Getenv("DUTFLASH_TEST_GUEST") == "" {
		os.Exit(m.Run())
	}
	if err := guest(); err != nil {
		fmt.Printf("\nGUEST FAILED: %v\n", err)
	} else {
		fmt.Print("\nGUEST PASSED\n")
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// modules are what the kernel needs for the hubs, in the order to load them.
func modules() []string {
	return []string{"usb-common.ko", "usbcore.ko", "xhci-hcd.ko", "xhci-pci.ko"}
}

// TestRealKernel runs the driver where there are USB hubs: with Debian's kernel on a
// PC of QEMU's, which has one hub that switches its ports and one that does not. This
// test is the only program there.
func TestRealKernel(t *testing.T) {
	emulator := testtool.Need(t, "qemu-system-x86_64", "apt-get install qemu-system-x86")
	pack := testtool.Need(t, "cpio", "apt-get install cpio")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
		return cmd
	}
	unpackKernel(t, command, dir)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := command("go", "-C", here, "test", "-c", "-ldflags=-s -w", "-o", filepath.Join(dir, "init"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cpio := command(pack, "-o", "-H", "newc", "--quiet")
	cpio.Stdin = strings.NewReader("init\n" + strings.Join(modules(), "\n") + "\n")
	initramfs, err := cpio.Output()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "initramfs"), initramfs, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	said, err := command(emulator, "-accel", "tcg", "-m", "512", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nic", "none",
		"-kernel", "vmlinuz", "-initrd", "initramfs", "-append", "console=ttyS0 panic=-1 quiet rdinit=/init DUTFLASH_TEST_GUEST=1",
		"-device", "qemu-xhci,id=x", "-device", "usb-hub,bus=x.0,port=1,port-power=on", "-device", "usb-tablet,bus=x.0,port=1.2",
		"-device", "usb-hub,bus=x.0,port=2", "-device", "usb-tablet,bus=x.0,port=2.1").CombinedOutput()
	if err != nil || !strings.Contains(string(said), "GUEST PASSED") {
		t.Errorf("%v; on the PC:\n%s", err, said)
	}
}

// unpackKernel gets Debian's kernel for PCs with apt-get, which remembers nothing of
// it, and puts it and its modules into dir.
func unpackKernel(t *testing.T, command func(string, ...string) *exec.Cmd, dir string) {
	t.Helper()
	testtool.Need(t, "apt-get", "a Debian system")
	testtool.Need(t, "dpkg-deb", "a Debian system")
	list, err := command("apt-cache", "depends", "linux-image-amd64").CombinedOutput()
	name := regexp.MustCompile(`Depends: (linux-image-\S+)`).FindSubmatch(list)
	if err != nil || name == nil {
		testtool.Missing(t, fmt.Sprintf("Debian's kernel for PCs (%v: %s)", err, list), "apt-get update on a PC")
	}
	// As root, apt would warn that its own user may not write here.
	if out, err := command("apt-get", "-o", "APT::Sandbox::User=root", "download", string(name[1])).CombinedOutput(); err != nil {
		testtool.Missing(t, fmt.Sprintf("Debian's kernel for PCs (%v: %s)", err, out), "a network and apt-get update")
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatalf("%v, %v", debs, err)
	}
	unpack := command("dpkg-deb", "--fsys-tarfile", debs[0])
	files, err := unpack.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := unpack.Start(); err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{"vmlinuz": true}
	for _, m := range modules() {
		wanted[m] = true
	}
	for r := tar.NewReader(files); len(wanted) > 0; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("without %v: %v", wanted, err)
		}
		name := filepath.Base(h.Name)
		if strings.HasPrefix(name, "vmlinuz-") {
			name = "vmlinuz"
		}
		if !wanted[name] {
			continue
		}
		delete(wanted, name)
		content, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	unpack.Process.Kill() // what is left is of no interest
	unpack.Wait()
}

// guest is what is tried on the PC.
func guest() error {
	for _, m := range []struct{ what, where string }{{"devtmpfs", "/dev"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}} {
		if err := errors.Join(os.MkdirAll(m.where, 0o755), unix.Mount(m.what, m.where, m.what, 0, "")); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	for _, m := range modules() {
		f, err := os.Open("/" + m)
		if err == nil {
			err = errors.Join(unix.FinitModule(int(f.Fd()), "", 0), f.Close())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
	}
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
