package virtboard_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/virtboard"
)

// qemus returns the ids of the QEMU processes that pid has started.
func qemus(tb testing.TB, pid int) []string {
	tb.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		tb.Skip("this test reads /proc")
	}
	var out []string
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// pid (name) state parent ...
		head, rest, _ := strings.Cut(string(stat), ") ")
		id, name, _ := strings.Cut(head, " (")
		fields := strings.Fields(rest)
		if strings.HasPrefix(name, "qemu-system") && len(fields) > 1 && fields[1] == fmt.Sprint(pid) {
			out = append(out, id)
		}
	}
	return out
}

// descriptors counts the open files of this process.
func descriptors(tb testing.TB) int {
	tb.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Skip("this test reads /proc")
	}
	return len(fds)
}

// eventually waits for what goroutines that were told to end still do.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			tb.Fatalf("%s\n%s", what, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	need(t)
	disk := newDisk(t, 64<<20)
	use := func() {
		b, err := virtboard.New(virtboard.Config{Arch: virtboard.ARM64, Disk: disk})
		if err != nil {
			t.Fatal(err)
		}
		port := b.Console()
		var waiting sync.WaitGroup
		wait := func(what string, f func() error, want error) {
			waiting.Go(func() {
				if err := f(); !errors.Is(err, want) {
					t.Errorf("%s at the end: %v; want %v", what, err, want)
				}
			})
		}
		packets, err := b.Network().ListenPacket(t.Context(), "udp", ":69")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := b.Network().Listen(t.Context(), "tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		wait("console", func() (err error) {
			for err == nil {
				_, err = port.Read(make([]byte, 4096))
			}
			return err
		}, os.ErrClosed)
		wait("packets", func() error { _, _, err := packets.ReadFrom(make([]byte, 10)); return err }, net.ErrClosed)
		wait("listener", func() error { _, err := listener.Accept(); return err }, net.ErrClosed)
		powerOn(t, b)
		if got := qemus(t, os.Getpid()); len(got) != 1 {
			t.Errorf("processes with the board on: %v", got)
		}
		for range 2 {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		waiting.Wait()
		if got := qemus(t, os.Getpid()); len(got) != 0 {
			t.Errorf("processes after Close: %v", got)
		}
		if err := b.On(t.Context()); !errors.Is(err, virtboard.ErrClosed) {
			t.Errorf("On after Close: %v", err)
		}
		if _, err := b.State(t.Context()); !errors.Is(err, virtboard.ErrClosed) {
			t.Errorf("State after Close: %v", err)
		}
		if _, err := b.Network().Listen(t.Context(), "tcp", ":81"); !errors.Is(err, virtboard.ErrClosed) {
			t.Errorf("Listen after Close: %v", err)
		}
		if _, err := port.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		if _, err := b.Console().Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Console after Close: %v", err)
		}
	}
	use() // what the runtime keeps from a first time
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	use()
	eventually(t, "goroutines are left", func() bool { return runtime.NumGoroutine() <= goroutines })
	if got := descriptors(t); got > files {
		t.Errorf("%d files are open, %d were before", got, files)
	}
}

// TestQEMUDiesWithParent kills a process that has a board on.
func TestQEMUDiesWithParent(t *testing.T) {
	if os.Getenv("VIRTBOARD_CHILD") != "" {
		b := newBoard(t, virtboard.Config{Arch: virtboard.ARM64})
		powerOn(t, b)
		fmt.Println("the board is on")
		select {} // until killed
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a process about its parent's end")
	}
	need(t)
	child := self(t, "TestQEMUDiesWithParent", "VIRTBOARD_CHILD=1")
	pids := qemus(t, child.Process.Pid)
	if len(pids) != 1 {
		t.Fatalf("processes of the child: %v", pids)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	eventually(t, "qemu outlives its parent", func() bool {
		stat, err := os.ReadFile("/proc/" + pids[0] + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}
