package flasher_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/transport/image"
)

// TestQuickestDigest: another digest is taken only where it is quicker by more than
// the clock may be wrong.
func TestQuickestDigest(t *testing.T) {
	for _, tc := range []struct{ name, out, want string }{
		{"half as long again", "sha256sum 4 4\nsha512sum 4 3\nsha256sum 4 5\nsha512sum 4 3\nsha256sum 4 4\nsha512sum 4 3\n", "sha512sum"},
		{"one was disturbed", "sha256sum 4 4\nsha512sum 4 3\nsha256sum 4 4\nsha512sum 4 9\nsha256sum 4 4\nsha512sum 4 3\n", "sha256sum"},
		{"32-bit processor", "sha256sum 4 12\nsha512sum 4 40\n", "sha256sum"},
		{"as long", "sha256sum 4 12\nsha512sum 4 12\n", "sha256sum"},
		{"within the clock's error", "sha256sum 4 10\nsha512sum 4 8\n", "sha256sum"},
		{"the last size counts", "sha256sum 4 9\nsha512sum 4 3\nsha256sum 16 18\nsha512sum 16 17\n", "sha256sum"},
		{"too quick for the clock", "sha256sum 16 2\nsha512sum 16 0\nsha256sum 16 0\nsha512sum 16 1\n", "sha256sum"},
		{"stopped in the middle of a round", "sha256sum 4 9\nsha512sum 4 3\nsha256sum 16 18\n", "sha256sum"},
		{"weak one", "sha256sum 4 40\nmd5sum 4 9\n", "sha256sum"},
		{"nothing", "", "sha256sum"},
		{"nonsense", "sha256sum x 1\nsha512sum 12\n-\nsha512sum 0 0\nsha512sum 12 -5\n", "sha256sum"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := flasher.QuickestDigest(tc.out); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

// TestImageDamagedAfterItWasPrepared: a file of the cache that changes while it is used
// is not proved by a digest of what it became.
func TestImageDamagedAfterItWasPrepared(t *testing.T) {
	t.Parallel()
	b := newSimulated(t, flashertest.WithoutTools("sha256sum"))
	for _, method := range []flasher.Method{flasher.MethodExtents, flasher.MethodStream} {
		t.Run(string(method), func(t *testing.T) {
			src, err := image.Open(compressed(t, imageFile(t, "image.raw", testImage(6*mib)), "gzip", ".gz"))
			if err != nil {
				t.Fatal(err)
			}
			cache := t.TempDir()
			p, err := image.Prepare(t.Context(), src, image.WithCacheDir(cache))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			damaged := 0
			err = filepath.WalkDir(cache, func(path string, d fs.DirEntry, err error) error {
				if info, _ := d.Info(); err == nil && !d.IsDir() && info.Size() >= 6*mib {
					damage(t, path, 3*mib+5)
					damaged++
				}
				return err
			})
			if err != nil || damaged != 1 {
				t.Fatalf("%d files of the cache damaged, %v", damaged, err)
			}
			res, err := b.flasher(t, flasher.WithMethod(method), flasher.WithRetries(2)).FlashPrepared(t.Context(), p)
			if !errors.Is(err, image.ErrChanged) || res.SHA256 != "" || res.ProofDigest != "" {
				t.Errorf("%+v, %v; want ErrChanged", res, err)
			}
			var fe *flasher.Error
			if errors.As(err, &fe) && len(fe.Attempts) > 1 {
				t.Errorf("%d attempts", len(fe.Attempts))
			}
		})
	}
}
