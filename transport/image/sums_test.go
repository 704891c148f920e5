package image_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/transport/image"
)

func TestSHA256File(t *testing.T) {
	raw := rawImage(100_000)
	path := writeFile(t, "board.raw", raw)
	sum, other := hexSum(raw), strings.Repeat("ab", 32)
	for _, tc := range []struct {
		name, text string
		want       error
	}{
		{"several names", other + "  a.raw\n" + sum + " *board.raw\n", nil},
		{"with a folder", sum + "  ./out/board.raw\n", nil},
		{"capitals", strings.ToUpper(sum) + "  board.raw\r\n", nil},
		{"tagged", "SHA256 (a) = " + other + "\nSHA256 (board.raw) = " + sum + "\n", nil},
		{"bare", sum + "\n", nil},
		{"wrong", other + "  board.raw\n", image.ErrChecksum},
		{"not in it", sum + "  other.raw\n", image.ErrChecksum},
		{"two digests", sum + "  board.raw\n" + other + "  board.raw\n", image.ErrInvalid},
		{"no checksum file", "<html>\n", image.ErrInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := prepare(t, open(t, path), image.WithCacheDir(t.TempDir()), image.WithSHA256File(writeFile(t, "sums", []byte(tc.text))))
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestStreamChecksAtItsEnd(t *testing.T) {
	raw := rawImage(mib)
	src := open(t, writeFile(t, "i.xz", pack(t, packers[0], raw)))
	s, err := image.Stream(t.Context(), src, image.WithSHA256(strings.Repeat("0", 64)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 0
	b := make([]byte, 64<<10)
	for err == nil {
		var m int
		m, err = s.Read(b)
		n += m
	}
	if n != mib || !errors.Is(err, image.ErrChecksum) {
		t.Errorf("%d bytes, then %v", n, err)
	}
	if _, err := image.Stream(t.Context(), src, image.WithCacheDir("x")); !errors.Is(err, image.ErrInvalid) {
		t.Errorf("an option that would be ignored: %v", err)
	}
}
