package xz_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/dutflash/dutflash/internal/xz"
)

// damaged is what the damage tests start from: small, several blocks, two
// streams.
func damaged(t *testing.T, args string) []byte {
	data := plain()[400_000:430_000]
	b := compress(t, data, append(strings.Fields(args), "--block-size=10000")...)
	return append(b, compress(t, data[:3000], strings.Fields(args)...)...)
}

// known says whether err is one of those that stand for bad data.
func known(err error) bool {
	for _, target := range []error{xz.ErrFormat, xz.ErrTruncated, xz.ErrCorrupt, xz.ErrUnsupported, xz.ErrMemoryLimit} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

var damageArgs = []string{"-0 -T2", "-0 -T1", "-0 -T2 --check=crc32", "-0 -T1 --check=sha256", "-T2 --x86 --lzma2=preset=0"}

func TestTruncated(t *testing.T) {
	for _, args := range damageArgs {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			b := damaged(t, args)
			first := len(b) - len(compress(t, plain()[400_000:403_000], strings.Fields(args)...))
			for i := range 200 {
				n := len(b) * i / 200
				if i >= 100 { // and every length near the end
					n = len(b) - (200 - i)
				}
				if n == first {
					continue // the first stream alone, which is whole
				}
				for _, o := range opens {
					got, err := o.readAll(b[:n], xz.Options{})
					if !errors.Is(err, xz.ErrTruncated) || !errors.Is(err, io.ErrUnexpectedEOF) {
						// Zeros at a cut look like padding, or a cut in it.
						if o.name != "indexed" || !errors.Is(err, xz.ErrCorrupt) {
							t.Errorf("%s: %d of %d bytes: %d bytes, %v", o.name, n, len(b), len(got), err)
						}
					}
				}
			}
		})
	}
}

func TestBitFlips(t *testing.T) {
	for _, args := range damageArgs {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			b := damaged(t, args)
			// Each byte of headers, index and footer, and many of the data.
			for bit := 0; bit < 8*len(b); bit += 13 {
				at := bit / 8
				if at > 50 && at < len(b)-190 && bit%(13*40) != 0 {
					continue
				}
				b[at] ^= 1 << (bit % 8)
				for _, o := range opens {
					if got, err := o.readAll(b, xz.Options{}); !known(err) {
						t.Errorf("%s: bit %d of byte %d of %d: %d bytes, %v", o.name, bit%8, at, len(b), len(got), err)
					}
				}
				b[at] ^= 1 << (bit % 8)
			}
		})
	}
}

func TestGarbage(t *testing.T) {
	one := compress(t, []byte("one"))
	for _, test := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, xz.ErrTruncated},
		{"html", []byte("<!DOCTYPE html><html>..."), xz.ErrFormat},
		{"half a magic", one[:4], xz.ErrTruncated},
		{"trailing text", append(bytes.Clone(one), "some text that is long"...), nil},
		{"trailing newline", append(bytes.Clone(one), '\n'), nil},
		{"odd padding", append(bytes.Clone(one), 0, 0, 0, 0, 0, 0), xz.ErrCorrupt},
		{"odd padding between", bytes.Join([][]byte{one, {0, 0}, one}, nil), xz.ErrCorrupt},
		{"padding first", append(make([]byte, 4), one...), xz.ErrFormat},
		{"second header only", append(bytes.Clone(one), one[:12]...), xz.ErrTruncated},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, o := range opens {
				got, err := o.readAll(test.b, xz.Options{})
				switch {
				case test.want != nil && !errors.Is(err, test.want):
					t.Errorf("%s: %q, %v; want %v", o.name, got, err, test.want)
				case !errors.Is(err, xz.ErrTruncated) && !known(err):
					t.Errorf("%s: %q, %v", o.name, got, err)
				}
			}
		})
	}
}

// vli encodes a number as the xz format does.
func vli(v uint64) []byte { return binary.AppendUvarint(nil, v) }

// blockHeader makes a block header with sizes.
func blockHeader(compressed, uncompressed uint64, filters ...byte) []byte {
	body := append([]byte{0, 0xc0}, vli(compressed)...)
	body = append(body, vli(uncompressed)...)
	body = append(body, filters...)
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	body[0] = byte(len(body) / 4)
	return binary.LittleEndian.AppendUint32(body, crc32.ChecksumIEEE(body))
}

// streamHeader is that of a stream without checks.
func streamHeader() []byte {
	b := []byte{0xfd, '7', 'z', 'X', 'Z', 0, 0, 0}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[6:]))
}

