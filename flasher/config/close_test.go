package config_test

import (
	"context"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/power"
)

// holding is a switch that holds something of the system.
type holding struct{ closed *int }

func (holding) On(context.Context) error  { return nil }
func (holding) Off(context.Context) error { return nil }
func (h holding) Release() error          { *h.closed++; return nil }

// TestSwitchIsReleased: a switch that holds something goes with its Flasher, and with a
// Flasher that there is not.
func TestSwitchIsReleased(t *testing.T) {
	closed := 0
	f, err := config.Parse([]byte("boards:\n  a: {flasher_bundle: x, serial: tcp://rack:1, power: {type: ours}}\n"),
		config.WithPower("ours", func(config.Settings) (power.Controller, error) { return holding{&closed}, nil }))
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Board("a")
	if err != nil {
		t.Fatal(err)
	}
	closed = 0
	fl, err := b.Flasher()
	if err != nil || closed != 0 {
		t.Fatalf("%v, closed %d times", err, closed)
	}
	if err := fl.Close(); err != nil || closed != 1 {
		t.Errorf("Close: %v, closed %d times", err, closed)
	}
	if _, err := b.Flasher(flasher.WithRetries(-1)); err == nil || closed != 2 {
		t.Errorf("no Flasher: %v, closed %d times", err, closed)
	}
}
