package flasher_test

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// TestDigestTimed: what real busybox is timed with decides what proves, the log and
// the result say which it was, and the SHA-256 that is told is that of the image. A
// 32-bit processor is slower by SHA-512, and must not be given it.
func TestDigestTimed(t *testing.T) {
	t.Parallel()
	eachArch(t, func(t *testing.T, arch virtboard.Arch) {
		raw := make([]byte, 128*mib)
		copy(raw[20*mib:], testImage(3*mib))
		r := newRig(t, arch, 129*mib)
		if err := errors.Join(os.WriteFile(r.disk, raw, 0o600), os.Truncate(r.disk, r.size)); err != nil {
			t.Fatal(err)
		}
		damage(t, r.disk, 21*mib+5)
		var log syncBuffer
		f := r.flasher(t, bundleDir(t, arch, debian.Bundle{}), flasher.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw))
		if err != nil {
			t.Fatal(err)
		}
		r.holds(t, raw)
		if res.SHA256 != sha256Hex(raw) || res.ProvedBytes != int64(len(raw)) || res.WrittenBytes != 4*mib || len(res.Warnings) > 0 {
			t.Errorf("%+v, want %d bytes written", res, 4*mib)
		}
		_, timed, _ := strings.Cut(log.String(), "Timed the board's digests")
		timed, _, _ = strings.Cut(timed, "\n")
		t.Log(timed)
		programs := strings.Split(res.ProofDigest, ", ") // it may begin by the first, and go on by the quicker
		if !strings.Contains(timed, " digest="+programs[len(programs)-1]+" ") || !strings.Contains(timed, "sha256sum_megabytes_per_second") || !strings.Contains(timed, "sha512sum_megabytes_per_second") {
			t.Errorf("proved by %q, timed: %q", res.ProofDigest, timed)
		}
		if programs[0] != "sha256sum" || arch == virtboard.ARM && res.ProofDigest != "sha256sum" {
			t.Errorf("proved by %s on %s", res.ProofDigest, arch)
		}
	})
}

// damage changes one byte of a file.
func damage(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := []byte{0}
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
