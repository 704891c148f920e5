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
	r = newRig(t, virtboard.ARM64, 32*mib)
	if err := os.WriteFile(r.disk, testImage(32*mib), 0o600); err != nil {
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

// TestDumpContinues resets the board in the middle: the retry goes on.
func TestDumpContinues(t *testing.T) {
	t.Parallel()
	r, f, disk := dumpRig(t)
	t.Run("after a reset", func(t *testing.T) {
		var once sync.Once
		var reset sync.WaitGroup
		var out bytes.Buffer
		res, err := f(flasher.WithRetryWait(time.Millisecond), flasher.WithProgress(func(ev flasher.Event) {
			if ev.Step != flasher.StepDump || ev.Done < 8*mib {
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
	r.unchanged(t, disk)
}
