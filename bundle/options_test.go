package bundle_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/dutflash/dutflash/bundle"
)

// TestDefaultCacheDir: Jumpstarter's directory where it can be written to, which
// is up to the machine and the user that test, else the user's own.
func TestDefaultCacheDir(t *testing.T) {
	home := t.TempDir()
	for _, v := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(v, home)
	}
	const system = "/var/lib/jumpstarter/flasher"
	for _, dir := range []string{filepath.Dir(system), system} {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			t.Cleanup(func() { os.Remove(dir) }) // what the function makes, if anything
		}
	}
	got, err := bundle.DefaultCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	want := system
	probe := filepath.Join(want, "probe-of-a-test")
	if err := os.WriteFile(probe, nil, 0o600); err != nil || runtime.GOOS == "windows" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		want = filepath.Join(user, "dutflash", "bundles")
	} else {
		os.Remove(probe)
	}
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
