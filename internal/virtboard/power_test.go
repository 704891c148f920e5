package virtboard_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/virtboard"
)

// self runs one test of this binary in a process of its own and returns when it
// has printed a line about its board.
func self(t *testing.T, test, env string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), env, "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "the board is on") {
			return cmd
		}
	}
	cmd.Wait()
	t.Fatalf("the child has no board on:\n%s", said.String())
	return nil
}

func state(t *testing.T, b *virtboard.Board) bool {
	t.Helper()
	on, err := b.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return on
}

func TestPowerCycle(t *testing.T) {
	b := newBoard(t, virtboard.Config{Arch: virtboard.ARM64})
	term := openTerminal(t, b)
	if state(t, b) {
		t.Error("a new board is on")
	}
	term.send("lost: the board is off\n")
	for range 3 {
		powerOn(t, b)
		powerOn(t, b) // no second time
		if !state(t, b) {
			t.Error("off after On")
		}
		term.uboot()
		if out := term.run("setenv autoload no; dhcp"); !strings.Contains(out, "DHCP client bound") {
			t.Errorf("dhcp: %s", out)
		}
		for range 2 {
			if err := b.Off(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if state(t, b) {
			t.Error("on after Off")
		}
	}
}

func TestOnReportsWhatQEMUSays(t *testing.T) {
	need(t)
	b := newBoard(t, virtboard.Config{Arch: virtboard.ARM64, QEMUArgs: []string{"-device", "no-such-device"}})
	err := b.On(t.Context())
	var typed *virtboard.Error
	if !errors.As(err, &typed) || !errors.Is(err, virtboard.ErrDied) || !strings.Contains(typed.Detail, "no-such-device") {
		t.Errorf("On: %v", err)
	}
	if on, err := b.State(t.Context()); on || err != nil {
		t.Errorf("State: %v, %v", on, err)
	}
}

func TestDiskInUse(t *testing.T) {
	disk := newDisk(t, 1<<20)
	first := newBoard(t, virtboard.Config{Arch: virtboard.ARM64, Disk: disk})
	second := newBoard(t, virtboard.Config{Arch: virtboard.ARM, Disk: disk})
	powerOn(t, first)
	if err := second.On(t.Context()); !errors.Is(err, virtboard.ErrDied) || !strings.Contains(err.Error(), "lock") {
		t.Errorf("On with a disk that is in use: %v", err)
	}
	if err := first.Off(t.Context()); err != nil {
		t.Fatal(err)
	}
	powerOn(t, second)
}

// TestQEMUEndsByItself crashes QEMU under a running board, and shuts one down.
func TestQEMUEndsByItself(t *testing.T) {
	b := newBoard(t, virtboard.Config{Arch: virtboard.ARM64})
	powerOn(t, b)
	pids := qemus(t, os.Getpid())
	if len(pids) != 1 {
		t.Fatalf("processes: %v", pids)
	}
	if out, err := exec.Command("kill", "-SEGV", pids[0]).CombinedOutput(); err != nil {
		t.Fatalf("kill: %v: %s", err, out)
	}
	eventually(t, "State does not notice", func() bool {
		on, err := b.State(t.Context())
		return !on && errors.Is(err, virtboard.ErrDied)
	})
	powerOn(t, b)
	term := openTerminal(t, b)
	term.uboot()
	term.send("poweroff\n")
	eventually(t, "State does not notice", func() bool {
		on, err := b.State(t.Context())
		if err != nil {
			t.Fatalf("a clean end is an error: %v", err)
		}
		return !on
	})
}

func TestContextEnds(t *testing.T) {
	b := newBoard(t, virtboard.Config{Arch: virtboard.ARM64})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.On(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("On: %v", err)
	}
	if state(t, b) || len(qemus(t, os.Getpid())) != 0 {
		t.Error("the board is on")
	}
}

func TestNewRefuses(t *testing.T) {
	need(t)
	disk, empty := newDisk(t, 1<<20), newDisk(t, 0)
	for name, tc := range map[string]struct {
		config virtboard.Config
		is     error
		want   string
	}{
		"architecture": {virtboard.Config{Arch: "mips", Disk: disk}, nil, `"mips"`},
		"no disk":      {virtboard.Config{Arch: virtboard.ARM, Disk: filepath.Join(t.TempDir(), "none")}, os.ErrNotExist, "none"},
		"empty disk":   {virtboard.Config{Arch: virtboard.ARM, Disk: empty}, nil, "is empty"},
		"memory":       {virtboard.Config{Arch: virtboard.ARM, Disk: disk, MemoryMiB: 16}, nil, "16 MiB"},
		"throttling":   {virtboard.Config{Arch: virtboard.ARM, Disk: disk, WriteBPS: -1}, nil, "below 0"},
		"u-boot":       {virtboard.Config{Arch: virtboard.ARM, Disk: disk, UBoot: "/none/u-boot.bin"}, virtboard.ErrMissing, "apt-get install u-boot-qemu"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := virtboard.New(tc.config)
			if err == nil {
				b.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tc.want) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error %q; want %q, %v", err, tc.want, tc.is)
			}
		})
	}
	t.Run("qemu", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := virtboard.New(virtboard.Config{Arch: virtboard.ARM, Disk: disk})
		if !errors.Is(err, virtboard.ErrMissing) || !strings.Contains(err.Error(), "apt-get install qemu-system-arm") {
			t.Errorf("error %v", err)
		}
	})
}

// TestConsoles has two ports read the same, and one that nobody reads.
func TestConsoles(t *testing.T) {
	b := newBoard(t, virtboard.Config{Arch: virtboard.ARM})
	idle := b.Console()
	a, c := openTerminal(t, b), openTerminal(t, b)
	powerOn(t, b)
	a.uboot()
	a.send("echo one two\n")
	a.expect("\r\none two\r\n")
	c.expect("\r\none two\r\n")
	closed := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, idle)
		closed <- err
	}()
	idle.Close()
	if err := <-closed; !errors.Is(err, os.ErrClosed) {
		t.Errorf("read of a closed port: %v", err)
	}
}
