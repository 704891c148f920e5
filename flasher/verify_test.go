package flasher_test

import (
	"errors"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
)

// TestVerifyOfAForgedCard: what falls on the beginning of the card is found by both ways
// to verify, and reported as what it is.
func TestVerifyOfAForgedCard(t *testing.T) {
	t.Parallel()
	raw := testImage(12 * mib)
	path := imageFile(t, "image.raw", raw)
	for _, verify := range []flasher.Verify{flasher.VerifyFull, flasher.VerifyWritten, flasher.VerifyNone} {
		t.Run(string(verify), func(t *testing.T) {
			t.Parallel()
			s := newSimulated(t, flashertest.WithDisk(16*mib, nil), flashertest.WithFaults(flashertest.Faults{Capacity: 5 * mib}))
			res, err := s.flasher(t, flasher.WithVerify(verify)).Flash(t.Context(), path)
			if verify == flasher.VerifyNone {
				if err != nil || res.SHA256 != "" || res.ProofDigest != "" || len(res.Warnings) == 0 {
					t.Errorf("got %v, %+v; want no proof, and a warning", err, res)
				}
				return
			}
			var typed *flasher.Error
			if !errors.Is(err, flasher.ErrVerify) || !errors.As(err, &typed) || len(typed.Attempts) != 1 || res.SHA256 != "" {
				t.Errorf("got %v, %+v; want ErrVerify in the first attempt", err, res)
			}
			s.isOff(t)
			t.Log(err)
		})
	}
}

// TestLostWhileReadingBack: a board that is lost while it is read back is not written
// again, and the result says how long each step took.
func TestLostWhileReadingBack(t *testing.T) {
	t.Parallel()
	raw := testImage(12 * mib)
	path := imageFile(t, "image.raw", raw)
	for _, verify := range []flasher.Verify{flasher.VerifyFull, flasher.VerifyWritten} {
		t.Run(string(verify), func(t *testing.T) {
			t.Parallel()
			s := newSimulated(t, flashertest.WithDisk(16*mib, nil))
			lost := false
			f := s.flasher(t, flasher.WithVerify(verify),
				flasher.WithTimeouts(flasher.Timeouts{Command: 20 * time.Second, Stall: 10 * time.Second}),
				flasher.WithProgress(func(ev flasher.Event) {
					if ev.Step == flasher.StepVerify && ev.State == flasher.StateStarted && !lost {
						lost = true
						if err := errors.Join(s.Off(t.Context()), s.On(t.Context())); err != nil {
							t.Error(err)
						}
					}
				}))
			res, err := f.Flash(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if !lost || len(res.Attempts) != 1 || res.Attempts[0].Step != flasher.StepVerify {
				t.Fatalf("lost %v, attempts %+v; want one that failed in StepVerify", lost, res.Attempts)
			}
			if res.WrittenBytes != 0 || res.ProvedBytes != int64(len(raw)) || res.SHA256 != sha256Hex(raw) || s.content(t, len(raw)) != res.SHA256 {
				t.Errorf("%+v; want all of it proved and nothing written twice", res)
			}
			times := map[flasher.Step]int{}
			for _, st := range res.Steps {
				times[st.Step]++
			}
			if times[flasher.StepWrite] != 2 || times[flasher.StepVerify] != 1 {
				t.Errorf("steps %+v", res.Steps)
			}
		})
	}
}

// TestWrongOnceByAnyMethod: a chunk that was written wrong is written once more, and the
// disk is proved to hold the image, whichever method wrote it.
func TestWrongOnceByAnyMethod(t *testing.T) {
	t.Parallel()
	raw := testImage(12*mib + 512)
	path := imageFile(t, "image.raw", raw)
	for _, method := range []flasher.Method{flasher.MethodExtents, flasher.MethodStream, flasher.MethodShell} {
		t.Run(string(method), func(t *testing.T) {
			t.Parallel()
			s := newSimulated(t, flashertest.WithDisk(16*mib, nil), flashertest.WithFaults(flashertest.Faults{FlipAt: []int64{5*mib + 9}, FlipOnce: true}))
			res, err := s.flasher(t, flasher.WithMethod(method), flasher.WithWriteAll()).Flash(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			again := res.WrittenBytes - int64(len(raw))
			if again <= 0 || again > 4*mib || len(res.Attempts) != 0 || res.Method != method {
				t.Errorf("%d bytes were written again: %+v", again, res)
			}
			if res.ProvedBytes != int64(len(raw)) || res.SHA256 != sha256Hex(raw) || s.content(t, len(raw)) != res.SHA256 {
				t.Errorf("proved %+v, on the disk is %s", res, s.content(t, len(raw)))
			}
		})
	}
}
