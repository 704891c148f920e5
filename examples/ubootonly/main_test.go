package main

import (
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher/flashertest"
)

func TestLook(t *testing.T) {
	board, err := flashertest.NewBoard()
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	port, err := board.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := board.On(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := look(t.Context(), port, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"U-Boot 20", "ethaddr = 52:54:00:12:34:56", "nosuch = (not defined)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
}
