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
