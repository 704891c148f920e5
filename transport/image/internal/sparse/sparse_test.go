package sparse_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image/internal/sparse"
)

type chunk struct {
	kind   uint16
	blocks uint32
	data   []byte
	total  uint32 // if it is to be wrong
}

// build makes a sparse image with blocks of 4096 bytes.
func build(blocks uint32, checksum uint32, chunks ...chunk) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xed26ff3a)
	for _, v := range []uint16{1, 0, 28, 12} {
		b = le.AppendUint16(b, v)
	}
	for _, v := range []uint32{4096, blocks, uint32(len(chunks)), checksum} {
		b = le.AppendUint32(b, v)
	}
	for _, c := range chunks {
		b = le.AppendUint16(b, c.kind)
		b = le.AppendUint16(b, 0)
		b = le.AppendUint32(b, c.blocks)
		if c.total == 0 {
			c.total = 12 + uint32(len(c.data))
		}
		b = le.AppendUint32(b, c.total)
		b = append(b, c.data...)
	}
	return b
}

func read(b []byte) ([]byte, error) {
	r, err := sparse.NewReader(bytes.NewReader(b), func() {})
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, 64<<20))
}

func word(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// good has a chunk of each kind.
func good() (image, raw []byte) {
	data := bytes.Repeat([]byte("data"), 2048)
	raw = append(bytes.Clone(data), bytes.Repeat([]byte{1, 2, 3, 4}, 3072)...)
	raw = append(raw, make([]byte, 4096)...)
	return build(6, 0, chunk{kind: 0xcac1, blocks: 2, data: data}, chunk{kind: 0xcac2, blocks: 3, data: []byte{1, 2, 3, 4}},
		chunk{kind: 0xcac3, blocks: 1}, chunk{kind: 0xcac4, data: word(crc32.ChecksumIEEE(raw))}), raw
}

func TestAllKindsAsSimg2img(t *testing.T) {
	img, raw := good()
	got, err := read(img)
	if err != nil || !bytes.Equal(got, raw) {
		t.Fatalf("%d bytes: %v", len(got), err)
	}
	tool := testtool.Need(t, "simg2img", "apt-get install android-sdk-libsparse-utils")
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, img, 0o600); err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command(tool, in, out).CombinedOutput(); err != nil {
		t.Fatalf("simg2img: %v\n%s", err, msg)
	}
	if b, err := os.ReadFile(out); err != nil || !bytes.Equal(b, raw) {
		t.Errorf("simg2img makes %d other bytes: %v", len(b), err)
	}
}

func TestDamage(t *testing.T) {
	block := make([]byte, 4096)
	header := func(at int, b ...byte) []byte {
		img, _ := good()
		copy(img[at:], b)
		return img
	}
	for name, tc := range map[string]struct {
		b    []byte
		want error
	}{
		"version":          {header(4, 2), sparse.ErrUnsupported},
		"short header":     {header(8, 20), sparse.ErrFormat},
		"block size 0":     {header(12, 0, 0, 0, 0), sparse.ErrFormat},
		"odd block size":   {header(12, 1), sparse.ErrFormat},
		"enormous":         {header(12, 0, 0, 0, 0xfc, 255, 255, 255, 255), sparse.ErrFormat},
		"checksum":         {header(24, 1), sparse.ErrFormat},
		"raw too short":    {build(1, 0, chunk{kind: 0xcac1, blocks: 1, data: block, total: 100}), sparse.ErrFormat},
		"total overflows":  {build(1, 0, chunk{kind: 0xcac1, blocks: 1 << 20, data: block, total: 12}), sparse.ErrFormat},
		"too many blocks":  {build(1, 0, chunk{kind: 0xcac3, blocks: 2}), sparse.ErrFormat},
		"too few blocks":   {build(2, 0, chunk{kind: 0xcac3, blocks: 1}), sparse.ErrFormat},
		"blocks overflow":  {build(2, 0, chunk{kind: 0xcac3, blocks: 1}, chunk{kind: 0xcac3, blocks: 1<<32 - 1}), sparse.ErrFormat},
		"unknown chunk":    {build(1, 0, chunk{kind: 0xcac5, blocks: 1}), sparse.ErrFormat},
		"wrong CRC":        {build(1, 0, chunk{kind: 0xcac3, blocks: 1}, chunk{kind: 0xcac4, data: word(1)}), sparse.ErrFormat},
		"CRC with blocks":  {build(1, 0, chunk{kind: 0xcac4, blocks: 1, data: word(0)}), sparse.ErrFormat},
		"chunk is missing": {build(1, 0, chunk{kind: 0xcac3, blocks: 1})[:28], io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(tc.b); !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	img, _ := good()
	f.Add(img)
	f.Add(build(1<<31, 0, chunk{kind: 0xcac2, blocks: 1 << 31, data: word(7)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := sparse.NewReader(bytes.NewReader(b), func() {})
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, io.LimitReader(r, 1<<20))
		if err == nil && n < 1<<20 && n != r.Header().Size() {
			t.Errorf("%d bytes without an error, the header says %d", n, r.Header().Size())
		}
	})
}
