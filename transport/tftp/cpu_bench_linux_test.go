package tftp_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/tftp"
)

// serveEnv has this program serve a file until SIGTERM, and nothing else: path and
// address.
const serveEnv = "DUTFLASH_TFTP_BENCH_SERVE"

// TestMain makes this program the server process of BenchmarkCPU where it was
// started as that.
func TestMain(m *testing.M) {
	if path, address, ok := strings.Cut(os.Getenv(serveEnv), " "); ok {
		if err := serveFor(path, address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serveFor(path, address string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	s, err := tftp.New()
	if err != nil {
		return err
	}
	f, err := tftp.FromPath(path)
	if err != nil {
		return err
	}
	if err := s.Add("kernel", f); err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(conn) }()
	<-stop
	s.Close()
	return <-served
}

// BenchmarkCPU compares the processor time, user and system, that this package's
// server and Debian's take per MB. Both serve curl in lock step; windows, which
// tftpd-hpa does not have, are measured besides. Run it on one processor (taskset -c
// 1): on a virtual machine, waking another processor costs more than a packet, and
// by how much differs from run to run.
func BenchmarkCPU(b *testing.B) {
	hpa := testtool.Need(b, "in.tftpd", "apt-get install tftpd-hpa")
	curl := testtool.Need(b, "curl", "apt-get install curl")
	dir := b.TempDir()
	path := filepath.Join(dir, "kernel")
	if err := os.WriteFile(path, random(kernelSize), 0o644); err != nil {
		b.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	byCurl := func(b *testing.B, addr *net.UDPAddr) {
		out, err := exec.Command(curl, "-sS", "--tftp-blksize", "1468", "-o", "/dev/null", "-w", "%{size_download}", fmt.Sprintf("tftp://%s/kernel", addr)).CombinedOutput()
		if string(out) != strconv.Itoa(kernelSize) {
			b.Fatalf("%v: %s", err, out)
		}
	}
	byWindows := func(b *testing.B, addr *net.UDPAddr) {
		if got, err := fetch(b, addr, rrq("kernel", "octet", "blksize", "1468", "windowsize", "16"), nil); err != nil || len(got) != kernelSize {
			b.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	ours := func(address string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), serveEnv+"="+path+" "+address)
		return cmd
	}
	for _, tc := range []struct {
		name   string
		server func(address string) *exec.Cmd
		load   func(*testing.B, *net.UDPAddr)
	}{
		{"tftpd-hpa-lockstep", func(a string) *exec.Cmd { return exec.Command(hpa, "-L", "-u", "root", "-a", a, "-s", dir) }, byCurl},
		{"ours-lockstep", ours, byCurl},
		{"ours-window-16", ours, byWindows},
	} {
		b.Run(tc.name, func(b *testing.B) {
			free, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			addr := free.LocalAddr().(*net.UDPAddr)
			free.Close()
			cmd := tc.server(addr.String())
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			defer cmd.Process.Kill()
			time.Sleep(500 * time.Millisecond) // a benchmark may wait
			children := watchChildren(cmd.Process.Pid)
			begun := cpuTime(b, cmd.Process.Pid)
			b.SetBytes(kernelSize)
			loads := 0
			for b.Loop() {
				tc.load(b, addr)
				loads++
			}
			b.StopTimer()
			took := cpuTime(b, cmd.Process.Pid) - begun + children()
			b.ReportMetric(took.Seconds()*1e3/(float64(loads)*kernelSize/1e6), "cpu-ms/MB")
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
		})
	}
}

// watchChildren adds up the time of a process's children, of which tftpd-hpa has
// one for each transfer and does not count them as its own.
func watchChildren(pid int) (total func() time.Duration) {
	stop, done := make(chan struct{}), make(chan time.Duration)
	go func() {
		seen := map[string]int64{} // nanoseconds by process
		for tick := time.Tick(5 * time.Millisecond); ; {
			select {
			case <-stop:
				var sum int64
				for _, n := range seen {
					sum += n
				}
				done <- time.Duration(sum)
				return
			case <-tick:
			}
			children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
			for _, child := range strings.Fields(string(children)) {
				stat, _ := os.ReadFile("/proc/" + child + "/schedstat")
				if f := strings.Fields(string(stat)); len(f) > 0 {
					n, _ := strconv.ParseInt(f[0], 10, 64)
					seen[child] = max(seen[child], n)
				}
			}
		}
	}()
	return func() time.Duration { close(stop); return <-done }
}

// cpuTime is what all threads of a process took so far, by the scheduler's clock, as
// watchChildren has it: the times in /proc/PID/stat count in steps of 10 ms.
func cpuTime(b *testing.B, pid int) (total time.Duration) {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		b.Fatalf("%v, %d threads", err, len(threads))
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		n, err := strconv.ParseInt(strings.Fields(string(stat))[0], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		total += time.Duration(n)
	}
	return total
}
