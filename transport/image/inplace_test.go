package image_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/transport/image"
)

// overwrite changes one byte of a file and leaves its time as it was.
func overwrite(t *testing.T, path string, off int64) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, st.ModTime()); err != nil {
		t.Fatal(err)
	}
}

func TestRawFileIsUsedInPlace(t *testing.T) {
	raw := rawImage(5*mib + 777)
	clear(raw[mib : 3*mib])
	clear(raw[5*mib:])
	cache, path := t.TempDir(), writeFile(t, "i.raw", raw)
	for _, again := range []bool{false, true} {
		reports, cached := 0, false
		p, err := prepare(t, open(t, path), image.WithCacheDir(cache), image.WithChunkSize(mib), image.WithSHA256(hexSum(raw)),
			image.WithProgress(func(p image.Progress) { cached = p.Cached; reports++ }))
		if err != nil {
			t.Fatal(err)
		}
		check(t, p, raw, raw)
		if cached != again || again && reports != 1 {
			t.Errorf("cached is %v, %d reports", cached, reports)
		}
		var wg sync.WaitGroup
		for i := range 4 { // at different places, in small pieces, to the end
			wg.Go(func() {
				from := int64(i) * 300_000
				got := make([]byte, 0, len(raw))
				for b := make([]byte, 32<<10); ; {
					n, err := p.ReadAt(b, from+int64(len(got)))
					got = append(got, b[:n]...)
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Error(err)
						break
					}
				}
				if !bytes.Equal(got, raw[from:]) {
					t.Errorf("from %d: %d bytes", from, len(got))
				}
			})
		}
		wg.Wait()
		p.Close()
	}
	if n := images(t, cache); n != 0 {
		t.Errorf("%d copies in the cache", n)
	}
	if maps, _ := filepath.Glob(filepath.Join(cache, "images", "*.map")); len(maps) != 1 {
		t.Errorf("maps: %v", maps)
	}
	// A wrong checksum is refused also when the digest comes from the cache.
	if _, err := prepare(t, open(t, path), image.WithCacheDir(cache), image.WithChunkSize(mib), image.WithSHA256(hexSum(nil))); !errors.Is(err, image.ErrChecksum) {
		t.Errorf("got %v", err)
	}
}

func TestRawFileThatChangesIsNoticed(t *testing.T) {
	raw := rawImage(4 * mib)
	cache := image.WithCacheDir(t.TempDir())
	chunk := image.WithChunkSize(mib)
	readable := func(t *testing.T, p *image.Prepared, i int64, want error) {
		t.Helper()
		b := make([]byte, 1000)
		n, err := p.ReadAt(b, i*mib+500)
		if !errors.Is(err, want) || err == nil && !bytes.Equal(b, raw[i*mib+500:][:1000]) || err != nil && n != 0 {
			t.Errorf("chunk %d: %d bytes, %v; want %v", i, n, err, want)
		}
	}
	path := writeFile(t, "i.raw", raw)
	p, err := prepare(t, open(t, path), cache, chunk)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, 2*mib+5)
	readable(t, p, 1, nil)
	readable(t, p, 2, image.ErrChanged)
	readable(t, p, 2, image.ErrChanged)
	readable(t, p, 3, nil)
	overwrite(t, path, 2*mib+5) // back again
	readable(t, p, 2, nil)
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	readable(t, p, 0, image.ErrChanged)
	readable(t, p, 3, nil) // still in memory

	t.Run("behind the kept digests", func(t *testing.T) {
		path := writeFile(t, "i.raw", raw)
		if _, err := prepare(t, open(t, path), cache, chunk); err != nil {
			t.Fatal(err)
		}
		overwrite(t, path, mib)
		p, err := prepare(t, open(t, path), cache, chunk)
		if err != nil {
			t.Fatal(err)
		}
		readable(t, p, 1, image.ErrChanged)
		// What turned out to be wrong is not believed again.
		changed, _ := os.ReadFile(path)
		if p, err = prepare(t, open(t, path), cache, chunk); err != nil {
			t.Fatal(err)
		}
		check(t, p, changed, changed)
	})
	t.Run("another time", func(t *testing.T) {
		path := writeFile(t, "i.raw", raw)
		if _, err := prepare(t, open(t, path), cache, chunk); err != nil {
			t.Fatal(err)
		}
		overwrite(t, path, mib)
		if err := os.Chtimes(path, time.Time{}, time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
		changed, _ := os.ReadFile(path)
		p, err := prepare(t, open(t, path), cache, chunk)
		if err != nil {
			t.Fatal(err)
		}
		check(t, p, changed, changed)
	})
	for _, packed := range []bool{false, true} {
		t.Run("while it is prepared", func(t *testing.T) {
			b := raw
			if packed {
				b = gzipped(raw)
			}
			path := writeFile(t, "i.raw", b)
			once := sync.OnceFunc(func() { os.Chtimes(path, time.Time{}, time.Unix(1e9, 0)) })
			p, err := prepare(t, open(t, path), cache, chunk, image.WithProgress(func(image.Progress) { once() }))
			if !errors.Is(err, image.ErrChanged) {
				t.Errorf("got %v", err)
			}
			if _, err := p.ReadAt(make([]byte, 1), 0); !errors.Is(err, image.ErrChanged) {
				t.Errorf("ReadAt: %v", err)
			}
		})
	}
}
