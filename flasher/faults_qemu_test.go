package flasher_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/uboot"
)

// TestFlashContinuesAfterReset resets the board in the middle of the write. The
// retry writes what was not there yet.
func TestFlashContinuesAfterReset(t *testing.T) {
	t.Parallel()
	r := newRig(t, virtboard.ARM64, 64*mib)
	dir := bundleDir(t, virtboard.ARM64, debian.Bundle{})
	raw := testImage(48 * mib)
	var once sync.Once
	var reset sync.WaitGroup
	f := r.flasher(t, dir, flasher.WithRetryWait(time.Millisecond), flasher.WithProgress(func(ev flasher.Event) {
		if ev.Step != flasher.StepWrite || ev.Done < 24*mib {
			return
		}
		once.Do(func() {
			reset.Go(func() {
				if err := errors.Join(r.board.Off(context.Background()), r.board.On(context.Background())); err != nil {
					t.Error(err)
				}
			})
		})
	}))
	res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw))
	reset.Wait()
	if err != nil {
		t.Fatal(err)
	}
	r.holds(t, raw)
	r.isOff(t)
	if len(res.Attempts) != 1 || res.Attempts[0].Step != flasher.StepWrite {
		t.Errorf("attempts %+v, want one that failed while writing", res.Attempts)
	}
	if res.WrittenBytes > 28*mib {
		t.Errorf("the retry wrote %d bytes of %d", res.WrittenBytes, len(raw))
	}
	t.Logf("%+v", res)
}

// TestFlashCancelled cancels in each phase: the board is off and nothing runs on.
func TestFlashCancelled(t *testing.T) {
	t.Parallel()
	dir := bundleDir(t, virtboard.ARM64, debian.Bundle{})
	image := imageFile(t, "image.raw", testImage(48*mib))
	for _, step := range []flasher.Step{flasher.StepBootloader, flasher.StepLoad, flasher.StepLogin, flasher.StepWrite} {
		t.Run(string(step), func(t *testing.T) {
			r := newRig(t, virtboard.ARM64, 64*mib)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f := r.flasher(t, dir, flasher.WithProgress(func(ev flasher.Event) {
				if ev.Step == step {
					cancel()
				}
			}))
			_, err := f.Flash(ctx, image)
			var typed *flasher.Error
			if !errors.As(err, &typed) || !errors.Is(err, context.Canceled) || typed.Step != step {
				t.Errorf("got %v, want a *flasher.Error of step %q that wraps context.Canceled", err, step)
			}
			r.isOff(t)
			r.leftNothing(t)
		})
	}
}

// TestSilentBoard runs a machine whose firmware is zeros, as a board with an empty
// boot flash.
func TestSilentBoard(t *testing.T) {
	t.Parallel()
	eachArch(t, func(t *testing.T, arch virtboard.Arch) {
		r := newRig(t, arch, 16*mib)
		board, err := virtboard.New(virtboard.Config{Arch: arch, Disk: r.disk, UBoot: imageFile(t, "empty.bin", make([]byte, mib))})
		if err != nil {
			t.Fatal(err)
		}
		defer board.Close()
		r.board = board
		f := r.flasher(t, bundleDir(t, arch, debian.Bundle{}), flasher.WithRetries(0),
			flasher.WithTimeouts(flasher.Timeouts{Bootloader: 5 * time.Second}))
		_, err = f.Flash(t.Context(), imageFile(t, "image.raw", testImage(mib)))
		var typed *flasher.Error
		if !errors.As(err, &typed) || typed.Step != flasher.StepBootloader || !errors.Is(err, uboot.ErrSilent) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrSilent and a timeout of step %q", err, flasher.StepBootloader)
		}
		t.Log(err)
		r.isOff(t)
		r.isBlank(t)
	})
}

// TestNetworkCutWhileWriting pulls the network cable in the middle of the write
// and plugs it in again for the retry.
func TestNetworkCutWhileWriting(t *testing.T) {
	t.Parallel()
	r := newRig(t, virtboard.ARM64, 64*mib)
	raw := testImage(48 * mib)
	var once sync.Once
	f := r.flasher(t, bundleDir(t, virtboard.ARM64, debian.Bundle{}), flasher.WithRetryWait(time.Millisecond),
		flasher.WithTimeouts(flasher.Timeouts{Stall: 15 * time.Second}),
		flasher.WithProgress(func(ev flasher.Event) {
			switch {
			case ev.Step == flasher.StepWrite && ev.Done > 12*mib:
				once.Do(func() {
					if err := r.board.Network().SetFaults(virtboard.Faults{LinkDown: true}); err != nil {
						t.Error(err)
					}
				})
			case ev.Step == flasher.StepWrite && ev.State == flasher.StateFailed:
				if err := r.board.Network().SetFaults(virtboard.Faults{}); err != nil {
					t.Error(err)
				}
			}
		}))
	res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw))
	if err != nil {
		t.Fatal(err)
	}
	r.holds(t, raw)
	if len(res.Attempts) != 1 || !errors.Is(res.Attempts[0].Err, flasher.ErrStalled) {
		t.Errorf("attempts %+v, want one that stalled", res.Attempts)
	}
}
