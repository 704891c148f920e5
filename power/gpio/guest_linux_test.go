package gpio_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/gpio"
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

// TestRealChip runs the driver where there is a GPIO chip: with Debian's kernel on
// QEMU's virt board, whose PL061 the kernel drives. This test is the only program
// there.
func TestRealChip(t *testing.T) {
	emulator := testtool.Need(t, "qemu-system-aarch64", "apt-get install qemu-system-arm")
	testtool.Need(t, "apt-get", "a Debian or Ubuntu system")
	pack := testtool.Need(t, "cpio", "apt-get install cpio")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	software, err := debian.Prepare(ctx, virtboard.ARM64, filepath.Join(cache, "dutflash-virtboard"), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(name string, stdin string, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64", "GOFLAGS=")
		var complaints strings.Builder
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s\n%s", name, err, complaints.String(), out)
		}
		return out
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	run("go", "", "-C", here, "test", "-c", "-ldflags=-s -w", "-o", filepath.Join(dir, "gpio.test"), ".")
	if err := os.WriteFile(filepath.Join(dir, "initramfs"), run(pack, "gpio.test\n", "-o", "-H", "newc", "--quiet"), 0o600); err != nil {
		t.Fatal(err)
	}
	said := run(emulator, "", "-M", "virt", "-cpu", "cortex-a57", "-m", "512", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", software.Kernel(), "-initrd", "initramfs", "-append", "console=ttyAMA0 panic=-1 quiet rdinit=/gpio.test DUTFLASH_TEST_GUEST=1")
	if !strings.Contains(string(said), "GUEST PASSED") {
		t.Errorf("on the board:\n%s", said)
	}
}

// guest is what is tried on the board. What the kernel itself thinks of a line is read
// from its debugfs.
func guest() error {
	for _, m := range []struct{ what, where string }{{"devtmpfs", "/dev"}, {"sysfs", "/sys"}, {"debugfs", "/sys/kernel/debug"}} {
		if err := errors.Join(os.MkdirAll(m.where, 0o755), unix.Mount(m.what, m.where, m.what, 0, "")); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, try := range []func(context.Context) error{switches, isActiveLow, isHeld, refuses, rescues} {
		if err := try(ctx); err != nil {
			return err
		}
	}
	return nil
}

// once has a driver try once.
var once = gpio.WithSwitching(power.Switching{Tries: 1})

// kernelSays looks for a line of the chip in the kernel's list.
func kernelSays(pattern string) error {
	list, err := os.ReadFile("/sys/kernel/debug/gpio")
	if err == nil && !regexp.MustCompile(pattern).Match(list) {
		err = fmt.Errorf("the kernel does not say %q:\n%s", pattern, list)
	}
	return err
}

func switches(ctx context.Context) error {
	c, err := gpio.New("gpiochip0", "5", once)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, on := range []bool{false, true, true, false} {
		do, level := c.Off, "lo"
		if on {
			do, level = c.On, "hi"
		}
		if err := do(ctx); err != nil {
			return err
		}
		state, err := c.State(ctx)
		if err != nil || state != on {
			return fmt.Errorf("state %v, %w; want %v", state, err, on)
		}
		if err := kernelSays(`gpio-\d+ \( *\|dutflash *\) out ` + level + `\b`); err != nil {
			return err
		}
	}
	return nil
}

func isActiveLow(ctx context.Context) error {
	c, err := gpio.New("/dev/gpiochip0", "4", once, gpio.WithActiveLow())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.On(ctx); err != nil {
		return err
	}
	if err := kernelSays(`\|dutflash *\) out lo .*ACTIVE LOW`); err != nil {
		return err
	}
	if err := c.Off(ctx); err != nil {
		return err
	}
	return kernelSays(`\|dutflash *\) out hi .*ACTIVE LOW`)
}

// isHeld: a line belongs to one program, and is free again after Close.
func isHeld(ctx context.Context) error {
	first, err := gpio.New("gpiochip0", "5", once)
	if err != nil {
		return err
	}
	second, err := gpio.New("gpiochip0", "5", once)
	if err != nil {
		return err
	}
	defer second.Close()
	if err := first.On(ctx); err != nil {
		return err
	}
	if err := second.On(ctx); err == nil || !strings.Contains(err.Error(), "another program or driver has the line") {
		return fmt.Errorf("a line that is held: %w", err)
	}
	if err := first.Close(); err != nil {
		return err
	}
	return second.On(ctx)
}

func refuses(ctx context.Context) error {
	for line, want := range map[string]error{"99": power.ErrRefused, "RELAY1": power.ErrNotFound} {
		c, err := gpio.New("gpiochip0", line, once)
		if err != nil {
			return err
		}
		if err := c.On(ctx); !errors.Is(err, want) {
			return fmt.Errorf("line %s: %w, want %w", line, err, want)
		}
	}
	return nil
}

// rescues: the boot strap is active from before power on until its time is over.
func rescues(ctx context.Context) error {
	c, err := gpio.New("gpiochip0", "5", once, gpio.WithRescueLine("gpiochip0", "6", 300*time.Millisecond))
	if err != nil {
		return err
	}
	defer c.Close()
	done := make(chan error, 1)
	go func() { done <- c.Rescue(ctx) }()
	lines := func(power, strap string) error {
		return kernelSays(`(?s)\|dutflash *\) out ` + power + `\b.*\|dutflash *\) out ` + strap + `\b`)
	}
	for _, want := range [][2]string{{"lo", "hi"}, {"hi", "hi"}} {
		for lines(want[0], want[1]) != nil {
			select {
			case err := <-done:
				return fmt.Errorf("power was never %s with the strap %s: %w", want[0], want[1], err)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	if err := <-done; err != nil {
		return err
	}
	return lines("hi", "lo")
}
