package image_test

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
)

const mib = 1 << 20

// rawImage returns bytes that compress as a disk image does: text, noise, and
// long stretches of zeros.
func rawImage(size int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, size)
	words := strings.Fields("the quick brown fox jumps over one lazy dog and an initramfs")
	for off := 0; off < size; {
		n := min(1+r.IntN(300<<10), size-off)
		piece := b[off : off+n]
		switch r.IntN(4) {
		case 0: // zeros
		case 1:
			for i := range piece {
				piece[i] = byte(r.Uint32())
			}
		default:
			for i := 0; i < n; {
				i += copy(piece[i:], words[r.IntN(len(words))])
				i += copy(piece[i:], " ")
			}
		}
		off += n
	}
	return b
}

// gzipped compresses b for tests that any format does for.
func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// packer is a foreign program that makes one of the formats.
type packer struct {
	format, tool, how string
	args              []string
}

var packers = []packer{
	{"xz", "xz", "apt-get install xz-utils", []string{"-T2", "--block-size=128KiB", "-1c"}},
	{"xz", "xz", "apt-get install xz-utils", []string{"-T1", "-1c"}},
	{"gzip", "gzip", "apt-get install gzip", []string{"-1c"}},
	{"bzip2", "bzip2", "apt-get install bzip2", []string{"-1c"}},
	{"zstd", "zstd", "apt-get install zstd", []string{"-3c"}},
	{"lz4", "lz4", "apt-get install lz4", []string{"-1c"}},
	{"lzma", "xz", "apt-get install xz-utils", []string{"--format=lzma", "-1c"}},
	{"android-sparse", "img2simg", "apt-get install android-sdk-libsparse-utils", nil},
}

// pack compresses with a foreign program.
func pack(t testing.TB, p packer, raw []byte) []byte {
	t.Helper()
	tool := testtool.Need(t, p.tool, p.how)
	if p.tool == "img2simg" {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
		if err := os.WriteFile(in, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if msg, err := exec.Command(tool, in, out).CombinedOutput(); err != nil {
			t.Fatalf("img2simg: %v\n%s", err, msg)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	cmd := exec.Command(tool, p.args...)
	cmd.Stdin = bytes.NewReader(raw)
	var msg strings.Builder
	cmd.Stderr = &msg
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", p.tool, p.args, err, msg.String())
	}
	return out
}

func writeFile(t testing.TB, name string, b []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}
