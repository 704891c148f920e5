package image_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/transport/image"
)

// mixture is 100 KiB of text, noise and zeros.
func mixture() []byte {
	raw := rawImage(2 * mib)[900<<10 : 1000<<10]
	r := rand.New(rand.NewPCG(4, 4))
	for i := range 20_000 {
		raw[30_000+i] = byte(r.Uint32())
	}
	clear(raw[60_000:70_000])
	return raw
}

// TestNeverLaxerThanTheCTools damages data of formats that have no check of
// their own, where nobody can find all damage: what we take, the C tool takes
// too, and makes the same of it.
func TestNeverLaxerThanTheCTools(t *testing.T) {
	raw := mixture()
	for _, p := range []packer{
		{"lzma", "xz", "apt-get install xz-utils", []string{"--format=lzma", "-1c"}},
		{"lz4", "lz4", "apt-get install lz4", []string{"-lc"}},
		{"lz4", "lz4", "apt-get install lz4", []string{"--no-frame-crc", "-c"}},
		{"zstd", "zstd", "apt-get install zstd", []string{"--no-check", "-c"}},
		{"xz", "xz", "apt-get install xz-utils", []string{"--check=none", "-c"}},
	} {
		t.Run(p.format+strings.Join(p.args, ""), func(t *testing.T) {
			packed := pack(t, p, raw)
			r := rand.New(rand.NewPCG(7, 7))
			for i := range 40 {
				bad := slices.Clone(packed)
				at := r.IntN(len(bad))
				if i < 20 {
					at = r.IntN(min(20, len(bad))) // headers
				}
				bad[at] ^= 1 << r.IntN(8)
				got, formats, err := readAll(bad)
				if len(formats) == 1 {
					continue // taken for a raw disk
				}
				if err != nil {
					if !errors.Is(err, image.ErrCorrupt) && !errors.Is(err, image.ErrTruncated) && !errors.Is(err, image.ErrTooLarge) &&
						!errors.Is(err, image.ErrUnsupportedFormat) {
						t.Errorf("byte %d: not classified: %v", at, err)
					}
					continue
				}
				if theirs, ok := unpack(t, p, bad); !ok || !bytes.Equal(theirs, got) {
					t.Errorf("byte %d of %d: we make %d bytes of it, %s %d, success %v", at, len(bad), len(got), p.tool, len(theirs), ok)
				}
			}
		})
	}
}

// TestWrongSizesInHeaders has sizes that the data contradicts.
func TestWrongSizesInHeaders(t *testing.T) {
	raw := mixture()
	le := binary.LittleEndian
	lzma := func(size uint64) []byte {
		b := pack(t, packer{"lzma", "xz", "apt-get install xz-utils", []string{"--format=lzma", "-1c"}}, raw)
		le.PutUint64(b[5:], size)
		return b
	}
	gz := pack(t, packers[2], raw)
	le.PutUint32(gz[len(gz)-4:], uint32(len(raw)+1))
	n := uint64(len(raw))
	zst := pack(t, packer{"zstd", "zstd", "apt-get install zstd", []string{"--no-check", "-c", "--stream-size=102400"}}, raw)
	if zst[4]>>6 != 2 {
		t.Fatalf("this zstd writes another header: %x", zst[:12])
	}
	at := 5 // of the content size, by the Single_Segment_flag with or without a window byte
	if zst[4]&0x20 == 0 {
		at++
	}
	patched := func(size uint32) []byte {
		b := slices.Clone(zst)
		le.PutUint32(b[at:], size)
		return b
	}
	for _, tc := range []struct {
		name, format, tool string
		data               []byte
	}{
		{"lzma, right", "lzma", "xz", lzma(n)},
		{"lzma, less", "lzma", "xz", lzma(n - 1)},
		{"lzma, much less", "lzma", "xz", lzma(10)},
		{"lzma, more", "lzma", "xz", lzma(n + 1)},
		{"lzma, nothing", "lzma", "xz", lzma(0)},
		{"lzma, 200 GiB", "lzma", "xz", lzma(200 << 30)},
		{"gzip, more", "gzip", "gzip", gz},
		{"zstd, right", "zstd", "zstd", patched(uint32(n))},
		{"zstd, less", "zstd", "zstd", patched(uint32(n - 1))},
		{"zstd, more", "zstd", "zstd", patched(uint32(n + 1))},
		{"zstd, 4 GiB", "zstd", "zstd", patched(1<<32 - 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _, err := readAll(tc.data)
			theirs, ok := unpack(t, packer{tc.format, tc.tool, "apt-get install " + tc.tool, nil}, tc.data)
			if ok != (err == nil) || ok && !bytes.Equal(got, theirs) {
				t.Errorf("%s: success %v with %d bytes; we: %d bytes, %v", tc.tool, ok, len(theirs), len(got), err)
			}
		})
	}
}
