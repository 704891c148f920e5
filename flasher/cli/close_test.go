package cli_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/dutflash/dutflash/flasher/cli"
	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/power"
)

// holding is a switch that holds something from its first command on.
type holding struct{ open map[*holding]bool }

func (h *holding) On(context.Context) error            { h.open[h] = true; return nil }
func (h *holding) Off(context.Context) error           { h.open[h] = true; return nil }
func (h *holding) State(context.Context) (bool, error) { h.open[h] = true; return true, nil }
func (h *holding) Release() error                      { delete(h.open, h); return nil }

// TestSwitchIsReleased: no command leaves a switch with what it holds, also one that
// fails.
func TestSwitchIsReleased(t *testing.T) {
	file := filepath.Join(t.TempDir(), "boards.yaml")
	if err := os.WriteFile(file, []byte("boards:\n  a: {flasher_bundle: ./none, serial: 'exec:yes', power: {type: ours}, load: ymodem}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		fails bool
		args  []string
	}{
		{false, []string{"power", "on"}},
		{false, []string{"power", "cycle", "--wait", "1ms"}},
		{false, []string{"power", "read"}},
		{true, []string{"power", "rescue"}},
		{true, []string{"board", "check"}},
		{true, []string{"dump", filepath.Join(t.TempDir(), "out")}},
		{true, []string{"bootloader-shell"}},
	} {
		open, used := map[*holding]bool{}, 0
		root := cli.New(cli.WithConfig(config.WithPower("ours", func(config.Settings) (power.Controller, error) {
			used++
			return &holding{open}, nil
		})))
		root.SetArgs(append(tc.args, "--config", file))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if err := root.ExecuteContext(t.Context()); (err != nil) != tc.fails {
			t.Errorf("%v: %v", tc.args, err)
		}
		if used == 0 || len(open) > 0 {
			t.Errorf("%v: %d switches were made, %d still hold something", tc.args, used, len(open))
		}
	}
}
