package flasher_test

import (
	"errors"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// TestPacketLoss loses one frame in fifty both ways from the first write on.
func TestPacketLoss(t *testing.T) {
	t.Parallel()
	r := newRig(t, virtboard.ARM64, 16*mib)
	raw := testImage(12 * mib)
	f := r.flasher(t, bundleDir(t, virtboard.ARM64, debian.Bundle{}), flasher.WithProgress(func(ev flasher.Event) {
		if ev.Step == flasher.StepWrite && ev.State == flasher.StateStarted {
			if err := r.board.Network().SetFaults(virtboard.Faults{Loss: 0.02}); err != nil {
				t.Error(err)
			}
		}
	}))
	res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw))
	if err != nil {
		t.Fatal(err)
	}
	r.holds(t, raw)
	if res.SHA256 != sha256Hex(raw) {
		t.Errorf("proved %s", res.SHA256)
	}
}

// TestKilledBeforeLinux kills the machine and starts it again while U-Boot works;
// the flash ends in proved success after one more attempt. The write has
// TestFlashContinuesAfterReset.
func TestKilledBeforeLinux(t *testing.T) {
	t.Parallel()
	dir := bundleDir(t, virtboard.ARM64, debian.Bundle{})
	raw := testImage(12 * mib)
	path := imageFile(t, "image.raw", raw)
	for _, step := range []flasher.Step{flasher.StepNetwork, flasher.StepLoad} {
		t.Run(string(step), func(t *testing.T) {
			r := newRig(t, virtboard.ARM64, 16*mib)
			killed := make(chan error, 1)
			begun := false
			f := r.flasher(t, dir, flasher.WithRetryWait(time.Millisecond),
				flasher.WithTimeouts(flasher.Timeouts{Network: 30 * time.Second, Command: 40 * time.Second, Sync: 30 * time.Second}),
				flasher.WithProgress(func(ev flasher.Event) {
					if ev.Step == step && !begun {
						begun = true
						killed <- errors.Join(r.board.Off(t.Context()), r.board.On(t.Context()))
					}
				}))
			res, err := f.Flash(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if err := <-killed; err != nil {
				t.Error(err)
			}
			r.holds(t, raw)
			r.isOff(t)
			if res.SHA256 != sha256Hex(raw) || len(res.Attempts) == 0 {
				t.Errorf("result %+v, want proof after another attempt", res)
			}
			t.Logf("attempts %+v", res.Attempts)
		})
	}
}
