package image_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/dutflash/dutflash/transport/image"
)

func readAll(b []byte, opts ...image.ReaderOption) ([]byte, []image.Format, error) {
	r, err := image.NewReader(bytes.NewReader(b), opts...)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	out, err := io.ReadAll(r)
	return out, r.Formats(), err
}

func TestReaderUndoesWhatTheCToolsMake(t *testing.T) {
	raw := rawImage(2*mib + 4096)
	for _, p := range packers {
		t.Run(p.format+strings.Join(p.args, ""), func(t *testing.T) {
			packed := pack(t, p, raw)
			got, formats, err := readAll(packed)
			if err != nil || !bytes.Equal(got, raw) {
				t.Fatalf("%d bytes, want %d: %v", len(got), len(raw), err)
			}
			if !slices.Equal(formats, []image.Format{image.Format(p.format), "raw"}) {
				t.Errorf("formats %v", formats)
			}
			nested := pack(t, packers[2], packed)
			if got, formats, err = readAll(nested); err != nil || !bytes.Equal(got, raw) || len(formats) != 3 {
				t.Errorf("inside gzip: %v, %d bytes, want %d: %v", formats, len(got), len(raw), err)
			}
		})
	}
}

func TestReaderRefusesThreeFormatsInsideEachOther(t *testing.T) {
	b := rawImage(10000)
	for range 3 {
		b = pack(t, packers[2], b)
	}
	if _, _, err := readAll(b); !errors.Is(err, image.ErrUnsupportedFormat) {
		t.Errorf("got %v", err)
	}
}

func TestTruncatedDataIsAnError(t *testing.T) {
	raw := rawImage(mib / 2)
	for _, p := range packers {
		t.Run(p.format+strings.Join(p.args, ""), func(t *testing.T) {
			b := pack(t, p, raw)
			cuts := []int{1, 2, 3, 4, 5, 7, 12, 16, len(b) - 1, len(b) - 2, len(b) - 4, len(b) - 8, len(b) - 12}
			for i := 1; i < 10; i++ {
				cuts = append(cuts, len(b)*i/10)
			}
			for _, n := range cuts {
				_, formats, err := readAll(b[:n])
				if n < 14 { // too short to tell what it is: it may pass as raw
					if err == nil && len(formats) > 1 {
						t.Errorf("cut to %d of %d: no error", n, len(b))
					}
					continue
				}
				var e *image.Error
				if !errors.Is(err, image.ErrTruncated) || !errors.As(err, &e) || !strings.Contains(e.Op, p.format) || e.Offset < 0 {
					t.Errorf("cut to %d of %d: %v", n, len(b), err)
				}
			}
		})
	}
}

func TestFlippedBitIsNeverASilentSuccess(t *testing.T) {
	raw := rawImage(mib / 2)
	for _, p := range packers {
		if p.format == "lzma" || p.format == "android-sparse" {
			continue // have no check of their own; WithSHA256 is for that
		}
		t.Run(p.format+strings.Join(p.args, ""), func(t *testing.T) {
			b := pack(t, p, raw)
			for i := range 60 {
				at := len(b) * i / 60
				bad := slices.Clone(b)
				bad[at] ^= 1 << (i % 8)
				got, formats, err := readAll(bad)
				if err == nil && len(formats) > 1 && !bytes.Equal(got, raw) {
					t.Errorf("bit %d of byte %d of %d: %d bytes of other data and no error", i%8, at, len(b), len(got))
				}
				if err != nil && !errors.Is(err, image.ErrCorrupt) && !errors.Is(err, image.ErrTruncated) && !errors.Is(err, image.ErrTooLarge) && !errors.Is(err, image.ErrUnsupportedFormat) {
					t.Errorf("bit %d of byte %d: not classified: %v", i%8, at, err)
				}
			}
		})
	}
}

func TestReaderPassesTheErrorOfTheSourceOn(t *testing.T) {
	broken := errors.New("the cable fell out")
	for _, p := range packers {
		t.Run(p.format+strings.Join(p.args, ""), func(t *testing.T) {
			b := pack(t, p, rawImage(mib))
			r, err := image.NewReader(io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(broken)))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				r.Close()
			}
			if !errors.Is(err, broken) || errors.Is(err, image.ErrCorrupt) || errors.Is(err, image.ErrTruncated) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestReaderBoundsMemory(t *testing.T) {
	// A dictionary of 1.5 GiB, as xz --lzma2=dict=1536MiB would ask for.
	raw := rawImage(100000)
	big := pack(t, packer{"lzma", "xz", "apt-get install xz-utils", []string{"--format=lzma", "--lzma1=dict=1MiB", "-c"}}, raw)
	big[1], big[2], big[3], big[4] = 0, 0, 0, 0x60
	copy(big[5:13], []byte{0, 0, 0, 0, 1, 0, 0, 0})
	if _, _, err := readAll(big); !errors.Is(err, image.ErrTooLarge) {
		t.Errorf("lzma: %v", err)
	}
	zst := pack(t, packer{"zstd", "zstd", "apt-get install zstd", []string{"--long=27", "--no-check", "-1c"}}, raw)
	if _, _, err := readAll(zst, image.DecodeMemoryLimit(1<<20)); !errors.Is(err, image.ErrTooLarge) {
		t.Errorf("zstd: %v", err)
	}
}

// A source that has nothing more to say for now does not keep a refusal back: a pipe
// into which somebody has begun to write what is no image.
func TestRefusedWhileTheSourceWaits(t *testing.T) {
	for name, do := range map[string]func(ctx context.Context, src image.Source) error{
		"prepare": func(ctx context.Context, src image.Source) error {
			p, err := image.Prepare(t.Context(), src, image.WithCacheDir(t.TempDir()))
			if err != nil {
				return err
			}
			defer p.Close()
			return p.Wait(ctx)
		},
		"stream": func(ctx context.Context, src image.Source) error {
			_, err := image.Stream(ctx, src)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := io.Pipe()
			defer r.Close()
			go w.Write(append([]byte("QFI\xfb"), make([]byte, 100_000)...))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := do(ctx, image.FromReader("pipe", struct{ io.Reader }{r})); !errors.Is(err, image.ErrUnsupportedFormat) || ctx.Err() != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A memory limit beyond what any format can ask for is one that is never reached.
func TestHugeMemoryLimit(t *testing.T) {
	raw := rawImage(mib)
	for _, p := range packers {
		if got, _, err := readAll(pack(t, p, raw), image.DecodeMemoryLimit(1<<62)); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: %v", p.format, err)
		}
	}
}
