package uboot_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/uboot"
)

// TestRealKernels boots Debian's kernels in the ways that boards want: as they
// are, compressed, and from a FIT, with the list of commands that each takes.
func TestRealKernels(t *testing.T) {
	const bootargs = "setenv bootargs console=ttyAMA0 earlycon; "
	for _, tc := range []struct {
		name  string
		build int
		arch  virtboard.Arch
		make  func(t *testing.T, kernel, path string)
		load  string // where the file goes to
		boot  string
	}{
		{"booti", 0, virtboard.ARM64, nil, "40400000", "booti 40400000 - ${fdtcontroladdr}"},
		{"unlz4 and booti", 0, virtboard.ARM64, compressWith("lz4", "-f", "-1", "--content-size"), "48000000", "unlz4 48000000 40400000 6000000; booti 40400000 - ${fdtcontroladdr}"},
		{"unzip and booti", 0, virtboard.ARM64, compressWith("gzip", "-1", "-c"), "48000000", "unzip 48000000 40400000; booti 40400000 - ${fdtcontroladdr}"},
		{"FIT with a configuration", 0, virtboard.ARM64, makeKernelFIT, "48000000", "bootm 48000000#conf-1 - ${fdtcontroladdr}"},
		{"imxtract and booti", 0, virtboard.ARM64, makeKernelFIT, "48000000", "imxtract 48000000 kernel-1 40400000; booti 40400000 - ${fdtcontroladdr}"},
		{"bootz", 1, virtboard.ARM, nil, "42000000", "bootz 42000000 - ${fdtcontroladdr}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			kernel := filepath.Join(dir, "kernel.img")
			software := debianKernel(t, tc.arch)
			if tc.make != nil {
				tc.make(t, software, kernel)
			} else if err := os.Symlink(software, kernel); err != nil {
				t.Fatal(err)
			}
			ctx, s, con := live(t, builds[tc.build], dir)
			if _, err := s.DHCP(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := s.TFTPBoot(ctx, uboot.File{Name: "kernel.img", Address: tc.load, Size: -1}); err != nil {
				t.Fatal(err)
			}
			if err := s.Boot(ctx, bootargs+tc.boot); err != nil {
				t.Fatal(err)
			}
			m, err := con.Expect(ctx, expect.Regexp(regexp.MustCompile(`Linux version \d+\.\d+`)))
			if err != nil {
				t.Fatal(err)
			}
			if err := uboot.BootFailure(m.Before); err != nil {
				t.Errorf("a good boot is taken for a bad one: %v", err)
			}
		})
	}
}

// debianKernel returns the path of Debian's kernel.
func debianKernel(t *testing.T, arch virtboard.Arch) string {
	t.Helper()
	testtool.Need(t, "apt-get", "a Debian or Ubuntu system")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, err := debian.Prepare(ctx, arch, filepath.Join(cache, "dutflash-virtboard"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.Kernel()
}

// compressWith has the real tool compress the kernel.
func compressWith(tool string, args ...string) func(t *testing.T, kernel, path string) {
	return func(t *testing.T, kernel, path string) {
		bin := testtool.Need(t, tool, "apt-get install "+tool)
		out, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		in, err := os.Open(kernel)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		cmd := exec.Command(bin, args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, os.Stderr
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	}
}

func makeKernelFIT(t *testing.T, kernel, path string) {
	makeFIT(t, path, kernel, "arm64", "none", "0x40400000")
}
