// Package demoimage makes a disk image such as a board is flashed with: a GPT
// with a FAT and an ext4 partition, full of files of this system, raw and
// compressed with xz. It needs no root: nothing is mounted.
//
// The programs are Debian's fdisk, dosfstools, mtools, e2fsprogs and xz-utils.
package demoimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Error is what [Make] fails with.
type Error struct {
	Op  string // the step, such as "make the ext4 partition"
	Err error
}

// Error returns the step and the reason.
func (e *Error) Error() string { return "demo image: " + e.Op + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Options say what the image is like. The zero value works.
type Options struct {
	// SizeMiB is the size of the raw image; 0 stands for 320. At least 128.
	SizeMiB int
	// From is the directory whose files fill the partitions, in lexical order
	// as far as they fit; empty stands for /usr.
	From string
	// Logger is told about every step; nil is silent.
	Logger *slog.Logger
}

// Image is a disk image, twice.
type Image struct {
	Raw    string // path of the raw image
	XZ     string // path of the image compressed with xz, in blocks
	Size   int64  // bytes of the raw image
	SHA256 string // of the raw image, in hex
}

// Offsets and sizes in MiB: the table, the FAT partition, the ext4 partition and
// the copy of the table at the end.
const (
	fatStart = 1
	fatSize  = 64
	extStart = fatStart + fatSize
	tableEnd = 1
	mib      = 1 << 20
)

// Make makes disk.img and disk.img.xz in the directory dir, which must exist.
// Files of these names are replaced; on failure they are removed.
func Make(ctx context.Context, dir string, o Options) (image *Image, err error) {
	if o.SizeMiB == 0 {
		o.SizeMiB = 320
	}
	if o.SizeMiB < 128 {
		return nil, &Error{"configure", fmt.Errorf("size of %d MiB is less than 128 MiB", o.SizeMiB)}
	}
	if o.From == "" {
		o.From = "/usr"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m := maker{Options: o, raw: filepath.Join(dir, "disk.img")}
	m.stage, err = os.MkdirTemp(dir, "staged-")
	if err != nil {
		return nil, &Error{"prepare", err}
	}
	defer os.RemoveAll(m.stage)
	defer func() {
		if err != nil {
			os.Remove(m.raw)
			os.Remove(m.raw + ".xz")
		}
	}()
	began := time.Now()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"make the partition table", m.table},
		{"choose files", m.choose},
		{"make the FAT partition", m.fat},
		{"make the ext4 partition", m.ext4},
		{"compress", m.compress},
	} {
		o.Logger.Info("demo image: " + step.name)
		if err := step.do(ctx); err != nil {
			return nil, &Error{step.name, err}
		}
	}
	image = &Image{Raw: m.raw, XZ: m.raw + ".xz", Size: int64(o.SizeMiB) * mib, SHA256: m.sum}
	o.Logger.Info("demo image: done", "raw_bytes", image.Size, "xz_bytes", m.packed, "sha256", image.SHA256, "seconds", time.Since(began).Seconds())
	return image, nil
}

// maker is the work on one image.
type maker struct {
	Options
	raw, stage, sum string
	packed          int64
}

// extMiB is the size of the ext4 partition.
func (m *maker) extMiB() int { return m.SizeMiB - extStart - tableEnd }

// table makes the raw file and its GPT.
func (m *maker) table(ctx context.Context) error {
	if err := os.RemoveAll(m.raw); err != nil {
		return err
	}
	f, err := os.Create(m.raw)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(int64(m.SizeMiB)*mib), f.Close()); err != nil {
		return err
	}
	script := fmt.Sprintf("label: gpt\nstart=%dMiB, size=%dMiB, type=uefi, name=boot\nstart=%dMiB, size=%dMiB, type=linux, name=root\n",
		fatStart, fatSize, extStart, m.extMiB())
	return run(ctx, strings.NewReader(script), nil, "sfdisk", "--quiet", m.raw)
}

// choose copies files, as many as fit, into a directory for each partition.
func (m *maker) choose(ctx context.Context) error {
	// Half full, as images of systems are: free space is part of the matter.
	budget := map[string]int64{"boot": fatSize * mib / 2, "root": int64(m.extMiB()) * mib / 2}
	files := map[string]int{}
	err := filepath.WalkDir(m.From, func(path string, d os.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || !d.Type().IsRegular() {
			return nil // what cannot be read is left out
		}
		info, err := d.Info()
		if err != nil || info.Size() == 0 || info.Size() > 32*mib {
			return nil
		}
		rel, err := filepath.Rel(m.From, path)
		if err != nil {
			return err
		}
		to := "root"
		if files["boot"]*2 < files["root"] && info.Size() <= budget["boot"] {
			to = "boot"
			// FAT has no two names that differ in case only.
			rel = fmt.Sprintf("%05d.bin", files["boot"])
		}
		if info.Size() > budget[to] {
			if budget["root"] < 64<<10 {
				return filepath.SkipAll
			}
			return nil
		}
		if err := copyFile(filepath.Join(m.stage, to, rel), path); err != nil {
			if errors.Is(err, os.ErrPermission) {
				return nil
			}
			return err
		}
		files[to]++
		budget[to] -= info.Size()
		return nil
	})
	if err != nil {
		return err
	}
	if files["boot"] == 0 || files["root"] == 0 {
		return fmt.Errorf("too few readable files in %s", m.From)
	}
	m.Logger.Info("demo image: files chosen", "from", m.From, "fat", files["boot"], "ext4", files["root"])
	return nil
}

func (m *maker) fat(ctx context.Context) error {
	// Cluster size and geometry are given: mkfs.vfat would choose what suits
	// the size of the whole file.
	start := fatStart * mib / 512
	err := run(ctx, nil, nil, "mkfs.vfat", "-F", "32", "-s", "1", "-g", "16/32", "-n", "BOOT",
		"-h", fmt.Sprint(start), fmt.Sprintf("--offset=%d", start), m.raw, fmt.Sprint(fatSize*mib/1024))
	if err != nil {
		return err
	}
	return run(ctx, nil, nil, "mcopy", "-s", "-i", fmt.Sprintf("%s@@%d", m.raw, fatStart*mib), filepath.Join(m.stage, "boot"), "::/files")
}

func (m *maker) ext4(ctx context.Context) error {
	return run(ctx, nil, nil, "mkfs.ext4", "-q", "-F", "-L", "root", "-m", "0", "-d", filepath.Join(m.stage, "root"),
		"-E", fmt.Sprintf("offset=%d", extStart*mib), m.raw, fmt.Sprintf("%dM", m.extMiB()))
}

// compress reads the raw image once, for its digest and for xz.
func (m *maker) compress(ctx context.Context) error {
	in, err := os.Open(m.raw)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(m.raw + ".xz")
	if err != nil {
		return err
	}
	digest := sha256.New()
	err = run(ctx, io.TeeReader(in, digest), out, "xz", "-T0", "-0", "-c")
	if info, serr := out.Stat(); serr == nil {
		m.packed = info.Size()
	}
	m.sum = hex.EncodeToString(digest.Sum(nil))
	return errors.Join(err, out.Close())
}

// run runs a program; where it fails, the error has what it said.
func run(ctx context.Context, in io.Reader, out io.Writer, program string, args ...string) error {
	path, err := lookPath(program)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &said, &said
	if out != nil {
		cmd.Stdout = out
	}
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, errors.Join(ctx.Err(), err), strings.TrimSpace(said.String()))
	}
	return nil
}

// lookPath also finds what Debian keeps out of a user's PATH.
func lookPath(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", err
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
