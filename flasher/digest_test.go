package flasher_test

import (
	"testing"

	"github.com/dutflash/dutflash/flasher"
)

// TestQuickestDigest: another digest is taken only where it is quicker by more than
// the clock may be wrong.
func TestQuickestDigest(t *testing.T) {
	for _, tc := range []struct{ name, out, want string }{
		{"half as long again", "sha256sum 4 4\nsha512sum 4 3\nsha256sum 4 5\nsha512sum 4 3\nsha256sum 4 4\nsha512sum 4 3\n", "sha512sum"},
		{"one was disturbed", "sha256sum 4 4\nsha512sum 4 3\nsha256sum 4 4\nsha512sum 4 9\nsha256sum 4 4\nsha512sum 4 3\n", "sha256sum"},
		{"32-bit processor", "sha256sum 4 12\nsha512sum 4 40\n", "sha256sum"},
		{"as long", "sha256sum 4 12\nsha512sum 4 12\n", "sha256sum"},
		{"within the clock's error", "sha256sum 4 10\nsha512sum 4 8\n", "sha256sum"},
		{"the last size counts", "sha256sum 4 9\nsha512sum 4 3\nsha256sum 16 18\nsha512sum 16 17\n", "sha256sum"},
		{"too quick for the clock", "sha256sum 16 2\nsha512sum 16 0\nsha256sum 16 0\nsha512sum 16 1\n", "sha256sum"},
		{"stopped in the middle of a round", "sha256sum 4 9\nsha512sum 4 3\nsha256sum 16 18\n", "sha256sum"},
		{"weak one", "sha256sum 4 40\nmd5sum 4 9\n", "sha256sum"},
		{"nothing", "", "sha256sum"},
		{"nonsense", "sha256sum x 1\nsha512sum 12\n-\nsha512sum 0 0\nsha512sum 12 -5\n", "sha256sum"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := flasher.QuickestDigest(tc.out); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}
