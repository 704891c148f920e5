package image_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/dutflash/dutflash/transport/image"
)

// TestLyingHeaders gives data whose headers promise what is not so: other sizes,
// or dictionaries and windows of gigabytes, which must not be allocated.
func TestLyingHeaders(t *testing.T) {
	raw := rawImage(300_000)
	gz := pack(t, packers[2], raw)
	sized := pack(t, packer{"zstd", "zstd", "apt-get install zstd", []string{"-1c", fmt.Sprintf("--stream-size=%d", len(raw))}}, raw)
	if sized[4]>>6 != 2 {
		t.Fatalf("the frame header 0x%02x has no content size of four bytes", sized[4])
	}
	sizeAt := 5 // of the content size
	if sized[4]&0x20 == 0 {
		sizeAt++ // behind the window descriptor
	}
	change := func(b []byte, at int, add uint32) []byte {
		b = slices.Clone(b)
		at = (at + len(b)) % len(b)
		binary.LittleEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:])+add)
		return b
	}
	zstd := func(b ...byte) []byte { return append([]byte{0x28, 0xb5, 0x2f, 0xfd}, b...) }
	for _, tc := range []struct {
		name string
		b    []byte
		want []error
	}{
		{"gzip: more bytes", change(gz, -4, 1), []error{image.ErrCorrupt}},
		{"gzip: fewer bytes", change(gz, -4, ^uint32(0)), []error{image.ErrCorrupt}},
		{"gzip: another checksum", change(gz, -8, 1), []error{image.ErrCorrupt}},
		{"zstd: more bytes", change(sized, sizeAt, 1), []error{image.ErrCorrupt}},
		{"zstd: fewer bytes", change(sized, sizeAt, ^uint32(0)), []error{image.ErrCorrupt}},
		{"zstd: another checksum", change(sized, -4, 1), []error{image.ErrCorrupt}},
		{"zstd: window of 2 GiB", zstd(0x00, 21<<3, 0x01, 0, 0), []error{image.ErrTooLarge}},
		{"zstd: window of 1.75 TiB", zstd(0x00, 30<<3|6, 0x01, 0, 0), []error{image.ErrTooLarge}},
		{"zstd: one segment of 1 TiB", zstd(0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 0x01, 0, 0), []error{image.ErrTooLarge, image.ErrCorrupt}},
		{"xz: dictionary of 4 GiB", xzWithDictionary(40), []error{image.ErrTooLarge}},
		{"xz: dictionary of 1.5 GiB", xzWithDictionary(37), []error{image.ErrTooLarge}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var err error
			for _, read := range []func() error{
				func() error { _, _, err := readAll(tc.b); return err },
				func() error { // as a file, by its index if it has one
					s, err := image.Stream(t.Context(), open(t, writeFile(t, "i", tc.b)))
					if err != nil {
						return err
					}
					defer s.Close()
					_, err = io.Copy(io.Discard, s)
					return err
				},
			} {
				if err = read(); !slices.ContainsFunc(tc.want, func(want error) bool { return errors.Is(err, want) }) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 256*mib {
				t.Errorf("%d bytes were allocated", n)
			}
		})
	}
}

// xzWithDictionary is the start of an xz stream without checks, whose block has
// a dictionary of the size that code stands for.
func xzWithDictionary(code byte) []byte {
	b := []byte{0xfd, '7', 'z', 'X', 'Z', 0, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[6:]))
	h := []byte{2, 0, 0x21, 1, code, 0, 0, 0}
	b = append(b, h...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(h))
	return append(b, bytes.Repeat([]byte("data"), 100)...)
}
