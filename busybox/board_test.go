//go:build unix

package busybox_test

import (
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/console"
)

const howBusybox = "apt-get install busybox-static"

// limit is for conversations that take milliseconds, on a machine that may be
// busy with everything else.
const limit = 40 * time.Second

// TestMain lets more tests run at once than there are processors: they mostly
// wait for a board that says nothing.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// program starts a program on a pseudo-terminal of its own, as nobody where the
// test runs as root, so that no test touches this machine's kernel settings.
func program(t *testing.T, argv ...string) *os.File {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=vt102", "HOME=/", "T=" + cmd.Dir}
	attr := &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		openTo(t, cmd.Dir)
	}
	f, err := pty.StartWithAttrs(cmd, &pty.Winsize{Rows: 24, Cols: 80}, attr)
	if err != nil {
		t.Fatalf("start %q: %v", argv, err)
	}
	f = pollable(t, f)
	t.Cleanup(func() {
		f.Close() // hangs the session up
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
	})
	return f
}

// pollable is f so that Close ends a Read: asking for its descriptor, as the
// pty library does, has made f blocking.
func pollable(t *testing.T, f *os.File) *os.File {
	t.Helper()
	// A program that another test starts meanwhile must not inherit it: the
	// terminal would not be hung up then.
	syscall.ForkLock.RLock()
	fd, err := syscall.Dup(int(f.Fd()))
	if err == nil {
		syscall.CloseOnExec(fd)
		err = syscall.SetNonblock(fd, true)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return os.NewFile(uintptr(fd), f.Name())
}

// openTo lets nobody into a directory that testing has made for root.
func openTo(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = d[:strings.LastIndexByte(d, '/')] {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// session makes a Shell on a console on rwc.
func session(t *testing.T, rwc io.ReadWriteCloser, opts ...busybox.Option) *busybox.Shell {
	t.Helper()
	c, err := console.New(rwc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := busybox.New(c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// busyboxArgs is Debian's busybox as an interactive shell.
func busyboxArgs(t *testing.T) []string {
	t.Helper()
	return []string{testtool.Need(t, "busybox", howBusybox), "sh", "-i"}
}

// loggedIn is a session in Debian's busybox, ready for commands.
func loggedIn(t *testing.T, opts ...busybox.Option) *busybox.Shell {
	t.Helper()
	s := session(t, program(t, busyboxArgs(t)...), opts...)
	login(t, s)
	return s
}

func login(t *testing.T, s *busybox.Shell) {
	t.Helper()
	if err := s.Login(ctx(t)); err != nil {
		t.Fatalf("Login: %v", err)
	}
}

func ctx(t *testing.T) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return c
}

// run runs a command that must succeed.
func run(t *testing.T, s *busybox.Shell, cmd string) string {
	t.Helper()
	out, err := s.Run(ctx(t), cmd)
	if err != nil {
		t.Fatalf("Run(%.80q): %v", cmd, err)
	}
	return out
}
