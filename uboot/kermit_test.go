package uboot

import (
	"bytes"
	"testing"
)

// FuzzKermit: whatever U-Boot answers is taken apart or refused, and what is quoted
// for it comes back by the rules of k_recv: after # a character stands for itself, or,
// from @ to _, for the control character.
func FuzzKermit(f *testing.F) {
	f.Add([]byte("\x01& Y~!-\r"), []byte("#\x00\x7f\x80\xff\x01\r~"))
	f.Add([]byte(kermitPacket(0, 'Y', []byte("~* @-#N1~* J)"))), bytes.Repeat([]byte{0}, 2000))
	f.Add([]byte(kermitPacket(63, 'E', []byte("no"))), []byte("text"))
	f.Fuzz(func(t *testing.T, answer, file []byte) {
		if n, kind, data, ok := parseKermit(answer); ok {
			if again := kermitPacket(n, kind, data); again != string(answer) {
				t.Errorf("%q is taken for %d %c %q, which is %q", answer, n, kind, data, again)
			}
			if room := kermitRoom(data); room != kermitShort && (room < 1 || room > kermitLong) {
				t.Errorf("%q has room for %d", data, room)
			}
		}
		for _, room := range []int{kermitShort, kermitLong} {
			quoted, taken := kermitQuote(file, room)
			if len(quoted) > room || taken == 0 && len(file) > 0 {
				t.Fatalf("%d of %d bytes became %d, for %d", taken, len(file), len(quoted), room)
			}
			var plain []byte
			for i := 0; i < len(quoted); i++ {
				c := quoted[i]
				if c < ' ' || c == 0x7f {
					t.Fatalf("the line carries %#x", c)
				}
				if c == '#' {
					i++
					if c = quoted[i]; c != '#' {
						c ^= 0x40
					}
				}
				plain = append(plain, c)
			}
			if !bytes.Equal(plain, file[:taken]) {
				t.Errorf("%q became %q", file[:taken], plain)
			}
		}
	})
}

// TestXModemBlocks: no block ends with what U-Boot takes for padding.
func TestXModemBlocks(t *testing.T) {
	block := func(at int, text string) []byte {
		b := make([]byte, 1024)
		copy(b[at:], text)
		return b
	}
	for _, tc := range []struct {
		name       string
		block      []byte
		have, want int
	}{
		{"a whole one", block(0, ""), 1024, 1024},
		{"the end of a file", block(0, "x"), 1, 128},
		{"a whole one with padding at its end", block(1021, "\x1a\x1a\x1a"), 1024, 128},
		{"two bytes are none", block(1022, "\x1a\x1a"), 1024, 1024},
		{"the end with padding", block(125, "\x1a\x1a\x1a"), 128, 1024},
		{"nothing but padding", bytes.Repeat([]byte{0x1a}, 1024), 1024, 0},
	} {
		if got := xmodemSize(tc.block, tc.have); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}
