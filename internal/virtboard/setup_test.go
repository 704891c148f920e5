package virtboard_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
)

func TestNothingMissingInstallsNothing(t *testing.T) {
	need(t)
	t.Setenv("PATH", "/nowhere") // apt-get cannot be run
	if err := virtboard.Install(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
}

// TestMissingNamesPackages holds the package names against Debian's own list.
func TestMissingNamesPackages(t *testing.T) {
	dpkg := testtool.Need(t, "dpkg-query", "a Debian system")
	need(t)
	t.Setenv("PATH", t.TempDir())
	var names []string
	for _, r := range virtboard.Missing() {
		names = append(names, r.Package)
		if out, err := exec.Command(dpkg, "-s", r.Package).CombinedOutput(); err != nil {
			t.Errorf("package %s, which %s: %s", r.Package, r.Why, out)
		}
	}
	// What is in /usr/sbin and U-Boot are found without a PATH.
	if got := strings.Join(names, " "); got != "qemu-system-arm mtools xz-utils" {
		t.Errorf("missing: %s", got)
	}
	if err := virtboard.Install(t.Context(), virtboard.Missing(), nil); err == nil || !strings.Contains(err.Error(), "apt-get install qemu-system-arm mtools xz-utils") {
		t.Errorf("install without apt-get: %v", err)
	}
}
