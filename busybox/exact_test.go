package busybox

import "testing"

// TestMeasured: an answer in which anything is wrong is none.
func TestMeasured(t *testing.T) {
	for _, tc := range []struct{ out, want string }{
		{"0::0:\n", ""},
		{"3:a:b:3:a:b\n", "a:b"},
		{"8:16777216:8:16777216\n", "16777216"},
		{"2:\u00e4:2:\u00e4\n", "\u00e4"}, // counted in bytes
		{"1:\u00e4:1:\u00e4\n", "\u00e4"},
		{"3:a\nb:3:a\nb\n", "a\nb"},
	} {
		got, ok := measured(tc.out)
		if !ok || got != tc.want {
			t.Errorf("%q: got %q, %v", tc.out, got, ok)
		}
		for i := range len(tc.out) - 1 {
			for name, spoilt := range map[string]string{
				"lost": tc.out[:i] + tc.out[i+1:], "twice": tc.out[:i+1] + tc.out[i:], "a bit": tc.out[:i] + string(tc.out[i]^1) + tc.out[i+1:],
			} {
				if got, ok := measured(spoilt); ok && got != tc.want {
					t.Errorf("%q, byte %d %s: got %q", spoilt, i, name, got)
				}
			}
		}
	}
}
