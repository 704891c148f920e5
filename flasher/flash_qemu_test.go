package flasher_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/transport/image"
)

// TestFlashFromRegistry is the whole road on real peers: a bundle that the oras
// command pushed to docker-registry, real U-Boot, real Linux, an image that the
// C xz made.
func TestFlashFromRegistry(t *testing.T) {
	t.Parallel()
	eachArch(t, func(t *testing.T, arch virtboard.Arch) {
		r := newRig(t, arch, 48*mib)
		dtb := filepath.Join(t.TempDir(), "board.dtb")
		if err := r.board.DumpDTB(t.Context(), dtb); err != nil {
			t.Fatal(err)
		}
		dir := bundleDir(t, arch, debian.Bundle{
			DTB:      dtb,
			Login:    debian.Login{Username: "root", Password: "correct horse"},
			Preflash: []string{"dd if=/dev/zero of=/dev/vda bs=512 count=34", `test -n "$dhcp_addr"`},
		})
		ref := startDockerRegistry(t) + "/boards/virt:latest"
		orasPush(t, dir, ref)
		raw := testImage(36*mib + 4321)
		path := compressed(t, imageFile(t, "image.raw", raw), "xz", ".xz", "-T2", "-1")

		f := r.flasher(t, ref)
		res, err := f.Flash(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		r.holds(t, raw)
		r.isOff(t)
		if want := sha256Hex(raw); res.SHA256 != want {
			t.Errorf("proved SHA-256 %s, want %s", res.SHA256, want)
		}
		if res.Device != "/dev/vda" || res.ImageBytes != int64(len(raw)) || res.BundleDigest == "" {
			t.Errorf("result %+v", res)
		}
		if res.TransferredBytes >= res.ImageBytes*3/4 {
			t.Errorf("%d of %d bytes were sent; more than half of the image is zeros", res.TransferredBytes, res.ImageBytes)
		}
		var order []flasher.Step
		for _, ev := range r.events {
			if ev.State == flasher.StateStarted && ev.Step != flasher.StepImage {
				order = append(order, ev.Step)
			}
		}
		order = slices.Compact(order)
		want := []flasher.Step{
			flasher.StepBundle, flasher.StepServe, flasher.StepConsole, flasher.StepPower, flasher.StepBootloader,
			flasher.StepNetwork, flasher.StepLoad, flasher.StepBoot, flasher.StepLogin, flasher.StepShell,
			flasher.StepTarget, flasher.StepPreflash, flasher.StepWrite, flasher.StepSync, flasher.StepVerify, flasher.StepTable, flasher.StepPowerState,
		}
		if !slices.Equal(order, want) {
			t.Errorf("steps %v, want %v", order, want)
		}
		if strings.Contains(r.console.String(), "correct horse") {
			t.Error("the password is in the transcript")
		}
		t.Logf("%+v", res)
		if arch != virtboard.ARM64 {
			return // each boot takes half a minute, and the rest is the same
		}

		t.Run("again", func(t *testing.T) {
			res, err := f.Flash(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			r.holds(t, raw)
			// The preflash command clears the first sectors, so that one
			// chunk differs.
			if res.WrittenBytes > 16*mib || res.SHA256 != sha256Hex(raw) {
				t.Errorf("a second flash wrote %d bytes and proved %s", res.WrittenBytes, res.SHA256)
			}
		})
		t.Run("stream", func(t *testing.T) {
			other := testImage(13*mib + 99)
			f := r.flasher(t, ref, flasher.WithMethod(flasher.MethodStream), flasher.UseDTBVariant("uboot"))
			res, err := f.Flash(t.Context(), compressed(t, imageFile(t, "other.raw", other), "zstd", ".zst"), flasher.WithTarget("/dev/vda"))
			if err != nil {
				t.Fatal(err)
			}
			if res.SHA256 != sha256Hex(other) || res.Method != flasher.MethodStream || res.WrittenBytes != int64(len(other)) {
				t.Errorf("result %+v", res)
			}
			disk, err := os.ReadFile(r.disk)
			if err != nil {
				t.Fatal(err)
			}
			if sha256Hex(disk[:len(other)]) != sha256Hex(other) {
				t.Error("the disk does not hold the image")
			}
		})
	})
}

// TestFlashRefusesBadInput: each ends in a typed error that names the step, with
// nothing written and the board off.
func TestFlashRefusesBadInput(t *testing.T) {
	t.Parallel()
	const disk = 48 * mib
	eachArch(t, func(t *testing.T, arch virtboard.Arch) {
		good := bundleDir(t, arch, debian.Bundle{Preflash: []string{"dd if=/dev/urandom of=/dev/vda bs=512 count=1"}})
		raw := testImage(16 * mib)
		goodImage := imageFile(t, "good.raw", raw)
		xz, err := os.ReadFile(compressed(t, goodImage, "xz", ".xz", "-1"))
		if err != nil {
			t.Fatal(err)
		}
		empty := t.TempDir()
		for _, tc := range []struct {
			name   string
			bundle string
			image  string
			opts   []flasher.FlashOption
			step   flasher.Step
			is     error
		}{
			{name: "no such bundle", bundle: "127.0.0.1:1/none:latest", image: goodImage, step: flasher.StepBundle},
			{name: "no manifest in the bundle", bundle: empty, image: goodImage, step: flasher.StepBundle},
			{name: "target not in the manifest", bundle: good, image: goodImage, opts: []flasher.FlashOption{flasher.WithTarget("nvme")}, step: flasher.StepBundle},
			{name: "image missing", bundle: good, image: filepath.Join(empty, "none.raw"), step: flasher.StepCheck, is: image.ErrNotFound},
			{name: "image empty", bundle: good, image: imageFile(t, "empty.raw", nil), step: flasher.StepImage, is: image.ErrEmpty},
			{name: "image truncated", bundle: good, image: imageFile(t, "cut.xz", xz[:len(xz)/2]), step: flasher.StepImage, is: image.ErrTruncated},
			{name: "image has another checksum", bundle: good, image: goodImage, opts: []flasher.FlashOption{flasher.WithImageSHA256(strings.Repeat("0", 64))}, step: flasher.StepImage, is: image.ErrChecksum},
			{name: "image larger than the disk", bundle: good, image: imageFile(t, "large.raw", testImage(disk+512)), step: flasher.StepTarget, is: flasher.ErrImageTooLarge},
			{name: "device that is not there", bundle: good, image: goodImage, opts: []flasher.FlashOption{flasher.WithTarget("/dev/vdz")}, step: flasher.StepTarget},
		} {
			if arch != virtboard.ARM64 && tc.step == flasher.StepTarget {
				continue // what boots takes half a minute, and is the same
			}
			t.Run(tc.name, func(t *testing.T) {
				r := newRig(t, arch, disk)
				_, err := r.flasher(t, tc.bundle).Flash(t.Context(), tc.image, tc.opts...)
				var typed *flasher.Error
				if !errors.As(err, &typed) || typed.Step != tc.step {
					t.Fatalf("got %v, want a *flasher.Error of step %q", err, tc.step)
				}
				if tc.is != nil && !errors.Is(err, tc.is) {
					t.Errorf("%v is not %v", err, tc.is)
				}
				t.Log(err)
				r.isOff(t)
				r.isBlank(t)
				r.leftNothing(t)
			})
		}
	})
}
