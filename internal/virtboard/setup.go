package virtboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Requirement is something of Debian's that the virtual board or what is made
// for it needs.
type Requirement struct {
	// Package that has it.
	Package string
	// Why it is needed, to finish the sentence "it ...".
	Why string
	// files are programs, looked up in PATH and beside it, or absolute paths.
	files []string
}

// requirements are those of this package and of the two below it.
func requirements() []Requirement {
	arm64, _ := ARM64.machine()
	arm, _ := ARM.machine()
	return []Requirement{
		{"qemu-system-arm", "runs the board", []string{arm64.program, arm.program}},
		{"u-boot-qemu", "is the board's bootloader", []string{arm64.uboot, arm.uboot}},
		{"fdisk", "partitions the disk image", []string{"sfdisk"}},
		{"dosfstools", "makes the FAT partition", []string{"mkfs.vfat"}},
		{"mtools", "puts files on it without root", []string{"mcopy"}},
		{"e2fsprogs", "makes the ext4 partition", []string{"mkfs.ext4"}},
		{"xz-utils", "compresses the disk image", []string{"xz"}},
	}
}

// Missing returns what is not installed.
func Missing() []Requirement {
	return slices.DeleteFunc(requirements(), func(r Requirement) bool {
		return !slices.ContainsFunc(r.files, func(file string) bool { return !installed(file) })
	})
}

// installed looks for a program or file; administrators' programs are not in
// every user's PATH.
func installed(file string) bool {
	if filepath.IsAbs(file) {
		_, err := os.Stat(file)
		return err == nil || !errors.Is(err, fs.ErrNotExist)
	}
	if _, err := exec.LookPath(file); err == nil {
		return true
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if _, err := exec.LookPath(filepath.Join(dir, file)); err == nil {
			return true
		}
	}
	return false
}

// Install installs packages with apt-get, as root or through sudo, which may ask
// for a password on the terminal. The logger, which may be nil, is told what and
// why. With nothing missing it does nothing.
func Install(ctx context.Context, missing []Requirement, logger *slog.Logger) error {
	if len(missing) == 0 {
		return nil
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	var packages []string
	for _, r := range missing {
		logger.Info("to be installed: "+r.Package, "it", r.Why)
		packages = append(packages, r.Package)
	}
	const op = "install packages"
	manually := "install them with: apt-get install " + strings.Join(packages, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return &Error{Op: op, Detail: manually, Err: fmt.Errorf("%w: this is no Debian", err)}
	}
	prefix := []string{"env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-q", "-y"}
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("sudo"); err != nil {
			return &Error{Op: op, Detail: "as root, " + manually, Err: fmt.Errorf("neither root nor %w", err)}
		}
		prefix = append([]string{"sudo"}, prefix...)
	}
	for _, args := range [][]string{
		{"update"},
		append([]string{"install", "--no-install-recommends"}, packages...),
	} {
		logger.Info("running apt-get " + strings.Join(args, " "))
		full := slices.Concat(prefix, args)
		cmd := exec.CommandContext(ctx, full[0], full[1:]...)
		cmd.Stdin = os.Stdin // sudo's question
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		cmd.WaitDelay = 10 * time.Second
		if err := cmd.Run(); err != nil {
			return &Error{Op: op, Detail: tailOf(said.Bytes()), Err: fmt.Errorf("apt-get %s: %w", args[0], errors.Join(ctx.Err(), err))}
		}
	}
	if still := Missing(); len(still) > 0 {
		return &Error{Op: op, Err: fmt.Errorf("%s is installed and yet %q are not all there: %w", still[0].Package, still[0].files, ErrMissing)}
	}
	return nil
}
