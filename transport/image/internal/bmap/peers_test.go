package bmap_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image/internal/bmap"
)

const getBmaptool = "apt-get install bmap-tools"

// created is an image with holes and the map that bmaptool makes of it.
func created(t *testing.T, args ...string) (raw, text []byte) {
	t.Helper()
	tool := testtool.Need(t, "bmaptool", getBmaptool)
	raw = make([]byte, 600_000)
	path := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, e := range [][2]int{{0, 9000}, {100_000, 30_000}, {590_000, 10_000}} {
		for i := range e[1] {
			raw[e[0]+i] = byte(1 + i%250)
		}
		if _, err := f.WriteAt(raw[e[0]:e[0]+e[1]], int64(e[0])); err != nil {
			t.Fatal(err)
		}
	}
	if text, err = exec.Command(tool, append([]string{"create", path}, args...)...).Output(); err != nil {
		t.Fatal(err)
	}
	return raw, text
}

// verify reads a map and compares an image with it.
func verify(raw, text []byte) error {
	m, err := bmap.Parse(text)
	if err != nil {
		return err
	}
	v := m.NewVerifier()
	for off := 0; off < len(raw); off += 50_000 {
		if err := v.Write(raw[off:min(off+50_000, len(raw))], int64(off)); err != nil {
			return err
		}
	}
	return v.Finish()
}

var ownSum = regexp.MustCompile(`(<BmapFileChecksum>\s*)[0-9a-f]{64}`)

// sealed gives a map that was changed the checksum of itself that it needs.
func sealed(text string) string {
	zero := ownSum.ReplaceAllString(text, "${1}"+strings.Repeat("0", 64))
	sum := sha256.Sum256([]byte(zero))
	return ownSum.ReplaceAllString(zero, "${1}"+hex.EncodeToString(sum[:]))
}

// TestAsBmaptool gives bmaptool and us the same maps and images, and compares
// who takes them.
func TestAsBmaptool(t *testing.T) {
	tool := testtool.Need(t, "bmaptool", getBmaptool)
	raw, made := created(t)
	text := string(made)
	change := func(pattern, to string) string {
		out := regexp.MustCompile(pattern).ReplaceAllString(text, to)
		if out == text {
			t.Fatalf("nothing matches %s", pattern)
		}
		return out
	}
	other := bytes.Clone(raw)
	other[110_000] ^= 1
	inHole := bytes.Clone(raw)
	inHole[300_000] = 1
	for _, tc := range []struct {
		name, text string
		raw        []byte
		want       error
	}{
		{"as made", text, raw, nil},
		{"sealed anew", sealed(change(`Type of checksum`, "Kind of checksum")), raw, nil},
		{"changed and not sealed", change(`Type of checksum`, "Kind of checksum"), raw, bmap.ErrChecksum},
		{"own checksum wrong", ownSum.ReplaceAllString(text, "${1}"+strings.Repeat("1", 64)), raw, bmap.ErrChecksum},
		{"another image", text, other, bmap.ErrChecksum},
		{"something else in a hole", text, inHole, nil},
		{"range checksum wrong", sealed(change(`chksum="[0-9a-f]{4}`, `chksum="0123`)), raw, bmap.ErrChecksum},
		{"short image", text, raw[:500_000], bmap.ErrChecksum},
		{"range backwards", sealed(change(`> 0-2 <`, "> 2-0 <")), raw, bmap.ErrFormat},
		{"version 3", sealed(change(`bmap version="2.0"`, `bmap version="3.0"`)), raw, bmap.ErrUnsupported},
		{"no XML", "not a map", raw, bmap.ErrFormat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := verify(tc.raw, []byte(tc.text))
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			dir := t.TempDir()
			in, m := filepath.Join(dir, "in"), filepath.Join(dir, "map")
			if err := errors.Join(os.WriteFile(in, tc.raw, 0o600), os.WriteFile(m, []byte(tc.text), 0o600)); err != nil {
				t.Fatal(err)
			}
			out, theirs := exec.Command(tool, "copy", "--bmap", m, in, filepath.Join(dir, "out")).CombinedOutput()
			if (theirs == nil) != (err == nil) {
				t.Errorf("bmaptool: %v\n%s\nwe: %v", theirs, out, err)
			}
		})
	}
}

// TestDamagedMapIsNeverTaken flips bits all over a map, and cuts it.
func TestDamagedMapIsNeverTaken(t *testing.T) {
	_, text := created(t)
	want, err := bmap.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	plain := fmt.Sprint(want.ImageSize, want.BlockSize, want.Ranges)
	for at := range text {
		bad := bytes.Clone(text)
		bad[at] ^= 1 << (at % 8)
		m, err := bmap.Parse(bad)
		// The digits of a checksum mean the same in capitals.
		if err == nil && fmt.Sprint(m.ImageSize, m.BlockSize, m.Ranges) != plain {
			t.Errorf("bit %d of byte %d: %+v", at%8, at, m)
		}
		if err != nil && !errors.Is(err, bmap.ErrFormat) && !errors.Is(err, bmap.ErrChecksum) && !errors.Is(err, bmap.ErrUnsupported) {
			t.Errorf("bit %d of byte %d: not classified: %v", at%8, at, err)
		}
	}
	end := bytes.LastIndex(text, []byte("</bmap>")) + len("</bmap>")
	for n := range end {
		if m, err := bmap.Parse(text[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes: %+v", n, len(text), m)
		}
	}
}

// TestWithoutRangeChecksums reads what bmaptool makes with --no-checksum.
func TestWithoutRangeChecksums(t *testing.T) {
	raw, with := created(t)
	_, without := created(t, "--no-checksum")
	a, err := bmap.Parse(with)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bmap.Parse(without)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Ranges {
		if a.Ranges[i].Sum == nil {
			t.Errorf("range %d has no checksum", i)
		}
		a.Ranges[i].Sum = nil
	}
	if !reflect.DeepEqual(a.Ranges, b.Ranges) {
		t.Errorf("%+v, with checksums %+v", b.Ranges, a.Ranges)
	}
	raw[0] ^= 1
	if err := verify(raw, without); err != nil {
		t.Errorf("without checksums another image: %v", err)
	}
}
