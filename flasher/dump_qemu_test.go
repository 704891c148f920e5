package flasher_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// dumpRig is a board whose disk has two partitions with data and zeros in them. A
// preflash command would spoil it: a dump must not run those.
func dumpRig(t *testing.T) (r *rig, f func(...flasher.Option) *flasher.Flasher, disk []byte) {
	testtool.Need(t, "sgdisk", "apt-get install gdisk")
	r = newRig(t, virtboard.ARM64, 48*mib)
	if err := os.WriteFile(r.disk, testImage(48*mib), 0o600); err != nil {
		t.Fatal(err)
	}
	sgdisk(t, r.disk, "-Z", "-o", "-n1:2048:+7M", "-c1:boot", "-n2:0:+20M", "-c2:rootfs")
	disk, err := os.ReadFile(r.disk)
	if err != nil {
		t.Fatal(err)
	}
	dir := bundleDir(t, virtboard.ARM64, debian.Bundle{Preflash: []string{"dd if=/dev/zero of=/dev/vda bs=1M count=1"}})
	return r, func(opts ...flasher.Option) *flasher.Flasher { return r.flasher(t, dir, opts...) }, disk
}

// unchanged fails the test if a dump has written to the disk.
func (r *rig) unchanged(t *testing.T, disk []byte) {
	t.Helper()
	if got, err := os.ReadFile(r.disk); err != nil || !bytes.Equal(got, disk) {
		t.Errorf("the disk was written to (%v)", err)
	}
}

// TestDump reads a whole disk, what is used of it, and one partition, in the ways
// that Debian's busybox offers.
func TestDump(t *testing.T) {
	t.Parallel()
	r, f, disk := dumpRig(t)
	const used = 28 * mib
	for _, tc := range []struct {
		name string
		opts []flasher.DumpOption
		want []byte
		via  string
	}{
		{"disk", nil, disk, flasher.ViaNetcat},
		{"used, from where a dump was cut, by wget", []flasher.DumpOption{flasher.DumpUsed(), flasher.DumpFrom(5*mib + 12345), flasher.DumpVia(flasher.ViaWget), flasher.DumpCompression(flasher.CompressGzip)}, disk[5*mib+12345 : used], flasher.ViaWget},
		{"partition over the console", []flasher.DumpOption{flasher.DumpPartition("boot"), flasher.DumpFrom(6 * mib), flasher.DumpVia(flasher.ViaConsole)}, disk[7*mib : 8*mib], flasher.ViaConsole},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			res, err := f().Dump(t.Context(), "", &out, tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), tc.want) {
				t.Errorf("%d bytes came, and they are not the %d of the disk", out.Len(), len(tc.want))
			}
			if res.SHA256 != sha256Hex(tc.want) || res.Bytes != int64(len(tc.want)) || res.Via != tc.via || tc.via != flasher.ViaNetcat && res.Compression != flasher.CompressGzip {
				t.Errorf("result %+v", res)
			}
			if tc.name == "disk" && (res.ZeroBytes == 0 || res.WireBytes > int64(len(disk))*3/4) {
				t.Errorf("more than half of the disk is zeros: %d crossed the wire, %d were left out", res.WireBytes, res.ZeroBytes)
			}
			r.unchanged(t, disk)
			r.isOff(t)
			r.leftNothing(t)
			t.Logf("%+v", *res)
		})
	}
}

// TestDumpContinues resets the board in the middle: the retry goes on. Then the
// caller cancels, and then the writer fails.
func TestDumpContinues(t *testing.T) {
	t.Parallel()
	r, f, disk := dumpRig(t)
	t.Run("after a reset", func(t *testing.T) {
		var once sync.Once
		var reset sync.WaitGroup
		var out bytes.Buffer
		res, err := f(flasher.WithRetryWait(time.Millisecond), flasher.WithProgress(func(ev flasher.Event) {
			if ev.Step != flasher.StepDump || ev.Done < 16*mib {
				return
			}
			once.Do(func() {
				reset.Go(func() {
					if err := errors.Join(r.board.Off(context.Background()), r.board.On(context.Background())); err != nil {
						t.Error(err)
					}
				})
			})
		})).Dump(t.Context(), "", &out, flasher.DumpCompression(flasher.CompressNone))
		reset.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), disk) || len(res.Attempts) != 1 || res.Attempts[0].Step != flasher.StepDump {
			t.Errorf("%d bytes of %d, attempts %+v", out.Len(), len(disk), res.Attempts)
		}
		if res.WireBytes > int64(len(disk)) {
			t.Errorf("%d bytes crossed the wire for a disk of %d", res.WireBytes, len(disk))
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var out bytes.Buffer
		res, err := f(flasher.WithProgress(func(ev flasher.Event) {
			if ev.Step == flasher.StepDump && ev.Done > 0 {
				cancel()
			}
		})).Dump(ctx, "", &out)
		var typed *flasher.Error
		if !errors.As(err, &typed) || !errors.Is(err, context.Canceled) || typed.Step != flasher.StepDump || typed.Op != "dump" {
			t.Errorf("got %v, want a *flasher.Error that wraps context.Canceled", err)
		}
		if res.Bytes != int64(out.Len()) || !bytes.HasPrefix(disk, out.Bytes()) || res.SHA256 != sha256Hex(out.Bytes()) {
			t.Errorf("%d bytes were saved, the result says %+v", out.Len(), res)
		}
		r.isOff(t)
		r.leftNothing(t)
	})
	t.Run("writer fails", func(t *testing.T) {
		res, err := f().Dump(t.Context(), "/dev/vda", &fullWriter{left: 9 * mib})
		if !errors.Is(err, flasher.ErrDumpWriter) || !errors.Is(err, errFull) || len(res.Attempts) != 1 || res.Bytes != 9*mib {
			t.Errorf("got %v, %+v; want ErrDumpWriter after one attempt and 9 MiB", err, res)
		}
		t.Log(err)
		r.isOff(t)
	})
	r.unchanged(t, disk)
}

var errFull = errors.New("no space left")

// fullWriter is a file on a disk that fills up.
type fullWriter struct{ left int }

func (w *fullWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.left)
	w.left -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}
