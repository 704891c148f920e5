package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

const (
	// mark is on the kernel's command line, which makes an environment variable of
	// init's of what it does not know.
	mark = "DUTFLASH_TEST_GUEST"
	// modules is where the kernel modules are, in the order of their names.
	modules = "/modules"
	// bootLimit is for a download, a boot and the test; guestLimit for the test alone.
	bootLimit  = 6 * time.Minute
	guestLimit = 4 * time.Minute
)

// Machine is what a test needs.
type Machine struct {
	// Arch is virtboard.ARM64, QEMU's board virt, or debian.PC, a PC.
	Arch virtboard.Arch
	// Modules are the kernel modules that are loaded, with what they depend on: see
	// debian.Software.Modules.
	Modules []string
	// Files are files of this host, programs or libraries that are loaded by name, that
	// are in the guest under the same path, with the libraries that they need. They are
	// of this host's architecture.
	Files []string
	// QEMUArgs add to the machine. Its first serial port is the kernel's console.
	QEMUArgs []string
}

// Main is TestMain of a package with tests for a guest: there, it runs try and ends
// the machine; elsewhere it runs the tests.
func Main(m *testing.M, try func() error) {
	if os.Getpid() != 1 || os.Getenv(mark) == "" {
		os.Exit(m.Run())
	}
	time.AfterFunc(guestLimit, func() {
		stacks := make([]byte, 1<<20)
		fmt.Printf("\nGUEST FAILED: it hangs\n%s\n", stacks[:runtime.Stack(stacks, true)])
		unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	})
	err := prepare()
	if err == nil {
		err = try()
	}
	if err != nil {
		fmt.Printf("\nGUEST FAILED: %v\n", err)
	} else {
		fmt.Print("\nGUEST PASSED\n")
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// prepare mounts what programs expect, and loads the modules.
func prepare() error {
	for _, m := range []struct{ what, where string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"debugfs", "/sys/kernel/debug"}, {"tmpfs", "/tmp"},
	} {
		if err := errors.Join(os.MkdirAll(m.where, 0o755), unix.Mount(m.what, m.where, m.what, 0, "")); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	files, err := filepath.Glob(modules + "/*")
	if err != nil {
		return err
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err == nil {
			err = errors.Join(unix.FinitModule(int(f.Fd()), "", 0), f.Close())
		}
		if err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

// Run boots the machine and fails the test with what the guest said unless all that
// [Main] tries there passes.
func Run(t *testing.T, m Machine) {
	t.Helper()
	program, args, console := "qemu-system-x86_64", []string{"-accel", "tcg", "-nic", "none"}, "ttyS0"
	how := "apt-get install qemu-system-x86"
	if m.Arch == virtboard.ARM64 {
		program, args, console = "qemu-system-aarch64", []string{"-M", "virt", "-cpu", "cortex-a57"}, debian.Console
		how = "apt-get install qemu-system-arm"
	}
	program = testtool.Need(t, program, how)
	testtool.Need(t, "apt-get", "a Debian or Ubuntu system")
	if len(m.Files) > 0 && string(m.Arch) != runtime.GOARCH {
		testtool.Missing(t, "a host whose programs run on "+string(m.Arch), "a machine of that architecture")
	}
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	software, err := debian.Prepare(ctx, m.Arch, filepath.Join(cache, "dutflash-virtboard"), nil)
	if err != nil {
		t.Fatal(err)
	}
	initramfs, err := m.initramfs(ctx, t.TempDir(), software)
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, "-m", "512", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-kernel", software.Kernel(), "-initrd", initramfs,
		"-append", "console="+console+" panic=-1 quiet rdinit=/init "+mark+"=1")
	said, err := exec.CommandContext(ctx, program, append(args, m.QEMUArgs...)...).CombinedOutput()
	if err != nil || !strings.Contains(string(said), "GUEST PASSED") {
		t.Errorf("%v; in the guest:\n%s", errors.Join(ctx.Err(), err), said)
	}
}

// initramfs makes the guest's files in dir and returns their archive.
func (m Machine) initramfs(ctx context.Context, dir string, software *debian.Software) (string, error) {
	binary := filepath.Join(dir, "init")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+string(m.Arch), "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the test: %w: %s", err, out)
	}
	files := []debian.File{{Name: "init", From: binary}}
	drivers, err := software.Modules(m.Modules...)
	if err != nil {
		return "", err
	}
	for i, path := range drivers {
		files = append(files, debian.File{Name: fmt.Sprintf("%s/%03d-%s", modules, i, filepath.Base(path)), From: path})
	}
	seen := map[string]bool{}
	for _, path := range m.Files {
		needed, err := libraries(ctx, path)
		if err != nil {
			return "", err
		}
		for _, path := range append([]string{path}, needed...) {
			if !seen[path] {
				seen[path] = true
				files = append(files, debian.File{Name: path, From: path})
			}
		}
	}
	packed, err := debian.Pack(files)
	if err != nil {
		return "", err
	}
	archive := filepath.Join(dir, "initramfs")
	return archive, os.WriteFile(archive, packed, 0o600)
}

// libraries returns the paths of the libraries that a program or a library needs, the
// one that loads them included.
func libraries(ctx context.Context, path string) (paths []string, err error) {
	out, err := exec.CommandContext(ctx, "ldd", path).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w: %s", path, err, out)
	}
	for _, match := range regexp.MustCompile(`(/\S+) \(0x`).FindAllStringSubmatch(string(out), -1) {
		paths = append(paths, match[1])
	}
	return paths, nil
}
