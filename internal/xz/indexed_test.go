package xz_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/xz"
)

// TestIndexHelps says which files need their index to be decoded on all cores,
// and reads each of them by it.
func TestIndexHelps(t *testing.T) {
	data := plain()[:300_000]
	pack := func(args string) []byte { return compress(t, data, strings.Fields(args)...) }
	sized, unsized, single := pack("-0 -T2 --block-size=90000"), pack("-0 -T1 --block-size=90000"), pack("-0 -T1")
	broken := bytes.Clone(unsized)
	broken[len(broken)-20] ^= 1 // in the index
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, test := range []struct {
		name   string
		b      []byte
		copies int // of data, 0 if the file is damaged
		want   bool
	}{
		{"sizes in the headers", sized, 1, false},
		{"no sizes in the headers", unsized, 1, true},
		{"one block", single, 1, false},
		{"one block in each of two streams", join(single, single), 2, true},
		{"sizes in the first stream only", join(sized, make([]byte, 8), unsized), 2, true},
		{"padding", join(unsized, make([]byte, 4096)), 1, true},
		{"an empty stream first", join(compress(t, nil), unsized), 1, true},
		{"odd padding", join(unsized, make([]byte, 3)), 0, false},
		{"garbage", join(unsized, []byte("garbage")), 0, false},
		{"cut off", unsized[:len(unsized)-1], 0, false},
		{"a damaged index", broken, 0, false},
		{"nothing", nil, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := xz.IndexHelps(bytes.NewReader(test.b), int64(len(test.b)), xz.Options{}); got != test.want {
				t.Errorf("got %v", got)
			}
			got, err := opens[1].readAll(test.b, xz.Options{})
			if want := bytes.Repeat(data, test.copies); (err == nil) != (test.copies > 0) || err == nil && !bytes.Equal(got, want) {
				t.Errorf("%d bytes, want %d: %v", len(got), len(want), err)
			}
		})
	}
}
