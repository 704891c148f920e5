package extents

import (
	"slices"
	"testing"
)

func TestSpread(t *testing.T) {
	const k = againSize
	for _, tc := range []struct {
		name   string
		ranges []Range
		n      int
		first  int64
		last   int64
	}{
		{"nothing", nil, 0, 0, 0},
		{"too small", []Range{{0, k - 1}}, 0, 0, 0},
		{"one piece", []Range{{0, k + 5}}, 1, 0, 0},
		{"three pieces", []Range{{0, 3 * k}}, 3, 0, 2 * k},
		{"many", []Range{{0, 64 * k}, {64 * k, 64 * k}}, againPieces, 0, 127 * k},
		{"gaps that are not aligned", []Range{{512, 2 * k}, {100*k + 512, 64 * k}}, againPieces, k, 163 * k},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var in []piece
			for _, r := range tc.ranges {
				in = append(in, piece{r, &chunk{ranges: []Range{r}}})
			}
			got := spread(in)
			if len(got) != tc.n || tc.n > 0 && (got[0].Offset != tc.first || got[len(got)-1].Offset != tc.last) {
				t.Fatalf("got %v, want %d from %d to %d", got, tc.n, tc.first, tc.last)
			}
			for i, p := range got {
				if i > 0 && p.Offset <= got[i-1].Offset {
					t.Errorf("%v has doubles or no order", got)
				}
				in := func(r Range) bool { return r.Offset <= p.Offset && p.Offset+p.Length <= r.Offset+r.Length }
				if p.Offset%k != 0 || p.Length != k || !slices.ContainsFunc(p.chunk.ranges, in) {
					t.Errorf("%v is not in its chunk, at %v", p.Range, p.chunk.ranges)
				}
			}
		})
	}
}
