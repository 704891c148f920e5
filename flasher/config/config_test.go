package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher/config"
)

const good = `
boards:
  ti-03:
    console: /dev/ttyUSB0?baud=115200
    power: {on: "true", off: "true"}
    flasher_bundle: quay.io/jumpstarter-dev/jumpstarter-flasher-ti-j784s4:latest
    default_target: emmc
`

func TestParse(t *testing.T) {
	for _, tc := range []struct{ name, text, says string }{
		{"good", good, ""},
		{"empty", "", "empty"},
		{"no boards", "boards: {}", "no boards"},
		{"misspelt key", strings.Replace(good, "console:", "consol:", 1), "line 4: field consol not found"},
		{"no bundle", strings.Replace(good, "flasher_bundle", "variant", 1), `board "ti-03" has no flasher_bundle`},
		{"exporter file", "export:\n  storage: {}\n", "line 1: field export not found"},
		{"no YAML", "boards: [", "line 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := config.Parse([]byte(tc.text))
			if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

func TestBoard(t *testing.T) {
	f, err := config.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Board("ti-04"); !errors.Is(err, config.ErrUnknownBoard) || !strings.Contains(err.Error(), "ti-03") {
		t.Errorf("got %v, want ErrUnknownBoard with the names that there are", err)
	}
	b, err := f.Board("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Flasher(); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("boards: {a: {power: [}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if file, err := config.Parse(data); err == nil && len(file.Boards) == 0 {
			t.Error("a file without boards was taken")
		}
	})
}

func ExampleParse() {
	f, err := config.Parse([]byte(good))
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := f.Board("ti-03")
	fmt.Println(b.DefaultTarget, err)
	// Output: emmc <nil>
}
