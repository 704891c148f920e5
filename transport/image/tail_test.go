package image_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image"
)

// unpack runs the C tool that undoes a format. A warning with all of the data
// is a success.
func unpack(t *testing.T, p packer, packed []byte) (out []byte, ok bool) {
	t.Helper()
	if p.format == "android-sparse" {
		tool := testtool.Need(t, "simg2img", p.how)
		raw := filepath.Join(t.TempDir(), "raw")
		err := exec.Command(tool, writeFile(t, "packed", packed), raw).Run()
		if err != nil {
			return nil, false
		}
		if out, err = os.ReadFile(raw); err != nil {
			t.Fatal(err)
		}
		return out, true
	}
	args := []string{"-dc"}
	if p.format == "lzma" {
		args = append(args, "--format=lzma")
	}
	cmd := exec.Command(testtool.Need(t, p.tool, p.how), args...)
	cmd.Stdin = bytes.NewReader(packed)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && p.tool == "gzip" && exit.ExitCode() == 2 {
		err = nil
	}
	return out, err == nil
}

// TestWhatFollowsTheDataAsTheCTools gives the C tool and the Reader the same
// bytes and compares whether they succeed, and with what.
func TestWhatFollowsTheDataAsTheCTools(t *testing.T) {
	whole := rawImage(2 * mib)
	some, more := whole[900<<10:1000<<10], whole[1200<<10:1240<<10]
	formats := append(slices.Clone(packers),
		packer{"lz4", "lz4", "apt-get install lz4", []string{"-lc"}},
		packer{"lz4", "lz4", "apt-get install lz4", []string{"-cB4", "-BD", "-BX", "--content-size"}},
		packer{"zstd", "zstd", "apt-get install zstd", []string{"-c", "--no-check"}},
		packer{"xz", "xz", "apt-get install xz-utils", []string{"-c", "--check=none"}})
	skip := "\x52\x2a\x4d\x18\x05\x00\x00\x00hello"
	for _, p := range formats {
		t.Run(p.format+strings.Join(p.args, ""), func(t *testing.T) {
			a, b := string(pack(t, p, some)), string(pack(t, p, more))
			zeros := strings.Repeat("\x00", 4096)
			cases := map[string]string{
				"alone": a, "two members": a + b, "three members": a + b + a,
				"4 zeros": a + zeros[:4], "3 zeros": a + zeros[:3], "1 zero": a + zeros[:1], "a block of zeros": a + zeros, "1001 zeros": a + zeros[:1001],
				"zeros between": a + zeros[:8] + b, "3 zeros between": a + zeros[:3] + b,
				"a byte": a + "g", "a line": a + "garbage\n", "much garbage": a + strings.Repeat("xyz", 50000),
				"zeros, then garbage": a + zeros + "garbage", "two members, garbage": a + b + "garbage",
				"half a magic number": a + a[:2], "a magic number": a + a[:6], "half a member": a + b[:len(b)/2],
				"skippable first": skip + a, "skippable last": a + skip, "skippable between": a + skip + b, "cut skippable": a + skip[:10],
			}
			for _, q := range packers[1:6] {
				// The zstd program reads gzip, xz and lz4 too, which says nothing about zstd.
				if q.format != p.format && p.format != "zstd" {
					cases["then "+q.format] = a + string(pack(t, q, more))
				}
			}
			if p.format != "android-sparse" {
				empty := string(pack(t, p, nil))
				cases["an empty member last"], cases["an empty member first"] = a+empty, empty+a
			}
			for name, packed := range cases {
				want, ok := unpack(t, p, []byte(packed))
				got, formats, err := readAll([]byte(packed))
				if err == nil && len(formats) == 1 {
					continue // taken for a raw disk, which the tool does not have
				}
				if ok != (err == nil) {
					t.Errorf("%s: the tool's success is %v, ours is %v (%d bytes, the tool has %d)", name, ok, err, len(got), len(want))
				} else if !ok && !errors.Is(err, image.ErrCorrupt) && !errors.Is(err, image.ErrTruncated) {
					t.Errorf("%s: not classified: %v", name, err)
				} else if ok && !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes, the tool has %d", name, len(got), len(want))
				}
			}
		})
	}
}

// TestDamagedMemberIsNotIgnored is where the Reader is stricter than the C
// tools, which drop a further member whose magic number is damaged.
func TestDamagedMemberIsNotIgnored(t *testing.T) {
	raw := rawImage(2 * mib)[900<<10 : 1000<<10]
	for _, p := range packers[2:4] {
		packed := pack(t, p, raw)
		for bit := range 80 {
			if p.format == "gzip" && bit >= 24 {
				break
			}
			two := append(slices.Clone(packed), packed...)
			two[len(packed)+bit/8] ^= 1 << (bit % 8)
			if got, _, err := readAll(two); !errors.Is(err, image.ErrCorrupt) && len(got) != 2*len(raw) {
				t.Errorf("%s, bit %d: %d bytes, %v", p.format, bit, len(got), err)
			}
		}
	}
}

func TestIgnoredBytesAreWarnedOf(t *testing.T) {
	raw := rawImage(2 * mib)[900<<10 : 1000<<10]
	for _, p := range []packer{packers[2], packers[3], packers[7]} {
		for tail, want := range map[string]int{"garbage": 1, "\x00\x00": 0, "": 0, strings.Repeat("\x00garbage", 50000): 1} {
			var logged bytes.Buffer
			r, err := image.NewReader(bytes.NewReader(append(pack(t, p, raw), tail...)), image.DecodeName("board.img"),
				image.DecodeLogger(slog.New(slog.NewTextHandler(&logged, nil))))
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(raw)) {
				t.Errorf("%s: %d bytes, %v", p.format, n, err)
			}
			w := r.Warnings()
			r.Close()
			if len(w) != want || want > 0 && !strings.Contains(w[0], "ignored") || strings.Count(logged.String(), "source=board.img") != want {
				t.Errorf("%s with %d bytes behind: warnings %q, log %s", p.format, len(tail), w, &logged)
			}
		}
	}
	rep, err := image.Inspect(t.Context(), open(t, writeFile(t, "i.gz", append(pack(t, packers[2], raw), "garbage"...))))
	if err != nil || len(rep.Problems) != 1 {
		t.Errorf("inspected: %v, %v", rep, err)
	}
}
