package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
)

func TestFlash(t *testing.T) {
	board, err := flashertest.NewBoard()
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	bundle, image := t.TempDir(), filepath.Join(t.TempDir(), "image.raw")
	if err := board.WriteBundle(bundle); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err = flash(t.Context(), &out, board.Open, board, bundle, image, "emmc", flasher.WithNetwork(board.Network()), flasher.WithCacheDir(t.TempDir()))
	if err != nil || !strings.HasPrefix(out.String(), "/dev/mmcblk0 holds the image") {
		t.Errorf("%v, %q", err, out.String())
	}
}
