package flashertest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/power"
)

var (
	_ power.Controller  = (*flashertest.Board)(nil)
	_ power.StateReader = (*flashertest.Board)(nil)
	_ flasher.Network   = (*flashertest.Network)(nil)
)

const mib = 1 << 20

// image writes a disk image with data, zeros and an odd end.
func image(tb testing.TB, size int) (path string, raw []byte) {
	tb.Helper()
	raw = make([]byte, size)
	r := rand.NewChaCha8([32]byte{3})
	for off := 0; off < size; off += 12 * mib {
		r.Read(raw[off:min(off+5*mib, size)])
	}
	path = filepath.Join(tb.TempDir(), "image.raw")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path, raw
}

func newFlasher(tb testing.TB, b *flashertest.Board, opts ...flasher.Option) *flasher.Flasher {
	tb.Helper()
	bundle := tb.TempDir()
	if err := b.WriteBundle(bundle); err != nil {
		tb.Fatal(err)
	}
	f, err := flasher.New(b.Open, b, bundle, append([]flasher.Option{
		flasher.WithNetwork(b.Network()), flasher.WithCacheDir(tb.TempDir()), flasher.WithCycleWait(time.Millisecond),
		flasher.WithTranscript(tb.Output()),
	}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func TestFlash(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts []flashertest.Option
	}{
		{"default", nil},
		{"login", []flashertest.Option{flashertest.WithLogin(flashertest.Login{Username: "root", Password: "correct horse"})}},
		{"arm", []flashertest.Option{flashertest.WithBootloader(flashertest.Bootloader{ARM: true, Prompt: "U-Boot> "})}},
		{"curl", []flashertest.Option{flashertest.WithCurl()}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := flashertest.NewBoard(tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			path, raw := image(t, 32*mib+4096)
			res, err := newFlasher(t, b).Flash(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(raw)
			if got, err := b.Disk().SHA256(int64(len(raw))); err != nil || got != hex.EncodeToString(sum[:]) || got != res.SHA256 {
				t.Errorf("the disk holds %s (%v), the result says %s, want %x", got, err, res.SHA256, sum)
			}
			if on, _ := b.State(t.Context()); on {
				t.Error("the board is on")
			}
		})
	}
}

func Example() {
	board, err := flashertest.NewBoard()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer board.Close()
	dir, err := os.MkdirTemp("", "flashertest-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	image := filepath.Join(dir, "image.raw")
	if err := os.WriteFile(image, make([]byte, 8<<20), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	if err := board.WriteBundle(dir); err != nil {
		fmt.Println(err)
		return
	}
	f, err := flasher.New(board.Open, board, dir, flasher.WithNetwork(board.Network()), flasher.WithCacheDir(filepath.Join(dir, "cache")))
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := f.Flash(context.Background(), image)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Device, "proved:", res.ProvedBytes, "bytes")
	// Output: /dev/mmcblk0 proved: 8388608 bytes
}
