package tftp_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
)

// BenchmarkLoopback loads 27 MB: lock step by curl (pin/tftp), and windows by
// the test's client.
func BenchmarkLoopback(b *testing.B) {
	want := random(27 << 20)
	_, addr := start(b, map[string][]byte{"k": want})
	b.Run("curl-lockstep", func(b *testing.B) {
		curl := testtool.Need(b, "curl", "apt-get install curl")
		out := filepath.Join(b.TempDir(), "out")
		b.SetBytes(int64(len(want)))
		for b.Loop() {
			if msg, err := exec.Command(curl, "-sS", "--tftp-blksize", "1468", "-o", out, fmt.Sprintf("tftp://%s/k", addr)).CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, msg)
			}
		}
		if fi, err := os.Stat(out); err != nil || fi.Size() != int64(len(want)) {
			b.Fatal(fi, err)
		}
	})
	for _, w := range []string{"1", "4", "16", "64"} {
		b.Run("window-"+w, func(b *testing.B) {
			b.SetBytes(int64(len(want)))
			for b.Loop() {
				if got, err := fetch(b, addr, rrq("k", "octet", "blksize", "1468", "windowsize", w), nil); err != nil || len(got) != len(want) {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}
