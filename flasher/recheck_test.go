package flasher

import (
	"slices"
	"testing"

	"github.com/dutflash/dutflash/internal/extents"
)

func TestRecheckOffsets(t *testing.T) {
	const k = recheckPiece
	for _, tc := range []struct {
		name   string
		chunks []extents.Chunk
		n      int
		first  int64
		last   int64
	}{
		{"nothing", nil, 0, 0, 0},
		{"too small", []extents.Chunk{{Offset: 0, Size: k - 1}}, 0, 0, 0},
		{"one piece", []extents.Chunk{{Offset: 0, Size: k + 5}}, 1, 0, 0},
		{"three pieces", []extents.Chunk{{Offset: 0, Size: 3 * k}}, 3, 0, 2 * k},
		{"many", []extents.Chunk{{Offset: 0, Size: 64 * k}, {Offset: 64 * k, Size: 64 * k}}, recheckPieces, 0, 127 * k},
		{"gaps that are not aligned", []extents.Chunk{{Offset: 512, Size: 2 * k}, {Offset: 100*k + 512, Size: 64 * k}}, recheckPieces, k, 163 * k},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := recheckOffsets(tc.chunks)
			if len(got) != tc.n || tc.n > 0 && (got[0] != tc.first || got[len(got)-1] != tc.last) {
				t.Fatalf("got %v, want %d from %d to %d", got, tc.n, tc.first, tc.last)
			}
			if len(slices.Compact(slices.Clone(got))) != len(got) || !slices.IsSorted(got) {
				t.Errorf("%v has doubles or no order", got)
			}
			for _, off := range got {
				if off%k != 0 || !slices.ContainsFunc(tc.chunks, func(c extents.Chunk) bool { return c.Offset <= off && off+k <= c.Offset+c.Size }) {
					t.Errorf("%d lies in no chunk", off)
				}
			}
		})
	}
}
