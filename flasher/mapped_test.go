package flasher

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image"
)

// TestChunksOfBlockMap takes a block map that bmaptool made of a sparse file.
func TestChunksOfBlockMap(t *testing.T) {
	tool := testtool.Need(t, "bmaptool", "apt-get install bmap-tools")
	const mib = 1 << 20
	path := filepath.Join(t.TempDir(), "image.raw")
	raw := make([]byte, 24*mib)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.NewChaCha8([32]byte{3})
	for _, p := range [][2]int{{0, 8192}, {1*mib + 4096, 6 * mib}, {20 * mib, 4096}} {
		r.Read(raw[p[0] : p[0]+p[1]])
		if _, err := f.WriteAt(raw[p[0]:p[0]+p[1]], int64(p[0])); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(int64(len(raw))); err != nil {
		t.Fatal(err)
	}
	f.Close()
	prepared := func(opts ...image.PrepareOption) *image.Prepared {
		src, err := image.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := image.Prepare(t.Context(), src, append(opts, image.WithCacheDir(t.TempDir()))...)
		if err == nil {
			err = p.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	if out, err := exec.CommandContext(t.Context(), tool, "create", "-o", path+".bmap", path).CombinedOutput(); err != nil {
		t.Fatalf("bmaptool: %v\n%s", err, out)
	}
	for _, tc := range []struct {
		name string
		p    *image.Prepared
		all  bool
	}{
		{"beside the image", prepared(), false},
		{"not used", prepared(image.WithoutBmap()), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &writer{image: tc.p}
			chunks, err := w.chunks(w.image.Mapped())
			if err != nil {
				t.Fatal(err)
			}
			covered, end := int64(0), int64(0)
			seen := make([]byte, len(raw))
			for _, c := range chunks {
				b := raw[c.Offset : c.Offset+c.Size]
				if c.Offset < end || c.SHA256 != sha256.Sum256(b) || c.Zero != (len(bytes.Trim(b, "\x00")) == 0) {
					t.Errorf("chunk %+v", c)
				}
				copy(seen[c.Offset:], b)
				covered, end = covered+c.Size, c.Offset+c.Size
			}
			if !bytes.Equal(seen, raw) {
				t.Error("the chunks do not hold all data of the image")
			}
			if covered != int64(len(raw))-w.unmapped() {
				t.Errorf("%d bytes are in chunks, %d are unmapped", covered, w.unmapped())
			}
			if tc.all != (covered == int64(len(raw))) {
				t.Errorf("%d of %d bytes are in chunks", covered, len(raw))
			}
		})
	}
}
