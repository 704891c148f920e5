package image_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/transport/image"
)

// TestInspectFileSystems looks at images without a partition table: the starts
// of file systems that internal/gpt has from the real mkfs programs, in gzip.
func TestInspectFileSystems(t *testing.T) {
	for _, name := range []string{"btrfs", "erofs", "f2fs", "iso9660", "squashfs", "xfs"} {
		path := filepath.Join("..", "..", "internal", "gpt", "testdata", name+".gz")
		r, err := image.Inspect(t.Context(), open(t, path))
		if err != nil {
			t.Fatal(err)
		}
		if r.FileSystem != name || r.Table != nil || len(r.Problems) != 0 || !slices.Equal(r.Formats, []image.Format{"gzip", "raw"}) ||
			!strings.Contains(r.String(), "file system "+name) || !strings.Contains(r.String(), "gzip > raw") {
			t.Errorf("%s: %s", name, r)
		}
	}
}

// TestInspectCountsZeros is about images whose zeros are known, through one
// format and two.
func TestInspectCountsZeros(t *testing.T) {
	raw := make([]byte, 3*mib+5000)
	for i := range mib {
		raw[mib/2+i] = byte(i%255 + 1)
	}
	raw[2*mib+100] = 1 // makes 64 KiB count as data
	sparse := pack(t, packers[7], raw[:3*mib])
	for _, tc := range []struct {
		name   string
		data   []byte
		chain  []image.Format
		raw    []byte
		zeroes int64
	}{
		{"raw", raw, []image.Format{"raw"}, raw, mib/2 + mib/2 + mib - 64<<10 + 5000},
		{"xz", pack(t, packers[0], raw), []image.Format{"xz", "raw"}, raw, mib/2 + mib/2 + mib - 64<<10 + 5000},
		{"sparse in gzip", pack(t, packers[2], sparse), []image.Format{"gzip", "android-sparse", "raw"}, raw[:3*mib], mib/2 + mib/2 + mib - 64<<10},
		{"nothing but zeros", make([]byte, mib), []image.Format{"raw"}, make([]byte, mib), mib},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := image.Inspect(t.Context(), open(t, writeFile(t, "i", tc.data)))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(r.Formats, tc.chain) || r.RawSize != int64(len(tc.raw)) || r.ZeroBytes != tc.zeroes || r.SourceSize != int64(len(tc.data)) ||
				r.SourceSHA256 != hexSum(tc.data) || r.SHA256 != hexSum(tc.raw) {
				t.Errorf("%+v, want %v, %d bytes, %d zero", r, tc.chain, len(tc.raw), tc.zeroes)
			}
		})
	}
}

func TestInspectFails(t *testing.T) {
	xz := pack(t, packers[0], rawImage(mib))
	for name, tc := range map[string]struct {
		data []byte
		opts []image.PrepareOption
		want error
	}{
		"login page": {[]byte("<html>Log in"), nil, image.ErrUnsupportedFormat},
		"cut":        {xz[:len(xz)/2], nil, image.ErrTruncated},
		"other sum":  {xz, []image.PrepareOption{image.WithSHA256(strings.Repeat("0", 64))}, image.ErrChecksum},
		"cache":      {xz, []image.PrepareOption{image.WithCacheDir("x")}, image.ErrInvalid},
	} {
		if r, err := image.Inspect(t.Context(), open(t, writeFile(t, "i", tc.data)), tc.opts...); !errors.Is(err, tc.want) || r != nil {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}
