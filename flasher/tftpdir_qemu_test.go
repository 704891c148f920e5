package flasher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/uboot"
)

// daemonBoard is a board whose network has a TFTP server that is not ours: QEMU's
// own, for a directory, at 10.0.2.2. The HTTP server of this host is 10.0.2.100 to
// it.
type daemonBoard struct {
	args []string

	mu     sync.Mutex
	proc   *exec.Cmd
	in     io.WriteCloser
	reader *io.PipeReader
	writer *io.PipeWriter
}

func (b *daemonBoard) On(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	cmd := exec.Command(b.args[0], b.args[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Stdout = b.writer
	b.proc, b.in = cmd, in
	return cmd.Start()
}

func (b *daemonBoard) Off(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.proc != nil {
		b.proc.Process.Kill()
		b.proc.Wait()
		b.proc = nil
	}
	return nil
}

func (b *daemonBoard) open(context.Context) (io.ReadWriteCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reader, b.writer = io.Pipe()
	return b, nil
}

func (b *daemonBoard) Read(p []byte) (int, error) { return b.reader.Read(p) }

func (b *daemonBoard) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.proc == nil {
		return len(p), nil
	}
	return b.in.Write(p)
}

func (b *daemonBoard) Close() error { return b.reader.Close() }

// newDaemonBoard returns a board whose TFTP server serves root, with its disk and the
// port of this host's that the board reaches.
func newDaemonBoard(t *testing.T, root string) (b *daemonBoard, disk string, port int) {
	t.Helper()
	qemu := testtool.Need(t, "qemu-system-aarch64", "apt-get install qemu-system-arm")
	uboot := "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
	testtool.NeedFile(t, uboot, "apt-get install u-boot-qemu")
	socat := testtool.Need(t, "socat", "apt-get install socat")
	disk, port = filepath.Join(t.TempDir(), "disk.img"), freePort(t)
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 32*mib)); err != nil {
		t.Fatal(err)
	}
	b = &daemonBoard{args: []string{qemu, "-M", "virt", "-cpu", "cortex-a57", "-m", "1024", "-bios", uboot,
		"-display", "none", "-serial", "stdio", "-monitor", "none",
		"-netdev", fmt.Sprintf("user,id=n0,tftp=%s,guestfwd=tcp:10.0.2.100:%d-cmd:%s STDIO TCP4:127.0.0.1:%d", root, port, socat, port), "-device", "virtio-net-device,netdev=n0",
		"-drive", "if=none,id=d,format=raw,file=" + disk, "-device", "virtio-blk-device,drive=d"}}
	t.Cleanup(func() { b.Off(context.Background()) })
	return b, disk, port
}

// TestFlashWithTFTPDaemon: the board loads from another server, and gets the image from
// this host. Either the files are put into the server's directory, in which nothing of
// ours is left, or somebody has put them there under the bundle's names.
func TestFlashWithTFTPDaemon(t *testing.T) {
	t.Parallel()
	for _, placed := range []string{"by us", "by others"} {
		t.Run(placed, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			served := filepath.Join(root, "lab", "dut7")
			if err := errors.Join(os.MkdirAll(served, 0o755), os.WriteFile(filepath.Join(served, "theirs"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			b, disk, port := newDaemonBoard(t, root)
			bundle := bundleDir(t, virtboard.ARM64, debian.Bundle{})
			var console syncBuffer
			opts := []flasher.Option{flasher.WithTFTPServer(netip.MustParseAddr("10.0.2.2"), "lab/dut7/"),
				flasher.WithServerAddress(netip.MustParseAddr("10.0.2.100")), flasher.WithHTTPPort(port), flasher.WithBindAddress(netip.MustParseAddr("127.0.0.1")),
				flasher.WithCacheDir(t.TempDir()), flasher.WithTranscript(&console), flasher.WithCycleWait(10 * time.Millisecond)}
			if placed == "by us" {
				opts = append(opts, flasher.WithTFTPDir(served))
			} else if err := os.CopyFS(served, os.DirFS(filepath.Join(bundle, "data"))); err != nil {
				t.Fatal(err)
			}
			before := listing(t, served)
			f, err := flasher.New(b.open, b, bundle, opts...)
			if err != nil {
				t.Fatal(err)
			}
			raw := testImage(16 * mib)
			res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw))
			if err != nil {
				t.Fatalf("%v\nconsole:\n%s", err, console.String())
			}
			if got, err := os.ReadFile(disk); err != nil || sha256Hex(got[:len(raw)]) != res.SHA256 || res.SHA256 != sha256Hex(raw) {
				t.Errorf("the disk does not hold the image (%v)", err)
			}
			if left := listing(t, served); !slices.Equal(left, before) {
				t.Errorf("in the daemon's directory: %q; want only what was there before, %q", left, before)
			}
		})
	}
}

// TestFlashWithWrongTFTPFile: what others placed is of another release. The error says
// so, and nothing of it is booted.
func TestFlashWithWrongTFTPFile(t *testing.T) {
	t.Parallel()
	root, bundle := t.TempDir(), bundleDir(t, virtboard.ARM64, debian.Bundle{})
	kernel, err := os.ReadFile(filepath.Join(bundle, "data", "kernel"))
	if err != nil {
		t.Fatal(err)
	}
	kernel[len(kernel)/2] ^= 1
	if err := os.WriteFile(filepath.Join(root, "kernel"), kernel, 0o600); err != nil {
		t.Fatal(err)
	}
	b, disk, port := newDaemonBoard(t, root)
	var console syncBuffer
	f, err := flasher.New(b.open, b, bundle, flasher.WithTFTPServer(netip.MustParseAddr("10.0.2.2"), ""), flasher.WithRetries(0),
		flasher.WithServerAddress(netip.MustParseAddr("10.0.2.100")), flasher.WithHTTPPort(port), flasher.WithBindAddress(netip.MustParseAddr("127.0.0.1")),
		flasher.WithCacheDir(t.TempDir()), flasher.WithTranscript(&console), flasher.WithCycleWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Flash(t.Context(), imageFile(t, "image.raw", testImage(mib)))
	var e *flasher.Error
	if !errors.As(err, &e) || e.Step != flasher.StepLoad || !errors.Is(err, uboot.ErrCRC) || strings.Contains(console.String(), "Starting kernel") {
		t.Errorf("got %v, want %v in step %q; console:\n%s", err, uboot.ErrCRC, flasher.StepLoad, console.String())
	}
	if got, err := os.ReadFile(disk); err != nil || sha256Hex(got) != sha256Hex(make([]byte, 32*mib)) {
		t.Errorf("the disk was touched (%v)", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.proc != nil {
		t.Error("the board was left on")
	}
}

// TestTFTPDirMissing is refused before the board is touched.
func TestTFTPDirMissing(t *testing.T) {
	t.Parallel()
	b := &daemonBoard{args: []string{"/bin/false"}}
	f, err := flasher.New(b.open, b, tinyBundle(t), flasher.WithTFTPDir(filepath.Join(t.TempDir(), "none")), flasher.WithCacheDir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Flash(t.Context(), imageFile(t, "image.raw", make([]byte, 4096)))
	var e *flasher.Error
	if !errors.As(err, &e) || e.Step != flasher.StepServe || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want an error of step %q that the directory is not there", err, flasher.StepServe)
	}
	if b.reader != nil {
		t.Error("the console was opened")
	}
}

// freePort returns a TCP port of loopback that was free just now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
