package testtool_test

import (
	"path/filepath"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
)

// recorder stands in for a test and remembers how it was ended.
type recorder struct {
	testing.TB
	skipped, failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Skipf(string, ...any)  { r.skipped = true }
func (r *recorder) Fatalf(string, ...any) { r.failed = true }

func TestMissingToolSkipsOrFails(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent")
	for _, tc := range []struct {
		require         string
		skipped, failed bool
	}{
		{"", true, false},
		{"1", false, true},
	} {
		t.Run("require="+tc.require, func(t *testing.T) {
			t.Setenv(testtool.RequireEnv, tc.require)
			r := &recorder{}
			testtool.Need(r, absent, "nowhere")
			if r.skipped != tc.skipped || r.failed != tc.failed {
				t.Errorf("skipped %v, failed %v; want %v, %v", r.skipped, r.failed, tc.skipped, tc.failed)
			}
		})
	}
}
