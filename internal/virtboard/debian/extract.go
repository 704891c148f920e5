package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// extract takes what the board needs out of Debian packages into the directory
// out. The release file, without which the directory counts for nothing, comes
// last.
func extract(ctx context.Context, d distribution, debs []string, out string) error {
	e := extraction{out: out, modules: map[string]module{}, builtin: map[string]bool{}}
	if err := os.MkdirAll(filepath.Join(out, modulesDir), 0o755); err != nil {
		return err
	}
	for _, deb := range debs {
		if err := readDeb(ctx, deb, e.file); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(deb), err)
		}
	}
	if e.release == "" || !e.busybox {
		return fmt.Errorf("packages %q have no kernel or no busybox", debs)
	}
	list, err := closure(d.modules, e.modules, e.builtin)
	if err != nil {
		return err
	}
	var order strings.Builder
	for _, m := range list {
		fmt.Fprintln(&order, m.file)
		if err := os.WriteFile(filepath.Join(out, modulesDir, path.Base(m.file)), m.data, 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(out, orderFile), []byte(order.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, releaseFile), []byte(e.release+"\n"), 0o644)
}

// extraction is what was found in the packages so far.
type extraction struct {
	out, release string
	busybox      bool
	modules      map[string]module // by name, all that could be of use
	builtin      map[string]bool
}

// file looks at one file of a package.
func (e *extraction) file(name string, r io.Reader) error {
	release, isKernel := strings.CutPrefix(name, "boot/vmlinuz-")
	_, inModules, isModule := strings.Cut(name, "lib/modules/")
	_, inModules, _ = strings.Cut(inModules, "/") // below the kernel's release
	switch {
	case isKernel:
		e.release = release
		return e.save(kernelFile, r)
	case strings.HasSuffix(name, "bin/busybox"):
		e.busybox = true
		return e.save(busyboxFile, r)
	case isModule && inModules == "modules.builtin":
		list, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(list)) {
			e.builtin[moduleName(strings.TrimSpace(line))] = true
		}
	case isModule && strings.HasSuffix(inModules, ".ko") && useful(inModules):
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		m, err := readModule(inModules, data)
		if err != nil {
			return err
		}
		e.modules[moduleName(inModules)] = m
	}
	return nil
}

// useful keeps what cannot be needed, some 3000 drivers, from being read.
func useful(module string) bool {
	for _, prefix := range []string{
		"kernel/arch/", "kernel/block/", "kernel/crypto/", "kernel/drivers/block/", "kernel/drivers/net/virtio_net", "kernel/drivers/net/net_failover",
		"kernel/drivers/nvme/host/", "kernel/drivers/usb/", "kernel/drivers/virtio/", "kernel/fs/ext4/", "kernel/fs/fat/", "kernel/fs/jbd2/",
		"kernel/fs/mbcache", "kernel/fs/nls/", "kernel/lib/", "kernel/net/core/",
	} {
		if strings.HasPrefix(module, prefix) {
			return true
		}
	}
	return false
}

func (e *extraction) save(name string, r io.Reader) error {
	f, err := os.OpenFile(filepath.Join(e.out, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// readDeb calls each with every regular file of a Debian package.
func readDeb(ctx context.Context, deb string, each func(name string, r io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = func() error {
		in := tar.NewReader(stdout)
		for {
			h, err := in.Next()
			if errors.Is(err, io.EOF) {
				_, err := io.Copy(io.Discard, stdout) // the padding, or dpkg-deb fails
				return err
			}
			if err != nil {
				return err
			}
			if h.Typeflag == tar.TypeReg {
				if err := each(strings.TrimPrefix(h.Name, "./"), in); err != nil {
					return err
				}
			}
		}
	}()
	if err != nil {
		cancel()
		return errors.Join(err, cmd.Wait())
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("dpkg-deb: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
