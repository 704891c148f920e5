package flasher_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
)

// preflash gives the board's bundle preflash commands.
func (s *simulated) preflash(t *testing.T, commands ...string) {
	t.Helper()
	path := filepath.Join(s.bundle, "manifest.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list := "spec:\n  preflash_commands:\n"
	for _, c := range commands {
		list += "    - '" + strings.ReplaceAll(c, "'", "''") + "'\n"
	}
	changed := strings.Replace(string(text), "spec:\n", list, 1)
	if changed == string(text) {
		t.Fatalf("no spec in\n%s", text)
	}
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// eachMethod runs a test with each method of writing.
func eachMethod(t *testing.T, test func(t *testing.T, m flasher.Method)) {
	for _, m := range []flasher.Method{flasher.MethodExtents, flasher.MethodStream, flasher.MethodShell} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			test(t, m)
		})
	}
}

// TestNodeRemoved: where the device's node goes away, dd makes a regular file of
// that name, which holds the image and would be read back as the proof of it.
func TestNodeRemoved(t *testing.T) {
	t.Parallel()
	raw := testImage(6 * mib)
	t.Run("before the write", func(t *testing.T) {
		eachMethod(t, func(t *testing.T, m flasher.Method) {
			s := newSimulated(t, flashertest.WithDisk(8*mib, nil))
			s.preflash(t, "rm /dev/mmcblk0")
			_, err := s.flasher(t, flasher.WithMethod(m)).Flash(t.Context(), imageFile(t, "image.raw", raw))
			if !errors.Is(err, busybox.ErrNoDevice) {
				t.Errorf("got %v, want busybox.ErrNoDevice", err)
			}
			s.isOff(t)
		})
	})
	t.Run("while it is written", func(t *testing.T) {
		eachMethod(t, func(t *testing.T, m flasher.Method) {
			s := newSimulated(t, flashertest.WithDisk(8*mib, nil))
			s.preflash(t, "{ while ! grep -q self/fd/[9] /proc/*/cmdline; do sleep 0.01; done; rm /dev/mmcblk0; } >/dev/null 2>&1 &")
			res, err := s.flasher(t, flasher.WithMethod(m)).Flash(t.Context(), imageFile(t, "image.raw", raw))
			if err != nil {
				t.Fatal(err) // the device is still there
			}
			if got := s.content(t, len(raw)); got != sha256Hex(raw) || res.SHA256 != got {
				t.Errorf("the disk has %s, the result says %s, the image is %s", got, res.SHA256, sha256Hex(raw))
			}
		})
	})
}

// TestDisksSwapped: after the reset the kernel finds the disks in another order.
// The name that the caller gave then leads to a disk that he did not mean.
func TestDisksSwapped(t *testing.T) {
	t.Parallel()
	raw := testImage(24 * mib)
	for _, tc := range []struct {
		target string
		err    error
	}{
		{target: "/dev/mmcblk0", err: flasher.ErrTargetChanged},
		{target: "/sys/class/block#4fb0000"},
	} {
		t.Run(tc.target, func(t *testing.T) {
			s := newSimulated(t, flashertest.WithDisk(32*mib, nil), flashertest.WithSecondDisk(32*mib), flashertest.WithFaults(flashertest.Faults{ResetAtWritten: 6 * mib}))
			f := s.flasher(t, flasher.WithProgress(func(ev flasher.Event) {
				if ev.State == flasher.StateFailed {
					if err := s.SetFaults(flashertest.Faults{SwapDisks: true}); err != nil {
						t.Error(err)
					}
				}
			}))
			res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw), flasher.WithTarget(tc.target))
			if !errors.Is(err, tc.err) {
				t.Errorf("got %v, want %v", err, tc.err)
			}
			t.Log(err)
			if n := s.SecondDisk().Written(); n > 0 {
				t.Errorf("%d bytes were written to the disk that was not named", n)
			}
			if tc.err == nil && (s.content(t, len(raw)) != sha256Hex(raw) || res.Device != "/dev/mmcblk1" || len(res.Attempts) != 1) {
				t.Errorf("result %+v", res)
			}
			var typed *flasher.Error
			if tc.err != nil && (!errors.As(err, &typed) || len(typed.Attempts) != 2 || typed.Step != flasher.StepTarget) {
				t.Errorf("got %+v, want the second attempt to fail in step %q", err, flasher.StepTarget)
			}
			s.isOff(t)
		})
	}
	t.Run("dump", func(t *testing.T) {
		s := newSimulated(t, flashertest.WithDisk(32*mib, testImage(32*mib)), flashertest.WithSecondDisk(32*mib))
		var once sync.Once
		var reset sync.WaitGroup
		f := s.flasher(t, flasher.WithProgress(func(ev flasher.Event) {
			if ev.Step != flasher.StepDump || ev.Done == 0 {
				return
			}
			once.Do(func() {
				reset.Go(func() {
					err := errors.Join(s.SetFaults(flashertest.Faults{SwapDisks: true}), s.Off(context.Background()), s.On(context.Background()))
					if err != nil {
						t.Error(err)
					}
				})
			})
		}))
		_, err := f.Dump(t.Context(), "/dev/mmcblk0", slow{})
		reset.Wait()
		if !errors.Is(err, flasher.ErrTargetChanged) {
			t.Errorf("got %v, want ErrTargetChanged", err)
		}
	})
}

