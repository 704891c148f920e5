package tftp_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tapnet is a network namespace with a tap device in it, and an Ethernet cable
// from there to a QEMU: the kernel's own network stack for every server alike,
// and nothing on the machine's network. The cable can delay and lose frames,
// since not every kernel has netem.
type tapnet struct {
	name   string
	socket string // for QEMU's -netdev stream
	ns     *os.File
	delay  atomic.Int64 // nanoseconds, each way
	loss   atomic.Int64 // frames in a million, each way
	queued atomic.Int64 // frames to QEMU since the last one from it
	heard  atomic.Int64 // frames from QEMU
	woken  atomic.Int64 // times that its network card slept
}

// hostAddress and boardAddress are those of the namespace and of the board in it.
const (
	hostAddress  = "10.9.8.1"
	boardAddress = "10.9.8.2"
)

func newTapnet(b *testing.B) *tapnet {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Skip("a network namespace with a tap device needs root")
	}
	n := &tapnet{name: "dutflash-" + strconv.Itoa(os.Getpid()), socket: filepath.Join(b.TempDir(), "s")}
	ip := func(args ...string) {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			b.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	ip("netns", "add", n.name)
	b.Cleanup(func() { exec.Command("ip", "netns", "del", n.name).Run() })
	ns, err := os.Open("/var/run/netns/" + n.name)
	if err != nil {
		b.Fatal(err)
	}
	n.ns = ns
	b.Cleanup(func() { ns.Close() })
	var tap *os.File
	n.inside(b, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq("tap0")
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			return err
		}
		tap = os.NewFile(uintptr(fd), "tap0") // not before: a tap that is not attached cannot be polled
		return nil
	})
	b.Cleanup(func() { tap.Close() })
	ip("-n", n.name, "addr", "add", hostAddress+"/24", "dev", "tap0")
	ip("-n", n.name, "link", "set", "lo", "up")
	ip("-n", n.name, "link", "set", "tap0", "up")
	l, err := net.Listen("unix", n.socket)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		qemu, err := l.Accept()
		if err != nil {
			return
		}
		done := make(chan struct{})
		go n.wake(qemu.(*net.UnixConn), done)
		go n.carry(func(frame []byte) error { n.queued.Store(0); n.heard.Add(1); _, err := tap.Write(frame); return err }, fromQEMU(qemu))
		n.carry(n.ring(toQEMU(qemu)), func(p []byte) (int, error) { return tap.Read(p) })
		close(done)
		qemu.Close()
	}()
	return n
}

// inside runs f in the namespace: sockets that it opens belong there.
func (n *tapnet) inside(tb testing.TB, f func() error) {
	tb.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
}

// fromQEMU reads frames, each behind its length in four bytes.
func fromQEMU(c net.Conn) func([]byte) (int, error) {
	r := bufio.NewReaderSize(c, 256<<10)
	return func(p []byte) (int, error) {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return 0, err
		}
		n := int(binary.BigEndian.Uint32(size[:]))
		if n > len(p) {
			return 0, fmt.Errorf("a frame of %d bytes", n)
		}
		return io.ReadFull(r, p[:n])
	}
}

func toQEMU(c net.Conn) func([]byte) error {
	return func(frame []byte) error {
		_, err := c.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(frame)), uint32(len(frame))), frame...))
		return err
	}
}

// ring loses what is more than a network card's ring of buffers holds. U-Boot's
// virtio driver has 32 of them, and when all are used up it may sleep for ever: its
// notification of the host can get lost.
func (n *tapnet) ring(write func([]byte) error) func([]byte) error {
	var last time.Time
	return func(frame []byte) error {
		if time.Since(last) > 5*time.Millisecond {
			n.queued.Store(0) // U-Boot has read them, though it had nothing to say
		}
		last = time.Now()
		if n.queued.Add(1) > 24 {
			return nil
		}
		return write(frame)
	}
}

type lateFrame struct {
	due   time.Time
	frame []byte
}

// carry takes frames from one end to the other.
func (n *tapnet) carry(write func([]byte) error, read func([]byte) (int, error)) {
	late := make(chan lateFrame, 4096)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for f := range late {
			// A sleep is too coarse for half a millisecond.
			for time.Now().Before(f.due) {
				runtime.Gosched()
			}
			if write(f.frame) != nil {
				return
			}
		}
	}()
	defer func() { close(late); <-done }()
	buf := make([]byte, 65536)
	for {
		k, err := read(buf)
		if err != nil {
			return
		}
		if rand.Int64N(1_000_000) < n.loss.Load() {
			continue
		}
		if delay := time.Duration(n.delay.Load()); delay > 0 {
			select {
			case late <- lateFrame{time.Now().Add(delay), append([]byte(nil), buf[:k]...)}:
			case <-done:
				return
			}
			continue
		}
		if write(buf[:k]) != nil {
			return
		}
	}
}
