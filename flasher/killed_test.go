package flasher_test

import (
	"errors"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
)

// TestKilledInEachPhase takes the power from the board and gives it back at the
// beginning of each step of a flash. The flash ends in proved success, after one
// more attempt where the board was needed.
func TestKilledInEachPhase(t *testing.T) {
	t.Parallel()
	raw := testImage(6 * mib)
	path := imageFile(t, "image.raw", raw)
	for _, step := range []flasher.Step{
		flasher.StepBootloader, flasher.StepNetwork, flasher.StepLoad, flasher.StepBoot, flasher.StepLogin, flasher.StepShell,
		flasher.StepTarget, flasher.StepPreflash, flasher.StepWrite, flasher.StepSync, flasher.StepVerify, flasher.StepTable,
	} {
		t.Run(string(step), func(t *testing.T) {
			t.Parallel()
			s := newSimulated(t, flashertest.WithDisk(8*mib, nil))
			killed := false
			f := s.flasher(t,
				flasher.WithTimeouts(flasher.Timeouts{Bootloader: 20 * time.Second, Network: 20 * time.Second, Load: 20 * time.Second,
					Boot: 20 * time.Second, Command: 20 * time.Second, Sync: 20 * time.Second, Stall: 10 * time.Second}),
				flasher.WithProgress(func(ev flasher.Event) {
					if ev.Step == step && ev.State == flasher.StateStarted && !killed {
						killed = true
						if err := errors.Join(s.Off(t.Context()), s.On(t.Context())); err != nil {
							t.Error(err)
						}
					}
				}))
			begun := time.Now()
			res, err := f.Flash(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.content(t, len(raw)); res.SHA256 != sha256Hex(raw) || got != sha256Hex(raw) || !killed {
				t.Errorf("killed %v, proved %s, on the disk is %s", killed, res.SHA256, got)
			}
			for _, a := range res.Attempts {
				t.Logf("%v: failed in %s: %v", time.Since(begun).Round(time.Millisecond), a.Step, a.Err)
			}
			s.isOff(t)
		})
	}
}