// slow is a writer that takes its time, so that a dump can be met in the middle.
type slow struct{}

func (slow) Write(b []byte) (int, error) {
	time.Sleep(100 * time.Millisecond)
	return len(b), nil
}

// TestWithoutDirectIO: a dd that cannot read past the page cache is helped; the
// table of a partition and a dump are read in the same way.
func TestWithoutDirectIO(t *testing.T) {
	t.Parallel()
	raw := testImage(6*mib + 777)
	eachMethod(t, func(t *testing.T, m flasher.Method) {
		s := newSimulated(t, flashertest.WithDisk(8*mib, nil), flashertest.WithoutDirectIO())
		f := s.flasher(t, flasher.WithMethod(m))
		res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.content(t, len(raw)); got != sha256Hex(raw) || res.SHA256 != got {
			t.Errorf("the disk has %s, the result says %s, the image is %s", got, res.SHA256, sha256Hex(raw))
		}
		var out bytes.Buffer
		if _, err := f.Dump(t.Context(), "", &out); err != nil || !bytes.Equal(out.Bytes()[:len(raw)], raw) {
			t.Errorf("the dump is not what is on the disk (%v)", err)
		}
	})
}

// TestReleasedByPreflash: a read-only target is refused before any preflash command
// runs, unless one may make it writable; then it is looked at again behind them.
func TestReleasedByPreflash(t *testing.T) {
	t.Parallel()
	const release = "echo the test writes 0 to force_ro"
	for _, tc := range []struct {
		name, command string
		released      bool
		step          flasher.Step // that refuses; "" is none
	}{
		{"no command for it", "true", false, flasher.StepTarget},
		{"a command that does not help", release, false, flasher.StepPreflash},
		{"a command that helps", release, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			raw := testImage(2 * mib)
			s := newSimulated(t, flashertest.WithDisk(4*mib, nil), flashertest.WithFaults(flashertest.Faults{ReadOnly: true}))
			s.preflash(t, tc.command)
			f := s.flasher(t, flasher.WithProgress(func(ev flasher.Event) {
				if ev.Step == flasher.StepPreflash && ev.State == flasher.StateStarted && tc.released {
					if err := s.SetFaults(flashertest.Faults{}); err != nil {
						t.Error(err)
					}
				}
			}))
			_, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw))
			var typed *flasher.Error
			switch {
			case tc.step == "" && (err != nil || s.content(t, len(raw)) != sha256Hex(raw)):
				t.Errorf("got %v, want the image on the disk", err)
			case tc.step != "" && (!errors.As(err, &typed) || !errors.Is(err, flasher.ErrTargetReadOnly) || typed.Step != tc.step || len(typed.Attempts) != 1):
				t.Errorf("got %v, want ErrTargetReadOnly in step %q", err, tc.step)
			}
			s.isOff(t)
		})
	}
}
