package tftp

import (
	"strings"
	"testing"
)

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{"", "\x00", "\x00\x01", "\x00\x01\x00\x00", "\x00\x01k\x00octet", "\x00\x01k\x00octet\x00", "\x00\x01/k\x00OCTET\x00blksize\x00",
		"\x00\x01../k\x00octet\x00blksize\x007\x00windowsize\x0065536\x00", "\x00\x01k\x00netascii\x00tsize\x00-1\x00timeout\x00256\x00", "\x00\x05\x00\x00x\x00", "\x00\x02k\x00octet\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := parseRequest(p)
		if err != nil {
			return
		}
		if len(r.name) > maxRequest || strings.ContainsRune(r.name, 0) {
			t.Errorf("name %q", r.name)
		}
		for _, c := range [][3]int{{r.blksize, 8, 65464}, {r.windowsize, 1, 65535}, {r.timeout, 1, 255}} {
			if c[0] != -1 && (c[0] < c[1] || c[0] > c[2]) {
				t.Errorf("%+v is out of range", r)
			}
		}
	})
}
