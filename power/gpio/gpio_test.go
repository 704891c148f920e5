package gpio_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/gpio"
)

func TestNoChip(t *testing.T) {
	want := power.ErrUnsupported
	if runtime.GOOS == "linux" {
		want = power.ErrNotFound
	}
	c, err := gpio.New("/dev/gpiochip987", "17", gpio.WithSwitching(power.Switching{Tries: 2, Pause: time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	_, stateErr := c.State(t.Context())
	for _, err := range []error{c.On(t.Context()), c.Off(t.Context()), stateErr} {
		var typed *power.Error
		if !errors.Is(err, want) || !errors.As(err, &typed) || !strings.Contains(err.Error(), "gpiochip987 line 17") {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if err := c.Rescue(t.Context()); !errors.Is(err, power.ErrUnsupported) {
		t.Errorf("rescue without a line for it: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.On(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := c.On(t.Context()); !errors.Is(err, power.ErrRefused) {
		t.Errorf("on after Close: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, f := range map[string]func() (*gpio.Controller, error){
		"no chip":       func() (*gpio.Controller, error) { return gpio.New("", "1") },
		"path":          func() (*gpio.Controller, error) { return gpio.New("../x", "1") },
		"no line":       func() (*gpio.Controller, error) { return gpio.New("gpiochip0", "") },
		"negative":      func() (*gpio.Controller, error) { return gpio.New("gpiochip0", "-1") },
		"drive":         func() (*gpio.Controller, error) { return gpio.New("gpiochip0", "1", gpio.WithDrive(9)) },
		"bias":          func() (*gpio.Controller, error) { return gpio.New("gpiochip0", "1", gpio.WithBias(9)) },
		"same line":     func() (*gpio.Controller, error) { return gpio.New("g", "1", gpio.WithRescueLine("g", "1", 0)) },
		"negative hold": func() (*gpio.Controller, error) { return gpio.New("g", "1", gpio.WithRescueLine("g", "2", -1)) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
}

func ExampleNew() {
	board, err := gpio.New("gpiochip0", "17", gpio.WithActiveLow(), gpio.WithRescueLine("gpiochip0", "27", 500*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer board.Close()
	// board.On(ctx) drives line 17 low; board.Rescue(ctx) starts with line 27 low.
	var _ power.Rescuer = board
}
