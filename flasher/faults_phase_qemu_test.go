package flasher_test

import (
	"errors"
	"slices"
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

// TestKilledInSeveralPhases kills the machine and starts it again while U-Boot
// loads, in the next attempt while Linux boots, in the one after that when all is
// written and not flushed; the flash ends in proved success. All phases are killed
// on the simulated board; the write in QEMU has TestFlashContinuesAfterReset.
func TestKilledInSeveralPhases(t *testing.T) {
	t.Parallel()
	dir := bundleDir(t, virtboard.ARM64, debian.Bundle{})
	raw := testImage(12 * mib)
	r := newRig(t, virtboard.ARM64, 16*mib)
	due := []flasher.Step{flasher.StepLoad, flasher.StepLogin, flasher.StepSync}
	var killed []flasher.Step
	f := r.flasher(t, dir, flasher.WithRetryWait(time.Millisecond), flasher.WithRetries(6),
		flasher.WithTimeouts(flasher.Timeouts{Network: 30 * time.Second, Command: 40 * time.Second, Sync: 30 * time.Second}),
		flasher.WithProgress(func(ev flasher.Event) {
			if len(due) > 0 && ev.Step == due[0] && ev.State == flasher.StateStarted {
				killed, due = append(killed, due[0]), due[1:]
				if err := errors.Join(r.board.Off(t.Context()), r.board.On(t.Context())); err != nil {
					t.Error(err)
				}
			}
		}))
	res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw))
	if err != nil {
		t.Fatal(err)
	}
	r.holds(t, raw)
	r.isOff(t)
	if len(due) > 0 {
		t.Errorf("killed in %v only", killed)
	}
	for _, step := range killed {
		if !slices.ContainsFunc(res.Attempts, func(a flasher.Attempt) bool { return a.Step == step }) {
			t.Errorf("no attempt failed in %q: %+v", step, res.Attempts)
		}
	}
	if res.SHA256 != sha256Hex(raw) {
		t.Errorf("proved %s", res.SHA256)
	}
	t.Logf("attempts %+v", res.Attempts)
}
