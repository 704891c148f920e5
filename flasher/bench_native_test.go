//go:build unix

package flasher_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/transport/httpd"
	"github.com/dutflash/dutflash/transport/image"
)

// native is Debian's busybox of this machine on a pseudo-terminal, with a file in
// place of the disk: what the board's side costs where nothing is emulated.
type native struct {
	shell *busybox.Shell
	disk  string
}

func newNative(b *testing.B, size int64) native {
	b.Helper()
	dir := b.TempDir()
	n := native{disk: filepath.Join(dir, "disk")}
	cmd := exec.Command(testtool.Need(b, "busybox", "apt-get install busybox-static"), "sh", "-i")
	cmd.Dir, cmd.Env = dir, []string{"PATH=", "TERM=vt102", "HOME=/"}
	attr := &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err := errors.Join(os.WriteFile(n.disk, nil, 0o666), os.Truncate(n.disk, size))
	if os.Geteuid() == 0 { // a session must not change this machine's settings
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		err = errors.Join(err, os.Chown(n.disk, 65534, 65534))
		for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
			err = errors.Join(err, os.Chmod(d, 0o755))
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	tty, err := pty.StartWithAttrs(cmd, &pty.Winsize{Rows: 24, Cols: 80}, attr)
	if err != nil {
		b.Fatal(err)
	}
	con, err := console.New(tty)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		con.Close()
	})
	if n.shell, err = busybox.New(con); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if err := n.shell.Login(ctx); err != nil {
		b.Fatal(err)
	}
	return n
}

// timed runs a command and returns how long it took.
func (n native) timed(b *testing.B, cmd string) time.Duration {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	begun := time.Now()
	if err := n.shell.Stream(ctx, cmd, nil); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

// put brings an image onto the disk by the extent protocol.
func (n native) put(b *testing.B, srv *httpd.Server, host string, img *image.Prepared) (extents.Stats, time.Duration) {
	b.Helper()
	s, err := srv.NewSession()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	zero := map[int64]extents.Chunk{}
	var chunks []extents.Chunk
	for _, c := range img.Chunks() {
		e := extents.Chunk{Offset: c.Offset, Size: c.Size, Zero: c.Zero, SHA256: c.SHA256}
		if c.Zero {
			z, ok := zero[c.Size]
			if !ok {
				z.SHA256 = sha256.Sum256(make([]byte, c.Size))
				zero[c.Size] = z
			}
			e.SHA256 = z.SHA256
		}
		chunks = append(chunks, e)
	}
	begun := time.Now()
	p, err := extents.New(extents.Config{Chunks: chunks, Image: img})
	if err != nil {
		b.Fatal(err)
	}
	s.Handle("extents/task", p.TaskHandler())
	s.Handle("extents/data", p.DataHandler())
	script := extents.Script()
	s.File("extents.sh", bytes.NewReader(script), int64(len(script)))
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	for more := true; more; more = p.ReadBack() {
		if err := n.shell.Script(ctx, s.URL(host, "extents.sh"), nil, n.disk, s.URL(host, "extents"), "", "", "", "writer", "reader", "reader2"); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Err(); err != nil || p.Stats().Proved != img.Size() {
		b.Fatalf("%+v, %v", p.Stats(), err)
	}
	return p.Stats(), time.Since(begun)
}

func prepared(b *testing.B, path string) *image.Prepared {
	b.Helper()
	src, err := image.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	img, err := image.Prepare(b.Context(), src, image.WithCacheDir(b.TempDir()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { img.Close() })
	if err := img.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	return img
}

// BenchmarkNative prints the figures of BenchmarkMethods with this machine's own
// busybox, without an emulator and with the page cache for a disk, and what the
// host's servers cost for four such boards at once beside one.
func BenchmarkNative(b *testing.B) {
	size := int64(256 * mib)
	if testing.Short() {
		size = 64 * mib
	}
	raw, data := benchImage(b, "image.raw", size, func(int) bool { return false })
	raw2, _ := benchImage(b, "changed.raw", size, func(i int) bool { return i%20 == 10 })
	packed := compressed(b, raw, "xz", ".xz", "-1", "-T2")
	first, second := prepared(b, packed), prepared(b, raw2)
	srv, err := httpd.New()
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() { srv.Close(); <-served }()
	host := l.Addr().String()
	file, err := os.Open(packed)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		b.Fatal(err)
	}
	srv.File("image.xz", file, info.Size())
	for b.Loop() {
		n := newNative(b, size)
		write := n.timed(b, fmt.Sprintf("(set -o pipefail; wget -q -O - %s | xzcat | dd of=%s bs=64k iflag=fullblock conv=notrunc,fsync 2>/dev/null)", srv.URL(host, "image.xz"), n.disk))
		proof := n.timed(b, fmt.Sprintf("dd if=%s bs=1M 2>/dev/null | sha256sum", n.disk))
		fmt.Printf("\nnative busybox, %d MiB image, %d MiB of it data, a file as the disk\n", size/mib, data/mib)
		fmt.Printf("pipeline unproved            %6.2f s\npipeline and read-back       %6.2f s\n", write.Seconds(), (write + proof).Seconds())
		if err := errors.Join(os.Truncate(n.disk, 0), os.Truncate(n.disk, size)); err != nil {
			b.Fatal(err)
		}
		put := func(name string, img *image.Prepared) float64 {
			s, d := n.put(b, srv, host, img)
			fmt.Printf("%-28s %6.2f s, sent %d, written %d, unchanged %d, proved %d bytes\n", name, d.Seconds(), s.Sent, s.Written, s.Unchanged, s.Proved)
			return d.Seconds()
		}
		tFirst := put("first flash, blank disk", first)
		benchRatio(b, "native: first / unproved pipeline", tFirst/write.Seconds(), 0.75)
		benchRatio(b, "native: first / proved pipeline", tFirst/(write+proof).Seconds(), 0.6)
		put("identical image", first)
		tChanged := put("5 % of the chunks changed", second)
		benchRatio(b, "native: changed / unproved pipeline", tChanged/write.Seconds(), 0.3)

		serve := func(boards int) (cpu time.Duration) {
			for range 4 { // one takes little more than the clock's tick
				var all []native
				for range boards {
					all = append(all, newNative(b, size))
				}
				begun := hostCPU(b)
				var wg sync.WaitGroup
				for _, n := range all {
					wg.Go(func() { n.put(b, srv, host, first) })
				}
				wg.Wait()
				cpu += hostCPU(b) - begun
			}
			return cpu
		}
		one, four := serve(1), serve(4)
		fmt.Printf("CPU of the host to serve: four times one board %.2f s, four times four at once %.2f s\n", one.Seconds(), four.Seconds())
		benchRatio(b, "native: four boards / one: serve", four.Seconds()/one.Seconds(), 4.2)
	}
}
