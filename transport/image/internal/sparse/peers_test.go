package sparse_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image/internal/sparse"
)

const getSimg = "apt-get install android-sdk-libsparse-utils"

// simg2img gives what the C tool makes of a sparse image, false if it fails.
func simg2img(t *testing.T, img []byte) ([]byte, bool) {
	t.Helper()
	tool := testtool.Need(t, "simg2img", getSimg)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, img, 0o600); err != nil {
		t.Fatal(err)
	}
	if exec.Command(tool, in, out).Run() != nil {
		return nil, false
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw, true
}

// random makes a sparse image of chunks of all kinds, and its raw image.
func random(r *rand.Rand) (img, raw []byte) {
	var chunks []chunk
	blocks := uint32(0)
	for range r.IntN(12) {
		c := chunk{kind: 0xcac1 + uint16(r.IntN(4)), blocks: uint32(1 + r.IntN(5))}
		size := int(c.blocks) * 4096
		switch c.kind {
		case 0xcac1:
			for range size {
				c.data = append(c.data, byte(r.Uint32()))
			}
			raw = append(raw, c.data...)
		case 0xcac2:
			c.data = word(r.Uint32())
			raw = append(raw, bytes.Repeat(c.data, size/4)...)
		case 0xcac3:
			raw = append(raw, make([]byte, size)...)
		case 0xcac4:
			c.blocks, c.data = 0, word(crc32.ChecksumIEEE(raw))
		}
		blocks += c.blocks
		chunks = append(chunks, c)
	}
	return build(blocks, 0, chunks...), raw
}

func TestRandomChunksAsSimg2img(t *testing.T) {
	for seed := range uint64(12) {
		img, raw := random(rand.New(rand.NewPCG(seed, 9)))
		got, err := read(img)
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("seed %d: %d bytes, want %d: %v", seed, len(got), len(raw), err)
		}
		if theirs, ok := simg2img(t, img); !ok || !bytes.Equal(theirs, raw) {
			t.Errorf("seed %d: simg2img makes %d bytes, want %d", seed, len(theirs), len(raw))
		}
	}
}

// TestWhatImg2simgMakes reads sparse images of blocks of several sizes.
func TestWhatImg2simgMakes(t *testing.T) {
	tool := testtool.Need(t, "img2simg", getSimg)
	r := rand.New(rand.NewPCG(1, 1))
	raw := make([]byte, 1<<20)
	for i := range 200_000 {
		raw[300_000+i] = byte(r.Uint32())
	}
	copy(raw[700_000:], bytes.Repeat([]byte("fill"), 50_000))
	for _, block := range []string{"1024", "4096", "65536"} {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
		if err := os.WriteFile(in, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if msg, err := exec.Command(tool, in, out, block).CombinedOutput(); err != nil {
			t.Fatalf("img2simg: %v\n%s", err, msg)
		}
		img, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(img); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("blocks of %s: %d bytes: %v", block, len(got), err)
		}
	}
}

// TestNeverLaxerThanSimg2img damages an image in many places: what we take the
// C tool takes too, and makes the same of it.
func TestNeverLaxerThanSimg2img(t *testing.T) {
	img, _ := good()
	r := rand.New(rand.NewPCG(3, 3))
	for range 60 {
		bad := bytes.Clone(img)
		at := r.IntN(len(bad))
		if r.IntN(2) == 0 {
			at = []int{r.IntN(28), 28 + r.IntN(12), 28 + 12 + 8192 + r.IntN(16), len(bad) - 1 - r.IntN(28)}[r.IntN(4)] // headers
		}
		bad[at] ^= 1 << r.IntN(8)
		got, err := read(bad)
		if err != nil {
			continue
		}
		if theirs, ok := simg2img(t, bad); !ok || !bytes.Equal(theirs, got) {
			t.Errorf("byte %d of %d: we make %d bytes of it, simg2img %v %d", at, len(bad), len(got), ok, len(theirs))
		}
	}
}

// TestEveryBitIsCheckedByCRC flips each bit of an image that ends in a CRC
// chunk: what a raw image is made of, it is never another one.
func TestEveryBitIsCheckedByCRC(t *testing.T) {
	data := bytes.Repeat([]byte("data"), 1024)
	raw := append(bytes.Clone(data), bytes.Repeat([]byte{1, 2, 3, 4}, 1024)...)
	raw = append(raw, make([]byte, 4096)...)
	img := build(3, 0, chunk{kind: 0xcac1, blocks: 1, data: data}, chunk{kind: 0xcac2, blocks: 1, data: []byte{1, 2, 3, 4}},
		chunk{kind: 0xcac3, blocks: 1}, chunk{kind: 0xcac4, data: word(crc32.ChecksumIEEE(raw))})
	for at := range img {
		for bit := range 8 {
			bad := bytes.Clone(img)
			bad[at] ^= 1 << bit
			got, err := read(bad)
			if err == nil && !bytes.Equal(got, raw) {
				t.Errorf("bit %d of byte %d: %d other bytes", bit, at, len(got))
			}
			if err != nil && !errors.Is(err, sparse.ErrFormat) && !errors.Is(err, sparse.ErrUnsupported) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("bit %d of byte %d: not classified: %v", bit, at, err)
			}
		}
	}
	for n := range img {
		if _, err := read(img[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut to %d of %d bytes: %v", n, len(img), err)
		}
	}
}

// TestSizesThatOverflow has block counts and sizes at the edges of 32 bits.
func TestSizesThatOverflow(t *testing.T) {
	edges := []uint32{0, 1, 2, 11, 12, 13, 4095, 4096, 1 << 20, 1<<20 + 1, 1<<31 - 1, 1 << 31, math.MaxUint32 - 11, math.MaxUint32}
	for _, kind := range []uint16{0xcac1, 0xcac2, 0xcac3, 0xcac4} {
		for _, blocks := range edges {
			for _, total := range edges {
				for _, all := range []uint32{0, 1, 1 << 20, math.MaxUint32} {
					img := build(all, 0, chunk{kind: kind, blocks: blocks, total: max(total, 1), data: make([]byte, 4096)})
					r, err := sparse.NewReader(bytes.NewReader(img), func() {})
					if err != nil {
						continue
					}
					n, err := io.Copy(io.Discard, io.LimitReader(r, 1<<16))
					if n > r.Header().Size() || err == nil && n < 1<<16 && n != r.Header().Size() {
						t.Errorf("%s: %d bytes, the header says %d: %v", fmt.Sprint(kind, blocks, total, all), n, r.Header().Size(), err)
					}
				}
			}
		}
	}
}
