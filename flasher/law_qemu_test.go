package flasher_test

import (
	"errors"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// TestDiskTakenAway: a real kernel loses the disk in the middle of the write, as a
// card that is pulled out. dd must not go on into a regular file of its name. The
// disk is back after the retry's reboot.
func TestDiskTakenAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, virtboard.ARM64, 64*mib)
	marker := blankFile(t, "marker.img", mib)
	writeAt(t, marker, []byte("once"), 0)
	board, err := virtboard.New(virtboard.Config{Arch: virtboard.ARM64, Disk: r.disk, WriteBPS: 8 * mib, ExtraDrives: []virtboard.Drive{{Path: marker}}})
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	r.board = board
	f := r.flasher(t, bundleDir(t, virtboard.ARM64, debian.Bundle{Preflash: []string{
		`if [ "$(head -c 4 /dev/vdb)" = once ]; then echo done | dd of=/dev/vdb conv=fsync,notrunc; { while ! grep -q self/fd/[9] /proc/*/cmdline; do sleep 1; done; sleep 1; echo a000000.virtio_mmio >/sys/bus/platform/drivers/virtio-mmio/unbind; } >/dev/null 2>&1 & fi`,
	}}), flasher.WithRetryWait(time.Millisecond), flasher.WithTimeouts(flasher.Timeouts{Stall: 10 * time.Second}))
	raw := testImage(48 * mib)
	res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw))
	if err != nil {
		t.Fatal(err)
	}
	r.holds(t, raw)
	if len(res.Attempts) != 1 || !errors.Is(res.Attempts[0].Err, flasher.ErrTargetGone) {
		t.Errorf("attempts %+v, want one that failed with ErrTargetGone", res.Attempts)
	}
	t.Log(res.Attempts)
	r.isOff(t)
}
