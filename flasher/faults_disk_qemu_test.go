package flasher_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// faultyDisk is QEMU's command line for a second disk, /dev/vdb, with errors that
// QEMU's block layer makes.
func faultyDisk(t *testing.T, size int64, inject ...string) (path string, args []string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "faulty.img")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
	drive := "if=none,id=faulty,driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename=" + path
	for i, s := range inject {
		drive += fmt.Sprintf(",file.inject-error.%d.event=none,file.inject-error.%d.errno=5,file.inject-error.%d.once=off,%s",
			i, i, i, strings.ReplaceAll(s, "@", fmt.Sprintf("file.inject-error.%d.", i)))
	}
	return path, []string{"-drive", drive, "-device", "virtio-blk-device,bus=virtio-mmio-bus.5,drive=faulty,werror=report,rerror=report"}
}

// TestDiskErrors: a device that refuses writes or reads at one place is a typed
// error at once, and no retry is spent on it. The other methods have
// TestDiskErrorsOfStream.
func TestDiskErrors(t *testing.T) {
	t.Parallel()
	const place = 9 * mib / 512
	for _, tc := range []struct {
		name   string
		inject string
		step   flasher.Step
		text   string
	}{
		{"write by extents", fmt.Sprintf("@iotype=write,@sector=%d", place), flasher.StepWrite, "refuses to be written"},
		{"read by extents", fmt.Sprintf("@iotype=read,@sector=%d", place), flasher.StepVerify, "cannot be read"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, args := faultyDisk(t, 32*mib, tc.inject)
			r := newRigWith(t, 16*mib, virtboard.Config{Arch: virtboard.ARM64, QEMUArgs: args})
			raw := testImage(24 * mib)
			for i := range raw[8*mib : 12*mib] { // data where the fault is
				raw[8*mib+i] = byte(i*i>>8) | 1
			}
			f := r.flasher(t, bundleDir(t, virtboard.ARM64, debian.Bundle{}), flasher.WithRetryWait(time.Millisecond))
			_, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw), flasher.WithTarget("/dev/vdb"))
			var typed *flasher.Error
			if !errors.As(err, &typed) || typed.Step != tc.step || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("got %v, want a *flasher.Error of step %q that says %q", err, tc.step, tc.text)
			}
			if len(typed.Attempts) != 1 {
				t.Errorf("%d attempts, want 1", len(typed.Attempts))
			}
			t.Log(err)
			r.isOff(t)
			r.leftNothing(t)
		})
	}
}

// TestReadOnlyDisk: nothing is written to a write-protected medium.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "protected.img")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 32*mib)); err != nil {
		t.Fatal(err)
	}
	r := newRigWith(t, 16*mib, virtboard.Config{Arch: virtboard.ARM64, QEMUArgs: []string{
		"-drive", "if=none,id=protected,format=raw,readonly=on,file=" + path,
		"-device", "virtio-blk-device,bus=virtio-mmio-bus.5,drive=protected"}})
	_, err := r.flasher(t, bundleDir(t, virtboard.ARM64, debian.Bundle{})).
		Flash(t.Context(), imageFile(t, "image.raw", testImage(8*mib)), flasher.WithTarget("/dev/vdb"))
	var typed *flasher.Error
	if !errors.As(err, &typed) || !errors.Is(err, flasher.ErrTargetReadOnly) || typed.Step != flasher.StepTarget {
		t.Errorf("got %v, want ErrTargetReadOnly", err)
	}
	r.isOff(t)
}
