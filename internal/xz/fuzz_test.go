package xz_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/xz"
)

// repair sets the CRC32s of the headers, the index and the footer right, as far
// as they are where they should be, so that damage gets beyond them.
func repair(b []byte) {
	sum := func(from, to, at int) {
		binary.LittleEndian.PutUint32(b[at:], crc32.ChecksumIEEE(b[from:to]))
	}
	if len(b) < 24 {
		return
	}
	copy(b, "\xfd7zXZ\x00")
	sum(6, 8, 8)
	if n := (int(b[12]) + 1) * 4; b[12] != 0 && 12+n <= len(b) {
		sum(12, 12+n-4, 12+n-4)
	}
	end := len(b)
	copy(b[end-2:], "YZ")
	sum(end-8, end-2, end-12)
	if n := (int64(binary.LittleEndian.Uint32(b[end-8:])) + 1) * 4; n >= 8 && n <= int64(end-24) {
		sum(end-12-int(n), end-16, end-16)
	}
}

// verdict reads b in both ways, which must agree, and as xz -dc does, which
// must agree as well unless the limits of one of them are in the way.
func verdict(t *testing.T, xzPath string, b []byte) {
	t.Helper()
	const most = 8 << 20 // of output; a few bytes of input can stand for a lot
	opts := xz.Options{Workers: 2, MemoryLimit: 16 << 20}
	read := func(o open) ([]byte, error) {
		r, err := o.open(b, opts)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		got, err := io.ReadAll(io.LimitReader(r, most))
		if len(got) == most {
			t.Skip("too much output")
		}
		return got, err
	}
	got, err := read(opens[0])
	other, err2 := read(opens[1])
	if errors.Is(err, xz.ErrMemoryLimit) != errors.Is(err2, xz.ErrMemoryLimit) {
		return // the index can tell that the whole dictionary is not needed
	}
	if (err == nil) != (err2 == nil) || err == nil && !bytes.Equal(got, other) {
		t.Fatalf("%s: %d bytes, %v; %s: %d bytes, %v", opens[0].name, len(got), err, opens[1].name, len(other), err2)
	}
	if err != nil && !known(err) || err2 != nil && !known(err2) {
		t.Fatalf("%v, %v", err, err2)
	}
	if errors.Is(err, xz.ErrMemoryLimit) || errors.Is(err, xz.ErrUnsupported) {
		return
	}
	cmd := exec.Command(xzPath, "-dc", "-qq", "--memlimit-decompress=100MiB")
	cmd.Stdin = bytes.NewReader(b)
	want, xzErr := cmd.Output()
	if (err == nil) != (xzErr == nil) || err == nil && !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v; xz: %d bytes, %v", len(got), err, len(want), xzErr)
	}
}

// FuzzReader is differential: both readers here and the C xz must come to the
// same verdict and output.
func FuzzReader(f *testing.F) {
	path := testtool.Need(f, "xz", "apt-get install xz-utils")
	data := plain()[300_000:301_500]
	f.Add(compress(f, data, "-0", "--check=none"))
	f.Add(compress(f, data, "-0", "--check=crc32", "-T2", "--block-size=1000"))
	f.Add(compress(f, nil))
	f.Add(compress(f, data[:100], "-T2", "--check=none", "--delta=dist=2", "--x86", "--lzma2=dict=4KiB"))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		repair(b)
		verdict(t, path, b)
	})
}

// FuzzLZMA finds out whether the library behind NewLZMAReader survives all
// input, and that its errors are sorted.
func FuzzLZMA(f *testing.F) {
	data := plain()[300_000:301_500]
	f.Add(compress(f, data, "--format=lzma"))
	f.Add(compress(f, nil, "--format=lzma"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := xz.NewLZMAReader(bytes.NewReader(b), xz.Options{MemoryLimit: 16 << 20})
		if err == nil {
			_, err = io.Copy(io.Discard, io.LimitReader(r, 1<<20))
			r.Close()
		}
		if err != nil && !known(err) {
			t.Fatal(err)
		}
	})
}

// TestMutations is a short deterministic run of what FuzzReader does.
func TestMutations(t *testing.T) {
	path := testtool.Need(t, "xz", "apt-get install xz-utils")
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, args := range [][]string{
		{"-0", "--check=none"}, {"-T2", "--block-size=900", "--check=none", "--lzma2=dict=4KiB"},
		{"-T1", "--block-size=900", "--check=none", "--arm64", "--lzma2=dict=4KiB"},
	} {
		good := compress(t, plain()[300_000:302_000], args...)
		for range 120 {
			b := bytes.Clone(good)
			for range 1 + rnd.IntN(2) {
				switch at := rnd.IntN(len(b)); rnd.IntN(4) {
				case 0:
					b[at] ^= 1 << rnd.IntN(8)
				case 1:
					b[at] = byte(rnd.Uint32())
				case 2: // near the end, where the index is
					b[len(b)-1-rnd.IntN(min(len(b), 60))] ^= 1 << rnd.IntN(8)
				case 3: // in the first header
					b[12+rnd.IntN(16)] ^= 1 << rnd.IntN(8)
				}
			}
			repair(b)
			verdict(t, path, b)
		}
	}
}