// index makes the index and footer of one block.
func index(unpadded, uncompressed uint64) []byte {
	b := append([]byte{0, 1}, vli(unpadded)...)
	b = append(b, vli(uncompressed)...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	tail := binary.LittleEndian.AppendUint32(nil, uint32(len(b)/4-1))
	tail = append(tail, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(tail))
	return append(append(b, tail...), 'Y', 'Z')
}

// TestLies gives block headers and indexes, with the right CRCs, that do not
// say the truth about the one block "hello".
func TestLies(t *testing.T) {
	data := []byte("\x01\x00\x04hello\x00")
	dict := func(p byte) []byte { return []byte{0x21, 1, p} }
	type size = uint64
	for _, test := range []struct {
		name                     string
		compressed, uncompressed size // in the block header
		filters                  []byte
		unpadded, listed         size // in the index, 0 for the truth
		want                     error
	}{
		{name: "truth", compressed: 9, uncompressed: 5, filters: dict(0)},
		{name: "too long", compressed: 9, uncompressed: 6, listed: 6, filters: dict(0), want: xz.ErrCorrupt},
		{name: "too short", compressed: 9, uncompressed: 4, listed: 4, filters: dict(0), want: xz.ErrCorrupt},
		{name: "empty", compressed: 9, uncompressed: 0, listed: 5, filters: dict(0), want: xz.ErrCorrupt},
		{name: "compressed short", compressed: 8, uncompressed: 5, filters: dict(0), want: xz.ErrCorrupt},
		{name: "compressed long", compressed: 10, uncompressed: 5, filters: dict(0), want: xz.ErrCorrupt},
		{name: "compressed zero", compressed: 0, uncompressed: 5, filters: dict(0), want: xz.ErrCorrupt},
		{name: "compressed huge", compressed: 1<<63 - 1, uncompressed: 5, filters: dict(0), want: xz.ErrCorrupt},
		{name: "exabytes", compressed: 9, uncompressed: 1 << 62, listed: 1 << 62, filters: dict(0), want: xz.ErrCorrupt},
		{name: "exabytes, big dictionary", compressed: 9, uncompressed: 1 << 62, listed: 1 << 62, filters: dict(40), want: xz.ErrMemoryLimit},
		{name: "big dictionary, small block", compressed: 9, uncompressed: 5, filters: dict(40)},
		{name: "invalid dictionary", compressed: 9, uncompressed: 5, filters: dict(41), want: xz.ErrCorrupt},
		{name: "index unpadded", compressed: 9, uncompressed: 5, filters: dict(0), unpadded: 24, want: xz.ErrCorrupt},
		{name: "index uncompressed", compressed: 9, uncompressed: 5, filters: dict(0), listed: 4, want: xz.ErrCorrupt},
		{name: "no LZMA2", compressed: 9, uncompressed: 5, filters: []byte{0x03, 1, 0}, want: xz.ErrUnsupported},
		{name: "long properties", compressed: 9, uncompressed: 5, filters: []byte{0x21, 100, 0}, want: xz.ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := blockHeader(test.compressed, test.uncompressed, test.filters...)
			unpadded, listed := test.unpadded, test.listed
			if unpadded == 0 {
				unpadded = size(len(h) + len(data))
			}
			if listed == 0 {
				listed = 5
			}
			b := bytes.Join([][]byte{streamHeader(), h, data, make([]byte, -len(data)&3), index(unpadded, listed)}, nil)
			for _, o := range opens {
				got, err := o.readAll(b, xz.Options{})
				if !errors.Is(err, test.want) || test.want == nil && (err != nil || string(got) != "hello") {
					t.Errorf("%s: %q, %v; want %v", o.name, got, err, test.want)
				}
			}
		})
	}
}

func TestUnsupported(t *testing.T) {
	b := compress(t, plain()[:100_000], "--ia64", "--lzma2")
	for _, o := range opens {
		_, err := o.readAll(b, xz.Options{})
		if !errors.Is(err, xz.ErrUnsupported) || !strings.Contains(fmt.Sprint(err), "IA-64") {
			t.Errorf("%s: %v", o.name, err)
		}
	}
}

func TestSourceError(t *testing.T) {
	broken := errors.New("the cable is out")
	for _, args := range damageArgs {
		b := damaged(t, args)
		for n := range len(b) / 1000 {
			r, err := xz.NewReader(io.MultiReader(bytes.NewReader(b[:n*1000]), iotest.ErrReader(broken)), xz.Options{})
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				r.Close()
			}
			if !errors.Is(err, broken) {
				t.Errorf("%s: after %d bytes: %v", args, n*1000, err)
			}
		}
	}
}
