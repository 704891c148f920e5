package lzma2_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/ulikunitz/xz/lzma"

	"github.com/dutflash/dutflash/internal/lzma2"
)

// plain is machine code, zeros and noise.
var plain = sync.OnceValue(func() []byte {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	code, err := os.ReadFile(exe)
	if err != nil {
		panic(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	b := bytes.Clone(code[:min(len(code), 300_000)])
	b = append(b, make([]byte, 100_000)...)
	for range 150_000 {
		b = append(b, byte(rnd.Uint32()))
	}
	return append(b, b[:100_000]...)
})

// encode compresses with ulikunitz/xz, a chunk boundary wherever cuts says.
func encode(tb testing.TB, data []byte, cfg lzma.Writer2Config, cuts ...int) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := cfg.NewWriter2(&out)
	if err != nil {
		tb.Fatal(err)
	}
	at := 0
	for _, cut := range append(cuts, len(data)) {
		if _, err := w.Write(data[at:cut]); err != nil {
			tb.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			tb.Fatal(err)
		}
		at = cut
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// decode decodes all of b, in pieces of at most step bytes, through a ring of
// the given size.
func decode(b []byte, ring, step int, dict int64) ([]byte, error) {
	var d lzma2.Decoder
	src := bytes.NewReader(b)
	d.Reset(src, make([]byte, ring), dict)
	var out []byte
	for {
		p, err := d.Next(step)
		if err != nil {
			if n := int64(len(b) - src.Len()); n != d.Consumed() {
				return out, fmt.Errorf("consumed %d, counted %d", n, d.Consumed())
			}
			if err == io.EOF {
				return out, nil
			}
			return out, err
		}
		if len(p) == 0 || len(p) > step {
			return out, fmt.Errorf("%d bytes where 1 to %d were asked for", len(p), step)
		}
		out = append(out, p...)
	}
}

func TestDecoder(t *testing.T) {
	const dict = 64 << 10
	for _, props := range []lzma.Properties{{LC: 3, PB: 2}, {LC: 0, LP: 4, PB: 0}, {LC: 4, PB: 4}, {LC: 1, LP: 2, PB: 3}} {
		t.Run(fmt.Sprintf("lc=%d lp=%d pb=%d", props.LC, props.LP, props.PB), func(t *testing.T) {
			t.Parallel()
			b := encode(t, plain(), lzma.Writer2Config{Properties: &props, DictCap: dict}, 5, 77, 40_000, 40_001, 500_000)
			for _, test := range []struct{ ring, step int }{
				{len(plain()), 1 << 20},
				{len(plain()), 1},
				{dict + lzma2.WindowSlack, 1 << 20},
				{dict + lzma2.WindowSlack + 1, 1000},
				{dict + lzma2.WindowSlack + 7, 3},
				{dict * 3, 4099},
			} {
				got, err := decode(b, test.ring, test.step, dict)
				if err != nil || !bytes.Equal(got, plain()) {
					t.Errorf("ring of %d, steps of %d: %d bytes, %v", test.ring, test.step, len(got), err)
				}
			}
		})
	}
}

func TestDecoderEnd(t *testing.T) {
	b := encode(t, plain(), lzma.Writer2Config{})
	var d lzma2.Decoder
	window := make([]byte, len(plain()))
	for n := range 2 {
		d.Reset(bytes.NewReader(b), window, lzma2.MaxDict)
		for at := 0; at < len(window)-n; {
			p, err := d.Next(len(window) - n - at)
			if err != nil {
				t.Fatal(err)
			}
			at += len(p)
		}
		if err := d.End(); n == 0 && err != nil || n > 0 && !errors.Is(err, lzma2.ErrCorrupt) {
			t.Errorf("with %d bytes to come: %v", n, err)
		}
		if n == 0 && !bytes.Equal(window, plain()) {
			t.Error("the output differs")
		}
	}
}

func TestDecoderErrors(t *testing.T) {
	good := encode(t, plain()[:3000], lzma.Writer2Config{})
	for _, test := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, io.ErrUnexpectedEOF},
		{"empty", []byte{0}, nil},
		{"plain", []byte("\x01\x00\x04hello\x00"), nil},
		{"plain twice", []byte("\x01\x00\x04hello\x02\x00\x00!\x00"), nil},
		{"no dictionary reset", []byte("\x02\x00\x04hello\x00"), lzma2.ErrCorrupt},
		{"no properties", []byte("\x01\x00\x04hello\x80\x00\x04\x00\x05\x00\x00\x00\x00\x00\x00\x00"), lzma2.ErrCorrupt},
		{"control byte", []byte("\x01\x00\x04hello\x03"), lzma2.ErrCorrupt},
		{"no end", []byte("\x01\x00\x04hello"), io.ErrUnexpectedEOF},
		{"cut header", []byte("\x01\x00"), io.ErrUnexpectedEOF},
		{"cut data", []byte("\x01\x00\x04hel"), io.ErrUnexpectedEOF},
		{"bad properties", []byte("\xe0\x00\x04\x00\x05\xe1"), lzma2.ErrCorrupt},
		{"lc+lp", []byte("\xe0\x00\x04\x00\x05\x0d"), lzma2.ErrCorrupt},
		{"short chunk", []byte("\xe0\x00\x04\x00\x03\x5d\x00\x00\x00\x00"), lzma2.ErrCorrupt},
		{"first byte of the range coder", []byte("\xe0\x00\x04\x00\x04\x5d\x01\x00\x00\x00\x00"), lzma2.ErrCorrupt},
		{"code of the range coder", []byte("\xe0\x00\x04\x00\x04\x5d\x00\xff\xff\xff\xff"), lzma2.ErrCorrupt},
		{"match at the start", []byte("\xe0\x00\x04\x00\x07\x5d\x00\xff\xff\xff\x00\x00\x00\x00"), lzma2.ErrCorrupt},
		{"good", good, nil},
		{"cut", good[:len(good)-1], io.ErrUnexpectedEOF},
		{"half", good[:len(good)/2], io.ErrUnexpectedEOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := decode(test.b, 1<<20, 1<<16, 1<<16)
			if !errors.Is(err, test.want) || test.want == nil && err != nil {
				t.Errorf("%q, %v; want %v", got, err, test.want)
			}
		})
	}
}

