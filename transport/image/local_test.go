package image_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/dutflash/dutflash/transport/image"
)

// unsized is what older versions of xz and pixz write: blocks whose headers do
// not tell their sizes, so that only the index at the end of a file does.
var unsized = packer{"xz", "xz", "apt-get install xz-utils", []string{"-T1", "--block-size=256KiB", "-1c"}}

// TestLocalXZIsReadByItsIndex covers what the index of a local file is for. Its
// use shows in errors: what is read at several places has no offset.
func TestLocalXZIsReadByItsIndex(t *testing.T) {
	raw := rawImage(3 * mib)
	one := pack(t, unsized, raw)
	damaged := slices.Clone(one)
	damaged[len(damaged)/2] ^= 1
	for _, tc := range []struct {
		name    string
		packed  []byte
		want    []byte
		err     error
		indexed bool
	}{
		{name: "blocks", packed: one, want: raw},
		{name: "streams and padding", packed: bytes.Join([][]byte{one, make([]byte, 64), one}, nil), want: slices.Concat(raw, raw)},
		{name: "damaged", packed: damaged, err: image.ErrCorrupt, indexed: true},
		{name: "cut off", packed: one[:len(one)-5], err: image.ErrTruncated},
		{name: "garbage behind", packed: append(slices.Clone(one), "garbage"...), err: image.ErrCorrupt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := writeFile(t, "i.raw.xz", tc.packed)
			p, err := prepare(t, open(t, path), image.WithCacheDir(t.TempDir()), image.WithChunkSize(mib))
			if !errors.Is(err, tc.err) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if err == nil {
				check(t, p, tc.want, tc.packed)
			}
			s, err := image.Stream(t.Context(), open(t, path))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got, err := io.ReadAll(s)
			if !errors.Is(err, tc.err) || err == nil && (!bytes.Equal(got, tc.want) || s.SourceSHA256() != hexSum(tc.packed)) {
				t.Fatalf("stream: %d bytes, %v", len(got), err)
			}
			var e *image.Error
			if errors.As(err, &e) && (e.Offset < 0) != tc.indexed {
				t.Errorf("by the index: %v; want %v: %v", e.Offset < 0, tc.indexed, err)
			}
		})
	}
}
