package qemu_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/qemu"
)

// patient leaves a loaded machine the time that it needs.
var patient = qemu.WithSwitching(power.Switching{Timeout: time.Minute})

// pc is the command for a PC without a disk, whose firmware tells in a file each
// time that it starts.
func pc(t *testing.T) (command []string, log string, starts func() int) {
	t.Helper()
	program := testtool.Need(t, "qemu-system-x86_64", "apt-get install qemu-system-x86")
	log = filepath.Join(t.TempDir(), "firmware")
	return []string{
			program, "-M", "pc,accel=tcg", "-display", "none", "-net", "none", "-m", "32",
			"-debugcon", "file:" + log, "-global", "isa-debugcon.iobase=0x402",
		}, log, func() int {
			b, err := os.ReadFile(log)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
			return bytes.Count(b, []byte("SeaBIOS (version"))
		}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

func isState(t *testing.T, c power.StateReader, want bool) {
	t.Helper()
	if on, err := c.State(t.Context()); err != nil || on != want {
		t.Fatalf("state %v, %v; want %v", on, err, want)
	}
}

func TestProcess(t *testing.T) {
	command, log, starts := pc(t)
	// The name of the monitor's socket must be short.
	temp, err := os.MkdirTemp("", "q")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	t.Setenv("TMPDIR", temp)
	p, err := qemu.New(command, patient)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	isState(t, p, false)
	if err := p.Off(t.Context()); err != nil {
		t.Errorf("off while off: %v", err)
	}
	for range 2 { // what is on stays on
		if err := p.On(t.Context()); err != nil {
			t.Fatal(err)
		}
		isState(t, p, true)
	}
	await(t, "firmware", func() bool { return starts() > 0 })
	if err := p.Off(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	if err := power.Cycle(t.Context(), p, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	await(t, "firmware after the cycle", func() bool { return starts() > 0 })
	isState(t, p, true)
	if err := p.Off(t.Context()); err != nil {
		t.Fatal(err)
	}
	isState(t, p, false)
	if left, err := filepath.Glob(filepath.Join(temp, "*")); err != nil || len(left) != 0 {
		t.Errorf("files that were left: %v, %v", left, err)
	}
}

func TestProcessThatIsRefused(t *testing.T) {
	command, _, _ := pc(t)
	p, err := qemu.New(append(command, "-drive", "file=/no/such/disk.img,format=raw"), patient)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var typed *power.Error
	if err := p.On(t.Context()); !errors.Is(err, power.ErrRefused) || !errors.As(err, &typed) || !strings.Contains(err.Error(), "/no/such/disk.img") {
		t.Errorf("got %v, want what QEMU said", err)
	}
	absent, err := qemu.New([]string{"no-such-qemu"}, qemu.WithSwitching(power.Switching{Tries: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if err := absent.On(t.Context()); !errors.Is(err, power.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.On(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAttach(t *testing.T) {
	command, log, starts := pc(t)
	// The socket's name must be short.
	dir, err := os.MkdirTemp("", "qmp")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	m, err := qemu.Attach("unix:"+socket, patient)
	if err != nil {
		t.Fatal(err)
	}
	end := func(cmd *exec.Cmd) {
		cmd.Process.Kill()
		cmd.Wait()
	}
	launch := func() *exec.Cmd {
		cmd := exec.Command(command[0], append(command[1:], "-S", "-qmp", "unix:"+socket+",server=on,wait=off")...)
		cmd.Stderr = t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { end(cmd) }) // the second time does nothing
		await(t, "monitor", func() bool {
			_, err := os.Stat(socket)
			return err == nil
		})
		return cmd
	}
	cmd := launch()
	isState(t, m, false)
	if starts() != 0 {
		t.Fatal("the machine did not wait for On")
	}
	for range 2 {
		if err := m.On(t.Context()); err != nil {
			t.Fatal(err)
		}
		isState(t, m, true)
	}
	// SeaBIOS itself hangs after a reset in its first milliseconds.
	await(t, "firmware's end", func() bool {
		b, _ := os.ReadFile(log)
		return bytes.Contains(b, []byte("No bootable device"))
	})
	for range 2 {
		if err := m.Off(t.Context()); err != nil {
			t.Fatal(err)
		}
		isState(t, m, false)
	}
	before := starts()
	if err := m.On(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "firmware after off and on", func() bool { return starts() > before })
	end(cmd)

	impatient, err := qemu.Attach(socket, qemu.WithSwitching(power.Switching{Tries: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := impatient.State(t.Context()); !errors.Is(err, power.ErrNotFound) {
		t.Errorf("no QEMU: %v", err)
	}
	os.Remove(socket)
	launch()
	if err := m.On(t.Context()); err != nil {
		t.Errorf("a QEMU that was started again: %v", err)
	}
}

func TestAttachRefuses(t *testing.T) {
	for _, address := range []string{"", "unix:", "localhost", "tcp:1"} {
		if _, err := qemu.Attach(address); err == nil {
			t.Errorf("address %q was taken", address)
		}
	}
	if _, err := qemu.New(nil); err == nil {
		t.Error("no command was taken")
	}
	if _, err := qemu.New([]string{"x"}, qemu.WithSwitching(power.Switching{Tries: -1})); err == nil {
		t.Error("tries -1 were taken")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "SSH-2.0-OpenSSH_9.2p1")
			c.Close()
		}
	}()
	m, err := qemu.Attach("tcp:" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.State(t.Context()); !errors.Is(err, power.ErrRefused) {
		t.Errorf("an ssh server: %v", err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	m, err = qemu.Attach(silent.Addr().String(), qemu.WithSwitching(power.Switching{Timeout: 50 * time.Millisecond, Tries: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Off(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "one client at a time") {
		t.Errorf("a silent monitor: %v", err)
	}
}

func ExampleAttach() {
	board, err := qemu.Attach("unix:/run/dut1.qmp", qemu.WithSwitching(power.Switching{Tries: 1}))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = board.On(context.Background())
	fmt.Println(errors.Is(err, power.ErrNotFound))
	// Output: true
}
