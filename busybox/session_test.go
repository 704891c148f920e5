//go:build unix

package busybox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	expect "github.com/Netflix/go-expect"
	"github.com/creack/pty"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/console"
)

var anyByte = expect.RegexpPattern(`(?s).`)

func TestStreamTenMegabytes(t *testing.T) {
	t.Parallel()
	c, err := console.New(program(t, busyboxArgs(t)...), console.WithWindow(32<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := busybox.New(c)
	if err != nil {
		t.Fatal(err)
	}
	login(t, s)
	n := 0
	err = s.Stream(ctx(t), "dd if=/dev/zero bs=1000000 count=10 2>/dev/null; exit 9", func(b []byte) { n += len(b) })
	if status(err) != 9 || n != 10_000_000 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Output that the console could not keep is an error and never a gap.
func TestOutputFasterThanTheWindow(t *testing.T) {
	c, err := console.New(program(t, busyboxArgs(t)...), console.WithWindow(4096))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := busybox.New(c)
	if err != nil {
		t.Fatal(err)
	}
	login(t, s)
	out, err := s.Run(ctx(t), "dd if=/dev/zero bs=1000000 count=3 2>/dev/null")
	if err == nil && len(out) != 3_000_000 || err != nil && !errors.Is(err, busybox.ErrOutputLost) {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

func TestInteractivePutsEverythingBack(t *testing.T) {
	f := program(t, busyboxArgs(t)...)
	s := session(t, f)
	login(t, s)
	run(t, s, "echo in session; cd /tmp")
	if got := run(t, s, settings); got != "-opost\n-echo\n" {
		t.Errorf("the terminal in the session: %q", got)
	}
	if err := s.Interactive(ctx(t)); err != nil {
		t.Fatal(err)
	}
	c := s.Console()
	if err := c.Send(ctx(t), "echo he''llo; echo \"[$_fo$_fx$_fn]\"; "+settings+"\n"); err != nil {
		t.Fatal(err)
	}
	deadline, text := time.Now().Add(limit), ""
	for !strings.Contains(text, "\r\necho\r\n") && time.Now().Before(deadline) {
		m, err := c.Expect(ctx(t), anyByte)
		if err != nil {
			t.Fatal(err)
		}
		text += m.Before + m.Text
	}
	for _, want := range []string{"echo he''llo", "hello\r\n", "[]\r\n", "\r\nopost\r\n", " $ "} {
		if !strings.Contains(text, want) {
			t.Errorf("a person sees %q, want %q in it", text, want)
		}
	}
	if _, err := s.Run(ctx(t), "true"); !errors.Is(err, busybox.ErrNotLoggedIn) {
		t.Errorf("Run afterwards: %v", err)
	}
	login(t, s)
	run(t, s, "true")
}

// settings prints two of the terminal's.
const settings = "stty -a </dev/tty 2>/dev/null | tr ' ' '\\n' | grep -E '^-?(echo|opost)$'"

func TestFetchAndScript(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			w.Write(noise(5000))
		case "/script":
			io.WriteString(w, "echo \"$# <$1> <$2>\"\nexit $3\n")
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	s := loggedIn(t)
	run(t, s, "cd $T")
	if err := s.Fetch(ctx(t), srv.URL+"/file", "got"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Download(ctx(t), "got"); err != nil || !bytes.Equal(got, noise(5000)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := s.Fetch(ctx(t), srv.URL+"/none", "none"); !errors.Is(err, busybox.ErrFetch) || status(err) < 0 {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := s.Fetch(ctx(t), "file:///etc/passwd", "x"); !errors.Is(err, busybox.ErrConfig) {
		t.Errorf("another scheme: %v", err)
	}
	if left := run(t, s, "ls none* 2>/dev/null; :"); left != "" {
		t.Errorf("left behind: %q", left)
	}
	var out bytes.Buffer
	err := s.Script(ctx(t), srv.URL+"/script", func(b []byte) { out.Write(b) }, "a b", "$x'", "6")
	if status(err) != 6 || out.String() != "3 <a b> <$x'>\n" {
		t.Errorf("script: %q, %v", out.String(), err)
	}
	if left := run(t, s, "ls /tmp/dutflash-*.sh 2>/dev/null; :"); left != "" {
		t.Errorf("left behind: %q", left)
	}
}

func TestConcurrentCommandsTakeTurns(t *testing.T) {
	s := loggedIn(t)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			want := fmt.Sprintf("%d\n", i)
			if got, err := s.Run(ctx(t), fmt.Sprintf("sleep 0.01; echo %d", i)); got != want || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	wg.Wait()
}

func TestConsoleClosedWhileACommandRuns(t *testing.T) {
	s := loggedIn(t)
	err := s.Stream(ctx(t), "echo x; sleep 1000", func([]byte) { go s.Console().Close() })
	if !errors.Is(err, console.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

// Without a controlling terminal Ctrl-C reaches nobody, and the error says so.
func TestShellWithoutControllingTerminal(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(busyboxArgs(t)[0], "sh", "-i")
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = slave, slave, slave, attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); cmd.Wait() })
	s := session(t, pollable(t, master))
	login(t, s)
	if got := run(t, s, "echo a"); got != "a\n" {
		t.Errorf("got %q", got)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := s.Run(short, "sleep 1000"); !errors.Is(err, busybox.ErrShellLost) || !strings.Contains(err.Error(), "controlling terminal") {
		t.Errorf("error %v", err)
	}
}

func TestOptions(t *testing.T) {
	f := program(t, busyboxArgs(t)...)
	c := session(t, f).Console()
	for _, o := range []busybox.Option{
		busybox.WithCommandTimeout(0), busybox.WithLogger(nil), busybox.WithFailures(busybox.Failure{}),
		busybox.WithLogin(busybox.Login{Username: "a\nb"}),
	} {
		if _, err := busybox.New(c, o); !errors.Is(err, busybox.ErrConfig) {
			t.Errorf("error %v", err)
		}
	}
	if _, err := busybox.New(nil); !errors.Is(err, busybox.ErrConfig) {
		t.Errorf("nil console: %v", err)
	}
}

func TestToolsAndTargets(t *testing.T) {
	t.Parallel()
	s := loggedIn(t)
	tools, err := s.Tools(ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	if !tools.Has("dd") || !tools.DDInput["fullblock"] || !tools.DDConv["fsync"] || tools.CPUs < 1 || !strings.Contains(tools.Busybox, "BusyBox") {
		t.Errorf("%+v", tools)
	}
	if err := tools.Need("dd", "ubiformat"); !errors.Is(err, busybox.ErrNoTool) || !strings.Contains(err.Error(), "ubiformat") {
		t.Errorf("Need: %v", err)
	}
	if cmd, err := tools.Decompressor("xz"); err != nil || cmd != "xzcat" {
		t.Errorf("Decompressor: %q, %v", cmd, err)
	}
	for _, target := range []string{"/dev/no-such-disk", "/dev/null", "/sys/class/block#no-such-address"} {
		if _, err := s.BlockDevice(ctx(t), target); !errors.Is(err, busybox.ErrNoDevice) {
			t.Errorf("BlockDevice(%q): %v", target, err)
		}
	}
	for _, target := range []string{"mmcblk0", "/sys/class/block#", "/dev/a b'$(x)\n"} {
		if _, err := s.BlockDevice(ctx(t), target); !errors.Is(err, busybox.ErrConfig) {
			t.Errorf("BlockDevice(%q): %v", target, err)
		}
	}
	d := busybox.BlockDevice{Path: "/dev/x", Size: 100}
	if d.CheckTarget(100) != nil || !errors.Is(d.CheckTarget(101), busybox.ErrTooSmall) {
		t.Error("CheckTarget does not compare sizes")
	}
	d.ReadOnly = true
	if !errors.Is(d.CheckTarget(1), busybox.ErrReadOnly) {
		t.Error("CheckTarget lets a read-only device pass")
	}
}

func TestSecretsAreInNoErrorAndNoLog(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	s := loggedIn(t, busybox.WithLogger(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	s.AddSecret("tok'en 123")
	_, err := s.Run(ctx(t), "echo "+`'tok'\''en 123'`+"; false")
	var ce *busybox.CommandError
	if !errors.As(err, &ce) || ce.Output != "***\n" {
		t.Fatalf("error %v", err)
	}
	if _, err := s.Run(ctx(t), "echo 'tok'\\''en 123'; exit"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, late := s.Run(short, "echo 'tok'\\''en 123'; sleep 1000")
	for _, said := range []string{err.Error(), late.Error(), fmt.Sprintf("%+v", ce), text.String()} {
		if strings.Contains(said, "en 123") {
			t.Errorf("the secret is in %q", said)
		}
	}
}

// A board without stty echoes what is typed and ends lines with CR LF.
func TestBoardWithoutStty(t *testing.T) {
	t.Parallel()
	dash := testtool.Need(t, "dash", "apt-get install dash")
	dir := t.TempDir()
	for _, name := range []string{"sh", "cat", "readlink", "sleep"} {
		path := testtool.Need(t, name, "apt-get install coreutils")
		if err := os.Symlink(path, dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		openTo(t, dir)
	}
	s := session(t, program(t, "/usr/bin/env", "PATH="+dir, dash, "-i"))
	login(t, s)
	for cmd, want := range map[string]string{
		"echo a": "a\n", "printf 'a\\r\\nb'": "a\r\nb", "true": "",
		"echo '[    1.000000] x'": "[    1.000000] x\n", "echo 'Kernel panic - not syncing: no'": "Kernel panic - not syncing: no\n",
	} {
		if got := run(t, s, cmd); got != want {
			t.Errorf("Run(%q) = %q", cmd, got)
		}
	}
	if _, err := s.Run(ctx(t), "exit 3"); status(err) != 3 {
		t.Errorf("exit: %v", err)
	}
}
