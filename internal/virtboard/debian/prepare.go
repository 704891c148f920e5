package debian

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dutflash/dutflash/internal/filelock"
	"github.com/dutflash/dutflash/internal/virtboard"
)

// Error is what all calls of this package fail with.
type Error struct {
	Op  string // the step, such as "download the kernel"
	Err error
}

// Error returns the step and the reason.
func (e *Error) Error() string {
	return "debian software for the board: " + e.Op + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Software is a kernel, its modules and busybox, as files in a cache directory.
// It may be used concurrently.
type Software struct {
	// Arch is the architecture that it is for.
	Arch virtboard.Arch
	// Release is the kernel's, as uname -r says it.
	Release string
	dir     string
}

// layout is the version of what the cache directory holds; another one is not
// looked at.
const layout = "1"

// abandoned is the age from which a half-made directory in the cache is what a
// crashed process left behind.
const abandoned = 24 * time.Hour

// PC is the architecture of a PC, of which there is no virtual board: its kernel
// drives what only a PC of QEMU's has. Its modules are for USB, in place of a board's.
const PC virtboard.Arch = "amd64"

// distribution is what Debian calls things, and the modules that are needed.
type distribution struct {
	arch, kernel string
	modules      []string
}

func debianOf(arch virtboard.Arch) (distribution, error) {
	switch arch {
	case virtboard.ARM64:
		return distribution{"arm64", "linux-image-cloud-arm64", boardModules()}, nil
	case virtboard.ARM:
		return distribution{"armhf", "linux-image-armmp", boardModules()}, nil
	case PC:
		return distribution{"amd64", "linux-image-amd64", []string{"xhci_pci", "ftdi_sio"}}, nil
	}
	return distribution{}, fmt.Errorf("no kernel for architecture %q", string(arch))
}

// Prepare returns the software for arch from the directory cache, which it makes
// where it is missing; what is not there yet is downloaded first (25 to 75 MB).
// Several processes may do so at once: one downloads, the others wait for it. What is
// there is never replaced: remove the directory to get newer packages. The logger,
// which may be nil, is told about downloads.
func Prepare(ctx context.Context, arch virtboard.Arch, cache string, logger *slog.Logger) (*Software, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	d, err := debianOf(arch)
	if err != nil {
		return nil, &Error{"prepare", err}
	}
	dir := filepath.Join(cache, "debian-"+layout+"-"+d.arch)
	if s, err := open(arch, dir); err == nil {
		return s, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, &Error{"prepare", err}
	}
	lock, err := filelock.Wait(ctx, dir+".lock", true)
	if err != nil && !errors.Is(err, filelock.ErrUnsupported) {
		return nil, &Error{"wait for another download", err}
	}
	defer lock.Unlock()
	if s, err := open(arch, dir); err == nil { // meanwhile
		return s, nil
	}
	sweep(cache)
	work, err := os.MkdirTemp(cache, unfinished+"*")
	if err != nil {
		return nil, &Error{"prepare", err}
	}
	defer os.RemoveAll(work)
	began := time.Now()
	debs, err := download(ctx, d, filepath.Join(work, "apt"), logger)
	if err != nil {
		return nil, &Error{"download", err}
	}
	out := filepath.Join(work, "out")
	if err := extract(ctx, d, debs, out); err != nil {
		return nil, &Error{"unpack", err}
	}
	// A directory under its final name is complete.
	renameErr := os.Rename(out, dir)
	s, err := open(arch, dir)
	if err != nil {
		return nil, &Error{"prepare", errors.Join(renameErr, err)}
	}
	logger.Info("debian software for the board is ready", "arch", arch, "kernel", s.Release, "seconds", time.Since(began).Seconds(), "dir", dir)
	return s, nil
}

// unfinished begins the names of directories that are being made.
const unfinished = ".unfinished-"

// sweep removes what crashed processes left in the cache.
func sweep(cache string) {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), unfinished) && time.Since(info.ModTime()) > abandoned {
			os.RemoveAll(filepath.Join(cache, e.Name()))
		}
	}
}

// Names within the directory of a Software.
const (
	kernelFile  = "kernel"
	releaseFile = "release"
	busyboxFile = "busybox"
	modulesDir  = "modules"
	orderFile   = "modules.order"
)

// open returns what a directory of the cache holds.
func open(arch virtboard.Arch, dir string) (*Software, error) {
	release, err := os.ReadFile(filepath.Join(dir, releaseFile))
	if err != nil {
		return nil, err
	}
	return &Software{Arch: arch, Release: strings.TrimSpace(string(release)), dir: dir}, nil
}

// Kernel returns the path of the kernel: an uncompressed Image on arm64, a
// zImage on arm, a bzImage on a PC.
func (s *Software) Kernel() string { return filepath.Join(s.dir, kernelFile) }
