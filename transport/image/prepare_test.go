package image_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/transport/image"
)

func hexSum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// prepare prepares path and waits.
func prepare(t *testing.T, src image.Source, opts ...image.PrepareOption) (*image.Prepared, error) {
	t.Helper()
	p, err := image.Prepare(t.Context(), src, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, p.Wait(t.Context())
}

func open(t *testing.T, ref string, opts ...image.SourceOption) image.Source {
	t.Helper()
	src, err := image.Open(ref, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// check compares everything that a Prepared says with raw.
func check(t *testing.T, p *image.Prepared, raw, stored []byte) {
	t.Helper()
	if p.Size() != int64(len(raw)) || p.SHA256() != hexSum(raw) || p.SourceSHA256() != hexSum(stored) {
		t.Errorf("size %d, SHA-256 %s, of the source %s", p.Size(), p.SHA256(), p.SourceSHA256())
	}
	got, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
	if err != nil || !bytes.Equal(got, raw) {
		t.Errorf("read %d bytes: %v", len(got), err)
	}
	var off int64
	for _, c := range p.Chunks() {
		b := raw[c.Offset : c.Offset+c.Size]
		if c.Offset != off || c.SHA256 != sha256.Sum256(b) || c.Zero != (len(bytes.Trim(b, "\x00")) == 0) {
			t.Errorf("chunk %+v", c)
		}
		off += c.Size
	}
	if off != p.Size() {
		t.Errorf("chunks cover %d bytes", off)
	}
}

func TestPrepareAndFindAgain(t *testing.T) {
	raw := rawImage(5*mib + 777)
	clear(raw[mib : 3*mib])
	clear(raw[5*mib:])
	for _, p := range packers[:7] {
		t.Run(p.format+strings.Join(p.args, ""), func(t *testing.T) {
			cache := t.TempDir()
			stored := pack(t, p, raw)
			path := writeFile(t, "image", stored)
			for _, again := range []bool{false, true} {
				cached := false
				got, err := prepare(t, open(t, path), image.WithCacheDir(cache), image.WithChunkSize(mib), image.WithSHA256(hexSum(stored)),
					image.WithProgress(func(p image.Progress) { cached = p.Cached }))
				if err != nil {
					t.Fatal(err)
				}
				check(t, got, raw, stored)
				got.Close()
				if cached != again {
					t.Errorf("cached is %v", cached)
				}
			}
		})
	}
}

func TestReadersFollowThePreparation(t *testing.T) {
	raw := rawImage(6 * mib)
	pr, pw := io.Pipe()
	p, err := image.Prepare(t.Context(), image.FromReader("pipe", pr), image.WithCacheDir(t.TempDir()), image.WithChunkSize(mib))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		for off := 0; off < len(raw); off += mib {
			if _, err := pw.Write(raw[off : off+mib]); err != nil {
				t.Error(err)
			}
			if off == 4*mib {
				// What was written so far can be read though the end is not there.
				b := make([]byte, mib)
				if _, err := p.ReadAt(b, 2*mib); err != nil || !bytes.Equal(b, raw[2*mib:3*mib]) {
					t.Errorf("early read: %v", err)
				}
				if p.Size() != -1 {
					t.Errorf("size %d is known early", p.Size())
				}
			}
		}
		pw.Close()
	})
	for range 3 {
		wg.Go(func() {
			b := make([]byte, len(raw)+1)
			if n, err := p.ReadAt(b, 0); n != len(raw) || err != io.EOF || !bytes.Equal(b[:n], raw) {
				t.Errorf("read %d bytes: %v", n, err)
			}
			if n, err := p.ReadAt(b, int64(len(raw))); n != 0 || err != io.EOF {
				t.Errorf("at the end: %d, %v", n, err)
			}
		})
	}
	wg.Wait()
	if err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPrepareFails(t *testing.T) {
	raw := rawImage(3 * mib)
	xz := pack(t, packers[0], raw)
	gz := pack(t, packers[2], raw)
	for _, tc := range []struct {
		name string
		data []byte
		opts []image.PrepareOption
		want error
	}{
		{"empty", nil, nil, image.ErrEmpty},
		{"cut xz", xz[:len(xz)/2], nil, image.ErrTruncated},
		{"cut gzip", gz[:len(gz)/2], nil, image.ErrTruncated},
		{"another checksum", raw, []image.PrepareOption{image.WithSHA256(strings.Repeat("0", 64))}, image.ErrChecksum},
		{"cut, and a checksum tells", xz[:len(xz)/2], []image.PrepareOption{image.WithSHA256(hexSum(xz))}, image.ErrChecksum},
		{"too large", xz, []image.PrepareOption{image.WithMaxSize(mib)}, image.ErrTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cache := t.TempDir()
			p, err := prepare(t, open(t, writeFile(t, "image", tc.data)), append(tc.opts, image.WithCacheDir(cache))...)
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if _, err := p.ReadAt(make([]byte, 1), 0); !errors.Is(err, tc.want) {
				t.Errorf("ReadAt: %v", err)
			}
			left, _ := filepath.Glob(filepath.Join(cache, "images", "*.img"))
			if len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestDamagedCacheIsPreparedAnew(t *testing.T) {
	raw := rawImage(3 * mib)
	path, cache := writeFile(t, "image", pack(t, packers[0], raw)), t.TempDir()
	stored, _ := os.ReadFile(path)
	p, err := prepare(t, open(t, path), image.WithCacheDir(cache), image.WithChunkSize(mib))
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	files, _ := filepath.Glob(filepath.Join(cache, "images", "*.img"))
	f, err := os.OpenFile(files[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("damage"), 2*mib+5)
	f.Close()
	if p, err = prepare(t, open(t, path), image.WithCacheDir(cache), image.WithChunkSize(mib)); err != nil {
		t.Fatal(err)
	}
	check(t, p, raw, stored)
}

func TestCloseEndsEverything(t *testing.T) {
	pr, pw := io.Pipe()
	defer pw.Close()
	cache := t.TempDir()
	p, err := image.Prepare(t.Context(), image.FromReader("pipe", pr), image.WithCacheDir(cache))
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := p.ReadAt(make([]byte, 1), 0)
		failed <- err
	}()
	pw.Write(make([]byte, 2000))
	p.Close()
	p.Close()
	if err := <-failed; !errors.Is(err, image.ErrClosed) {
		t.Errorf("ReadAt: %v", err)
	}
	if err := p.Wait(t.Context()); !errors.Is(err, image.ErrClosed) {
		t.Errorf("Wait: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "images", "part-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestReadAtWaitsAndFailsWithThePreparation cuts a source off while somebody
// waits for bytes that then never come.
func TestReadAtWaitsAndFailsWithThePreparation(t *testing.T) {
	packed := gzipped(rawImage(6 * mib))
	pr, pw := io.Pipe()
	p, err := image.Prepare(t.Context(), image.FromReader("pipe", pr), image.WithCacheDir(t.TempDir()), image.WithChunkSize(mib))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	pw.Write(packed[:len(packed)/2])
	if _, err := p.ReadAt(make([]byte, 1), 0); err != nil {
		t.Error(err)
	}
	failed := make(chan error)
	go func() {
		_, err := p.ReadAt(make([]byte, 1), 5*mib)
		failed <- err
	}()
	pw.Close()
	if err := <-failed; !errors.Is(err, image.ErrTruncated) {
		t.Errorf("who waited got %v", err)
	}
	if _, err := p.ReadAt(make([]byte, 1), 0); !errors.Is(err, image.ErrTruncated) {
		t.Errorf("who comes later got %v", err)
	}
}

// TestBegun: the first bytes are waited for, and no more.
func TestBegun(t *testing.T) {
	r, w := io.Pipe()
	p, err := image.Prepare(t.Context(), image.FromReader("pipe", r), image.WithCacheDir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Begun(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the first byte: %v", err)
	}
	raw := rawImage(mib)
	go w.Write(raw)
	if err := p.Begun(t.Context()); err != nil {
		t.Errorf("behind the first bytes: %v", err)
	}
	if p.SHA256() != "" {
		t.Error("the image is whole already")
	}
	w.CloseWithError(io.ErrClosedPipe)
	if err := p.Wait(t.Context()); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Wait: %v", err)
	}
	if err := p.Begun(t.Context()); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("once it has failed: %v", err)
	}
}
