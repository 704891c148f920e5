// Command qemu is the quickstart: it sets up a virtual board with real U-Boot
// and real Linux in QEMU, makes a flasher bundle and a disk image for it, and
// flashes the board through the public API of dutflash. At the end it compares
// the board's disk file with the image, from outside.
//
// It needs Go and Debian 12; what else it needs it installs with apt-get, after
// saying so. Nothing but that installation needs root.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/internal/virtboard/demoimage"
)

// diskBytes is the size of the board's disk: larger than the image, as disks are.
const diskBytes = 1 << 30

type options struct {
	arch    string
	dir     string
	image   string
	verbose bool
}

func main() {
	var o options
	flag.StringVar(&o.arch, "arch", "arm64", "architecture of the board: arm64 or arm")
	flag.StringVar(&o.dir, "dir", "", "directory to work in; it is kept (default: a temporary one, removed at the end)")
	flag.StringVar(&o.image, "image", "", "image to flash, raw or compressed, at most 1 GiB raw (default: one is made)")
	flag.BoolVar(&o.verbose, "v", false, "log every step and show the board's console on stderr")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "qemu: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "qemu:", err)
		os.Exit(1)
	}
}

// installMissing gets the Debian packages that the quickstart uses.
func installMissing(ctx context.Context, out io.Writer) error {
	missing := virtboard.Missing()
	if len(missing) == 0 {
		return nil
	}
	for _, m := range missing {
		say(out, "Missing: Debian package %s: it %s", m.Package, m.Why)
	}
	say(out, "Installing with apt-get")
	return virtboard.Install(ctx, missing, slog.New(slog.NewTextHandler(out, nil)))
}

// say tells the person what comes next.
func say(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "==> "+format+"\n", args...)
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	begun := time.Now()
	log := slog.New(slog.DiscardHandler)
	if o.verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "dutflash-qemu-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	arch := virtboard.Arch(o.arch)

	say(out, "Looking for QEMU, U-Boot and the tools that make the disk image")
	if err := installMissing(ctx, out); err != nil {
		return err
	}

	rawSHA256 := ""
	if o.image == "" {
		say(out, "Making a disk image: GPT, a FAT and an ext4 partition with files of this system")
		dir := filepath.Join(o.dir, "image")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		img, err := demoimage.Make(ctx, dir, demoimage.Options{Logger: log})
		if err != nil {
			return err
		}
		o.image, rawSHA256 = img.XZ, img.SHA256
		say(out, "Image: %s, %d MB raw", img.XZ, img.Size/1e6)
	}

	disk := filepath.Join(o.dir, "disk.img")
	if err := blankDisk(disk); err != nil {
		return err
	}
	// The board is always closed, so that no QEMU is left behind.
	board, err := virtboard.New(virtboard.Config{Arch: arch, Disk: disk, Logger: log})
	if err != nil {
		return err
	}
	defer board.Close()

	ref, err := publishBundle(ctx, board, arch, o.dir, log, out)
	if err != nil {
		return err
	}
	defer ref.stop()

	say(out, "Flashing the %s board: power on, U-Boot, DHCP, TFTP, Linux, image over HTTP", o.arch)
	res, err := flash(ctx, board, ref.name, o, log, out)
	if err != nil {
		return err
	}

	say(out, "Comparing the board's disk file with the image, from outside")
	sum, err := digest(disk, res.ImageBytes)
	if err != nil {
		return err
	}
	if rawSHA256 != "" {
		fmt.Fprintf(out, "raw image  sha256 %s\n", rawSHA256)
	}
	fmt.Fprintf(out, "disk file  sha256 %s\nboard said sha256 %s\n", sum, res.SHA256)
	if sum != res.SHA256 || rawSHA256 != "" && sum != rawSHA256 {
		return fmt.Errorf("the first %d bytes of the disk file are not the image", res.ImageBytes)
	}
	report(out, res)
	say(out, "Done in %v: the board's disk holds the image", time.Since(begun).Round(time.Second))
	return nil
}

// published is a bundle in a registry that runs in this process.
type published struct {
	name string
	stop func()
}

// publishBundle makes the board's flasher bundle from Debian's packages and
// pushes it to a registry of its own.
func publishBundle(ctx context.Context, board *virtboard.Board, arch virtboard.Arch, dir string, log *slog.Logger, out io.Writer) (published, error) {
	say(out, "Getting Debian's kernel and busybox for the board, packing them as a flasher bundle")
	cache, err := os.UserCacheDir()
	if err != nil {
		return published{}, err
	}
	software, err := debian.Prepare(ctx, arch, filepath.Join(cache, "dutflash-virtboard"), log)
	if err != nil {
		return published{}, err
	}
	dtb := filepath.Join(dir, "board.dtb")
	if err := board.DumpDTB(ctx, dtb); err != nil {
		return published{}, err
	}
	bundleDir := filepath.Join(dir, "bundle")
	if err := software.WriteBundle(ctx, bundleDir, debian.Bundle{
		DTB:   dtb,
		Login: debian.Login{Username: "root", Password: "dutflash"},
	}); err != nil {
		return published{}, err
	}
	host, stop, err := startRegistry()
	if err != nil {
		return published{}, err
	}
	ref := fmt.Sprintf("%s/dutflash/qemu-%s:latest", host, arch)
	digest, err := bundle.Push(ctx, bundleDir, ref)
	if err != nil {
		stop()
		return published{}, err
	}
	say(out, "Pushed the bundle to the registry: %s (%s)", ref, digest)
	return published{name: ref, stop: stop}, nil
}

func flash(ctx context.Context, board *virtboard.Board, ref string, o options, log *slog.Logger, out io.Writer) (*flasher.Result, error) {
	opts := []flasher.Option{
		flasher.WithNetwork(board.Network()),
		flasher.WithCacheDir(filepath.Join(o.dir, "cache")),
		flasher.WithProgress((&progress{out: out}).event),
		flasher.WithLogger(log),
	}
	if o.verbose {
		opts = append(opts, flasher.WithTranscript(os.Stderr))
	}
	console := func(context.Context) (io.ReadWriteCloser, error) { return board.Console(), nil }
	f, err := flasher.New(console, board, ref, opts...)
	if err != nil {
		return nil, err
	}
	return f.Flash(ctx, o.image)
}

// blankDisk makes the target: a sparse file of zeros.
func blankDisk(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := f.Truncate(diskBytes); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// digest returns the SHA-256 of the first n bytes of a file.
func digest(path string, n int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyN(h, f, n); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
