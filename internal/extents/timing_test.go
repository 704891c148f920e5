package extents

import "testing"

// TestQuicker: another digest is taken only where it is quicker by more than the clock
// may be wrong.
func TestQuicker(t *testing.T) {
	for _, tc := range []struct {
		name, said string
		want       bool
	}{
		{"half as long again", "sha256sum:12:11,sha512sum:12:8,", true},
		{"one was disturbed", "sha256sum:12:11,sha512sum:12:16,sha256sum:12:12,sha512sum:12:8,", true},
		{"the other was disturbed", "sha256sum:12:22,sha512sum:12:30,sha256sum:12:11,sha512sum:12:29,", false},
		{"32-bit processor", "sha256sum:12:12,sha512sum:12:40,", false},
		{"as long", "sha256sum:12:12,sha512sum:12:12,", false},
		{"within the clock's error", "sha256sum:12:10,sha512sum:12:8,", false},
		{"the last size counts", "sha256sum:12:9,sha512sum:12:3,sha256sum:48:18,sha512sum:48:17,", false},
		{"too quick for the clock", "sha256sum:48:1,sha512sum:48:0,sha256sum:48:0,sha512sum:48:1,", false},
		{"stopped in the middle of a round", "sha256sum:12:9,sha512sum:12:3,sha256sum:48:18,", false},
		{"stopped in the middle of a later round", "sha256sum:12:19,sha512sum:12:3,sha256sum:12:18,", false},
		{"nothing", "", false},
		{"nonsense", "sha256sum:x:1,sha512sum 12,-,sha512sum:0:0,sha512sum:12:-5,", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := parseTimes(tc.said).quicker("sha512sum", "sha256sum"); got != tc.want {
				t.Errorf("%t, want %t", got, tc.want)
			}
		})
	}
}
