package linux_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
)

// settled waits until no goroutine of the simulation is left.
func settled(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for end := time.Now().Add(limit); ; {
		all := string(buf[:runtime.Stack(buf, true)])
		n := 0
		for g := range strings.SplitSeq(all, "\n\n") {
			if strings.Contains(g, "flashertest/internal/") && !strings.Contains(g, "linux_test.") {
				n++
			}
		}
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d goroutines are left:\n%s", n, all)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestCutLeavesNothingRunning takes the power away while all kinds of commands
// run. It is not parallel: it looks at all goroutines.
func TestCutLeavesNothingRunning(t *testing.T) {
	settled(t)
	for _, cmd := range []string{
		"", "sleep 1000", "sleep 1000 & sleep 1000 | cat", "while :; do :; done", "cat", "read x", "mkfifo p; cat p", "x=$(sleep 1000)",
		"yes", "dd if=/dev/zero of=/dev/null bs=1M", "wget -q -O - http://127.0.0.1:1/hang", "sleep 1000 | nc 127.0.0.1 1", "(trap '' INT TERM HUP; while :; do sleep 1; done)",
		"timeout 1000 sh -c 'sleep 1000'", "cat <<X\n$(yes | head -c 100000)\nX", "sleep 1000 &\nsleep 1000\n\x1a",
	} {
		host, board := net.Pipe()
		ctx, cancel := context.WithCancel(context.Background())
		go io.Copy(io.Discard, host)
		end := make(chan linux.Ending, 1)
		silent := make(chan struct{})
		go func() {
			e, err := linux.Run(ctx, board, linux.Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				close(silent)
				return nil, ctx.Err()
			}})
			if err != nil {
				t.Error(err)
			}
			end <- e
		}()
		time.Sleep(20 * time.Millisecond)
		io.WriteString(host, cmd+"\n")
		time.Sleep(20 * time.Millisecond)
		cancel()
		select {
		case e := <-end:
			if e != linux.Cut {
				t.Errorf("%q: %s", cmd, e)
			}
		case <-time.After(limit):
			buf := make([]byte, 1<<20)
			t.Fatalf("%q does not end:\n%s", cmd, buf[:runtime.Stack(buf, true)])
		}
		board.Close()
		host.Close()
	}
	settled(t)
}

// TestCutWhileNobodyReads takes the power away while the UART is stuck.
func TestCutWhileNobodyReads(t *testing.T) {
	host, board := net.Pipe()
	defer host.Close()
	defer board.Close()
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { _, err := linux.Run(ctx, board, linux.Config{}); end <- err }()
	time.Sleep(20 * time.Millisecond)
	cancel()
	select {
	case err := <-end:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(limit):
		t.Fatal("Run does not end")
	}
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]linux.Config{
		"disk without contents": {Disks: []linux.Disk{{Name: "sda"}}},
		"disk name":             {Disks: []linux.Disk{{Name: "../x", Disk: newDisk(t, mib)}}},
		"same name":             {Disks: []linux.Disk{{Name: "sda", Disk: newDisk(t, mib)}, {Name: "sda", Disk: newDisk(t, mib)}}},
		"address":               {Disks: []linux.Disk{{Name: "sda", Address: "a/b", Disk: newDisk(t, mib)}}},
		"console":               {Console: "/dev/sda"},
		"tool":                  {Tools: []string{"cat", "nosuchtool"}},
		"memory":                {Memory: 1},
		"noise":                 {Noise: []linux.Noise{{Text: "x"}}},
	} {
		if _, err := linux.Start(t.Context(), io.Discard, cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
