package flasher_test

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/transport/image"
)

// TestFullCacheDisk: a cache directory without room for the prepared image ends
// the flash before anything is written to the board's disk, and no retry is spent.
func TestFullCacheDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a small tmpfs can be mounted by root only; run the test with sudo or in a container")
	}
	before := bytes.Repeat([]byte("what was there "), 10000)
	s := newSimulated(t, flashertest.WithDisk(24*mib, before))
	if err := syscall.Mount("tmpfs", s.cache, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a tmpfs cannot be mounted here: %v; allow CAP_SYS_ADMIN", err)
	}
	t.Cleanup(func() { syscall.Unmount(s.cache, 0) })
	path := compressed(t, imageFile(t, "image.raw", testImage(20*mib)), "gzip", ".gz", "-1")
	_, err := s.flasher(t).Flash(t.Context(), path)
	var typed *flasher.Error
	if !errors.Is(err, image.ErrNoSpace) || !errors.As(err, &typed) || typed.Step != flasher.StepImage || len(typed.Attempts) > 1 {
		t.Errorf("got %v, want ErrNoSpace of the step %q at once", err, flasher.StepImage)
	}
	t.Log(err)
	if got := s.content(t, len(before)); got != sha256Hex(before) {
		t.Error("something was written to the board's disk")
	}
	s.isOff(t)
}
