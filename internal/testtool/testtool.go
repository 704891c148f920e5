// Package testtool finds the foreign programs that tests compare dutflash
// with: QEMU, the C xz, tftp clients, registries.
package testtool

import (
	"os"
	"os/exec"
	"testing"
)

// RequireEnv is the environment variable that turns a skip for a missing tool
// into a failure. CI sets it to "1", so that nothing is skipped there unseen.
const RequireEnv = "DUTFLASH_REQUIRE_TOOLS"

// Need returns the path of the named program. Where it is missing the test is
// skipped, with how says how to get it (a command such as "apt-get install
// xz-utils"); with [RequireEnv] set to "1" the test fails instead.
func Need(tb testing.TB, name, how string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(tb, name, how)
	}
	return path
}

// NeedFile returns path where that file exists, and otherwise does as [Need].
func NeedFile(tb testing.TB, path, how string) string {
	tb.Helper()
	if _, err := os.Stat(path); err != nil {
		Missing(tb, path, how)
	}
	return path
}

// Missing ends the test because what is not there: a skip with the way to get
// it, or a failure with [RequireEnv] set to "1".
func Missing(tb testing.TB, what, how string) {
	tb.Helper()
	if os.Getenv(RequireEnv) == "1" {
		tb.Fatalf("%s is not there and %s=1: %s", what, RequireEnv, how)
		return
	}
	tb.Skipf("%s is not there; get it with: %s", what, how)
}

// WgetUBootEnv names a u-boot.bin for QEMU's arm64 board that has the command
// wget, which no build of Debian bookworm has.
const WgetUBootEnv = "DUTFLASH_WGET_UBOOT"

// WgetUBoot returns the file that [WgetUBootEnv] names, and otherwise does as
// [Need].
func WgetUBoot(tb testing.TB) string {
	tb.Helper()
	path := os.Getenv(WgetUBootEnv)
	if path == "" {
		Missing(tb, "a U-Boot with wget ("+WgetUBootEnv+")", "dpkg -x u-boot-qemu_2025.01*.deb DIR, of Debian trixie, and "+WgetUBootEnv+"=DIR/usr/lib/u-boot/qemu_arm64/u-boot.bin")
	}
	return NeedFile(tb, path, "see "+WgetUBootEnv)
}
