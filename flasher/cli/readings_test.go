package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher/cli"
	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/power"
)

// meter draws one watt more at each reading, and does not know the current.
type meter struct{ watts float64 }

func (*meter) On(context.Context) error            { return nil }
func (*meter) Off(context.Context) error           { return nil }
func (*meter) State(context.Context) (bool, error) { return true, nil }
func (m *meter) Read(context.Context) (power.Reading, error) {
	m.watts++
	return power.Reading{Volts: 12, Amperes: math.NaN(), Watts: m.watts}, nil
}

// TestPowerRead: what the switch tells, once and as a stream.
func TestPowerRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "boards.yaml")
	if err := os.WriteFile(file, []byte("boards: {a: {serial: \"exec:cat\", power: {type: meter}, flasher_bundle: ./none}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(args ...string) string {
		t.Helper()
		driver := func(config.Settings) (power.Controller, error) { return &meter{}, nil }
		cmd := cli.New(cli.WithConfig(config.WithPower("meter", driver)))
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs(append([]string{"power", "read", "--config", file}, args...))
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := read(); got != "on\n12.000 V\n1.000 W\n" {
		t.Errorf("one reading: %q", got)
	}
	lines := strings.Split(strings.TrimSpace(read("--interval", "1ms", "--count", "3")), "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[2], " on 12.000 V 3.000 W") {
		t.Errorf("three readings: %q", lines)
	}
	dec := json.NewDecoder(strings.NewReader(read("--interval", "1ms", "--count", "2", "--json")))
	for n := 1; dec.More(); n++ {
		var got map[string]any
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if _, known := got["amperes"]; known || got["on"] != true || got["volts"] != 12.0 || got["watts"] != float64(n) {
			t.Errorf("reading %d as JSON: %v", n, got)
		}
	}
}
