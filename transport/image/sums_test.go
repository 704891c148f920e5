package image_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
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
		{"one space", sum + " board.raw\n", nil},
		{"tab", sum + "\tboard.raw\n", nil},
		{"no digest", "abcdef  board.raw\n", image.ErrInvalid},
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

// TestSumsOfTheRealTool has sha256sum write the digests of files whose names
// make it hard, and finds each of them.
func TestSumsOfTheRealTool(t *testing.T) {
	tool := testtool.Need(t, "sha256sum", "apt-get install coreutils")
	if os.PathSeparator != '/' {
		t.Skip("such names are not allowed on this system")
	}
	dir := t.TempDir()
	names := []string{"board.raw.xz", "with space.img", " space first", "*star", "back\\slash", "new\nline", "(bracket) = x", "größe.img", "#hash"}
	for i, n := range names {
		if err := os.WriteFile(filepath.Join(dir, n), rawImage(50_000+i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"--"}, {"--binary", "--"}, {"--tag", "--"}} {
		cmd := exec.Command(tool, append(args, names...)...)
		cmd.Dir = dir
		sums, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		file := writeFile(t, "SHA256SUMS", sums)
		for i, n := range names {
			p, err := prepare(t, open(t, filepath.Join(dir, n)), image.WithCacheDir(t.TempDir()), image.WithoutBmap(), image.WithSHA256File(file))
			if err != nil {
				t.Errorf("%v %q: %v", args, n, err)
			} else if p.Size() != int64(50_000+i) {
				t.Errorf("%v %q: %d bytes", args, n, p.Size())
			}
		}
		// The digest of another one of them is not good enough.
		if err := os.Rename(filepath.Join(dir, names[0]), filepath.Join(dir, "x")); err != nil {
			t.Fatal(err)
		}
		if _, err := prepare(t, open(t, filepath.Join(dir, "x")), image.WithCacheDir(t.TempDir()), image.WithSHA256File(file)); !errors.Is(err, image.ErrChecksum) {
			t.Errorf("%v, not in it: %v", args, err)
		}
		if err := os.Rename(filepath.Join(dir, "x"), filepath.Join(dir, names[0])); err != nil {
			t.Fatal(err)
		}
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
