package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// busyboxPackage has one program without libraries.
const busyboxPackage = "busybox-static"

// apt runs apt's programs for another architecture, in directories of its own.
type apt struct {
	arch, dir string
}

// run returns what an apt program prints.
func (a apt) run(ctx context.Context, program string, args ...string) (string, error) {
	options := []string{
		"-q",
		"-o", "Dir::State=" + a.dir,
		"-o", "Dir::State::Lists=" + filepath.Join(a.dir, "lists"),
		"-o", "Dir::State::status=/dev/null",
		"-o", "Dir::Cache=" + filepath.Join(a.dir, "cache"),
		"-o", "APT::Architecture=" + a.arch,
		"-o", "APT::Architectures=" + a.arch,
		"-o", "APT::Sandbox::User=", // its user could not write to our directory
		"-o", "Acquire::Languages=none",
	}
	cmd := exec.CommandContext(ctx, program, append(options, args...)...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "),
			errors.Join(ctx.Err(), err), strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// download gets the packages of a board's software into dir and returns their
// paths.
func download(ctx context.Context, d distribution, dir string, logger *slog.Logger) ([]string, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, fmt.Errorf("this needs Debian's apt: %w", err)
	}
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	a := apt{arch: d.arch, dir: dir}
	logger.Info("asking Debian for its packages", "arch", d.arch)
	// A list that fails to download may be one that is not needed; apt goes on
	// with those that it has and verified.
	_, updateErr := a.run(ctx, "apt-get", "update")
	out, err := a.run(ctx, "apt-cache", "depends", "--important", d.kernel)
	if err != nil {
		return nil, errors.Join(updateErr, err)
	}
	kernel := ""
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: linux-image-"); ok {
			kernel = "linux-image-" + name
		}
	}
	if kernel == "" {
		return nil, errors.Join(updateErr, fmt.Errorf("package %s depends on no kernel: %q", d.kernel, out))
	}
	if updateErr != nil {
		logger.Warn("some package lists could not be downloaded; going on without them", "error", updateErr)
	}
	logger.Info("downloading", "packages", []string{kernel, busyboxPackage}, "arch", d.arch)
	if _, err := a.run(ctx, "apt-get", "download", kernel, busyboxPackage); err != nil {
		return nil, err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return nil, err
	}
	if len(debs) != 2 {
		return nil, fmt.Errorf("apt-get download left %d packages instead of 2: %q", len(debs), debs)
	}
	return debs, nil
}
