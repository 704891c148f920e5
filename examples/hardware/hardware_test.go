package hardware

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/config"
)

// board returns the board that the environment names, or skips the test. What the
// board's console shows is in the output of a test that fails.
func board(t *testing.T) *flasher.Flasher {
	t.Helper()
	path := os.Getenv("DUTFLASH_BOARDS")
	if path == "" {
		t.Skip("no board: set DUTFLASH_BOARDS to a board file (and DUTFLASH_BOARD to a name in it)")
	}
	file, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := file.Board(os.Getenv("DUTFLASH_BOARD"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := b.Flasher(flasher.WithTranscript(t.Output()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil { // a GPIO line, for example
			t.Error(err)
		}
	})
	return f
}

// TestNightly flashes the image of DUTFLASH_IMAGE and proves it.
func TestNightly(t *testing.T) {
	f := board(t)
	image := os.Getenv("DUTFLASH_IMAGE")
	if image == "" {
		t.Skip("no image: set DUTFLASH_IMAGE to a path or a URL")
	}
	res, err := f.Flash(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s holds %s, %d bytes written in %v", res.Device, res.SHA256, res.WrittenBytes, res.Elapsed)
}

// TestMemory looks at the board from its shell.
func TestMemory(t *testing.T) {
	sh, err := board(t).BusyboxShell(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sh.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := sh.Run(ctx, "cat /proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out, "MemTotal:") {
		t.Errorf("/proc/meminfo begins with %.40q", out)
	}
}