// TestDictLimit has a match from farther back than the dictionary that is
// announced.
func TestDictLimit(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	data := make([]byte, 10_000)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	data = append(data, data[:1000]...)
	b := encode(t, data, lzma.Writer2Config{DictCap: 1 << 20})
	if _, err := decode(b, 1<<16, 1<<16, 1<<16); err != nil {
		t.Error(err)
	}
	if _, err := decode(b, 1<<16, 1<<16, 5000); !errors.Is(err, lzma2.ErrCorrupt) {
		t.Errorf("with a dictionary of 5000: %v", err)
	}
}

func TestDictSize(t *testing.T) {
	for prop, want := range map[byte]int64{0: 4 << 10, 1: 6 << 10, 2: 8 << 10, 18: 2 << 20, 22: 8 << 20, 28: 64 << 20, 39: 3 << 30, 40: 1<<32 - 1} {
		if got, err := lzma2.DictSize(prop); got != want || err != nil {
			t.Errorf("%d: %d, %v; want %d", prop, got, err, want)
		}
	}
	if _, err := lzma2.DictSize(41); !errors.Is(err, lzma2.ErrCorrupt) {
		t.Errorf("41: %v", err)
	}
}

// FuzzDecoder compares with ulikunitz/xz: where both find the data to be
// valid, the output is the same. Ours refuses some that the other takes, since
// it checks how chunks end. Rings of different sizes must never differ.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("\x01\x00\x04hello\x02\x00\x00!\x00"))
	for _, props := range []lzma.Properties{{LC: 3, PB: 2}, {LC: 0, LP: 4, PB: 4}} {
		f.Add(encode(f, plain()[5000:6000], lzma.Writer2Config{Properties: &props, DictCap: 4096}, 300))
		f.Add(encode(f, bytes.Repeat([]byte("a line of text\n"), 700), lzma.Writer2Config{Properties: &props, DictCap: 4096}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const dict, most = 4096, 1 << 20
		got, err := decode(b, dict+lzma2.WindowSlack, 100_000, dict)
		again, err2 := decode(b, dict+lzma2.WindowSlack+111, 77, dict)
		if (err == nil) != (err2 == nil) || !bytes.Equal(got[:min(len(got), len(again))], again[:min(len(got), len(again))]) {
			t.Fatalf("%d bytes, %v in a ring of one size, %d bytes, %v in one of another", len(got), err, len(again), err2)
		}
		if err != nil {
			return
		}
		r, err := lzma.Reader2Config{DictCap: dict}.NewReader2(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%d bytes where ulikunitz/xz has: %v", len(got), err)
		}
		want, err := io.ReadAll(io.LimitReader(r, most))
		if err != nil || !bytes.Equal(got[:min(len(got), most)], want) {
			t.Fatalf("%d bytes where ulikunitz/xz has %d, %v", len(got), len(want), err)
		}
	})
}
