// Command fourboards flashes several virtual boards side by side in one process
// from one image, which is decompressed once, through one pair of servers. It compares each board's disk with
// the image at the end, and prints what the host paid.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/internal/virtboard/demoimage"
	"github.com/dutflash/dutflash/transport/image"
)

func main() {
	var o options
	flag.IntVar(&o.boards, "boards", 4, "how many boards")
	flag.StringVar(&o.arch, "arch", "arm64", "architecture of the boards: arm64 or arm")
	flag.StringVar(&o.image, "image", "", "image to flash, raw or compressed (default: one is made)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fourboards:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	boards int
	arch   string
	image  string
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	if o.boards < 1 {
		return fmt.Errorf("%d boards: at least one is needed", o.boards)
	}
	if missing := virtboard.Missing(); len(missing) > 0 {
		if err := virtboard.Install(ctx, missing, slog.New(slog.NewTextHandler(out, nil))); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "dutflash-fourboards-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.image == "" {
		img, err := demoimage.Make(ctx, dir, demoimage.Options{})
		if err != nil {
			return err
		}
		o.image = img.XZ
	}
	bundle, err := makeBundle(ctx, virtboard.Arch(o.arch), dir)
	if err != nil {
		return err
	}

	// One preparation serves all boards; it goes on while they boot.
	src, err := image.Open(o.image)
	if err != nil {
		return err
	}
	prepared, err := image.Prepare(ctx, src, image.WithCacheDir(filepath.Join(dir, "cache")))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, prepared.Close()) }()
	if err := prepared.Wait(ctx); err != nil {
		return err
	}
	afterPrepare := cpuTime()
	fmt.Fprintf(out, "%s: %d MB raw, prepared once with %v of CPU\n", o.image, prepared.Size()/1e6, afterPrepare.Round(time.Millisecond))

	// One pair of servers as well: on a real network there is one port 69.
	servers, err := flasher.NewServers(nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Close()) }()

	begun := time.Now()
	var wg sync.WaitGroup
	failures := make([]error, o.boards)
	for i := range o.boards {
		wg.Go(func() {
			b := oneBoard{number: i + 1, arch: virtboard.Arch(o.arch), dir: dir, bundle: bundle, image: prepared, servers: servers}
			if err := b.flash(ctx, out); err != nil {
				failures[i] = fmt.Errorf("board %d: %w", i+1, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d boards in %v, with %v of CPU in this process for all of them\n",
		o.boards, time.Since(begun).Round(time.Second), (cpuTime() - afterPrepare).Round(time.Millisecond))
	return nil
}

// makeBundle makes the flasher bundle that all boards boot.
func makeBundle(ctx context.Context, arch virtboard.Arch, dir string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	software, err := debian.Prepare(ctx, arch, filepath.Join(cache, "dutflash-virtboard"), nil)
	if err != nil {
		return "", err
	}
	bundle := filepath.Join(dir, "bundle")
	return bundle, software.WriteBundle(ctx, bundle, debian.Bundle{})
}

type oneBoard struct {
	number int
	arch   virtboard.Arch
	dir    string
	bundle string
	image  *image.Prepared

	servers *flasher.Servers
}

// flash makes a board, flashes it and looks at its disk from outside.
func (b oneBoard) flash(ctx context.Context, out io.Writer) (err error) {
	disk := filepath.Join(b.dir, fmt.Sprintf("disk%d.img", b.number))
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(disk, (b.image.Size()+1<<24)&^511); err != nil {
		return err
	}
	board, err := virtboard.New(virtboard.Config{Arch: b.arch, Disk: disk})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, board.Close()) }()
	open := func(context.Context) (io.ReadWriteCloser, error) { return board.Console(), nil }
	f, err := flasher.New(open, board, b.bundle,
		flasher.WithServers(b.servers),
		flasher.WithNetwork(board.Network()),
		flasher.WithCacheDir(filepath.Join(b.dir, "cache")))
	if err != nil {
		return err
	}
	res, err := f.FlashPrepared(ctx, b.image)
	if err != nil {
		return err
	}
	sum, err := digest(disk, b.image.Size())
	if err != nil {
		return err
	}
	if sum != res.SHA256 || sum != b.image.SHA256() {
		return fmt.Errorf("the disk has SHA-256 %s, the image %s, and %s was proved", sum, b.image.SHA256(), res.SHA256)
	}
	fmt.Fprintf(out, "board %d: %v, %d MB sent, proved %s\n", b.number, res.Elapsed.Round(time.Second), res.TransferredBytes/1e6, res.SHA256)
	return nil
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
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
