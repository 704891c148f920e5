package gpio_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/guest"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/gpio"
)

func TestMain(m *testing.M) { guest.Main(m, onTheBoard) }

// TestRealChip runs the driver where there is a GPIO chip: with Debian's kernel on
// QEMU's virt board, whose PL061 the kernel drives.
func TestRealChip(t *testing.T) { guest.Run(t, guest.Machine{Arch: virtboard.ARM64}) }

// onTheBoard is what is tried there. What the kernel itself thinks of a line is read
// from its debugfs.
func onTheBoard() error {
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
