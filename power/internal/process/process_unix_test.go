//go:build unix

package process_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dutflash/dutflash/power/internal/process"
)

// forever is a script in a test's process of its own, see TestMain.
const forever = "DUTFLASH_TEST_FOREVER"

func TestMain(m *testing.M) {
	if script := os.Getenv(forever); script != "" {
		out, err := process.Run(context.Background(), "", nil, "sh", "-c", script)
		fmt.Printf("%s%v\n", out, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// held returns a script that starts a process, with which it holds a pipe open and
// does not end, and a function that returns once the script says so in the pipe,
// with one that waits until none of them is left.
func held(t *testing.T) (script string, up func() (gone func())) {
	t.Helper()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ready, end := make(chan error, 1), make(chan error, 1)
	go func() {
		f, err := os.Open(fifo) // when the script has opened it
		if err != nil {
			ready <- err
			return
		}
		defer f.Close()
		in := bufio.NewReader(f)
		_, err = in.ReadString('\n')
		ready <- err
		_, err = io.Copy(io.Discard, in) // until nobody has it open
		end <- err
	}()
	wait := func(c chan error, what string) {
		t.Helper()
		select {
		case err := <-c:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(time.Minute):
			t.Fatal(what)
		}
	}
	script = fmt.Sprintf("exec 9>%q; sleep 1000 & echo up >&9; wait", fifo)
	return script, func() func() {
		wait(ready, "the script did not start")
		return func() { wait(end, "something that the script started lives on") }
	}
}

func TestCancelKillsAllOfIt(t *testing.T) {
	script, up := held(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := process.Run(ctx, "", nil, "sh", "-c", script)
		ended <- err
	}()
	gone := up()
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error of a killed program")
	}
	gone()
}

// TestDeathKillsAllOfIt: nothing that a deferred function or a signal handler could
// do helps against SIGKILL.
func TestDeathKillsAllOfIt(t *testing.T) {
	script, up := held(t)
	us := exec.Command(os.Args[0])
	us.Env = append(os.Environ(), forever+"="+script)
	if err := us.Start(); err != nil {
		t.Fatal(err)
	}
	gone := up()
	if err := us.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	us.Wait()
	gone()
}

func TestRun(t *testing.T) {
	for _, tc := range []struct {
		name, script, out, err string
		env                    []string
	}{
		{name: "output of both kinds", script: "echo a; echo b >&2", out: "a\nb\n"},
		{name: "exit status", script: "echo no; exit 7", out: "no\n", err: "exit status 7"},
		{name: "no input", script: "cat; echo end", out: "end\n"},
		{name: "no terminal", script: "(echo asks >/dev/tty) 2>/dev/null || echo none", out: "none\n"},
		{name: "nothing of the guard's", script: "(echo >&3) 2>/dev/null || echo closed", out: "closed\n"},
		{name: "environment", script: `echo "$WHO"`, env: []string{"PATH=" + os.Getenv("PATH"), "WHO=me"}, out: "me\n"},
		{name: "words stay words", script: `echo "a  b" '$HOME'`, out: "a  b $HOME\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := process.Run(t.Context(), "", tc.env, "sh", "-c", tc.script)
			if string(out) != tc.out || err == nil != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %q, %v, want %q, %q", out, err, tc.out, tc.err)
			}
		})
	}
	// What it says apart from that is the shell's.
	if _, err := process.Run(t.Context(), "", nil, "sh", "-c", "kill -TERM $$"); err == nil || !strings.Contains(err.Error(), "exit status 143") {
		t.Errorf("killed by SIGTERM: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := process.Run(ctx, "", nil, "sh", "-c", "true"); err == nil {
		t.Error("it ran after the end of the context")
	}
}

// TestBackgroundStays: a command may start what serves the board from then on.
func TestBackgroundStays(t *testing.T) {
	script, up := held(t)
	script = fmt.Sprintf("(%s) >/dev/null 2>&1 & echo $!", strings.TrimSuffix(script, "; wait")+"; echo $! >&9; wait")
	out, err := process.Run(t.Context(), "", nil, "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	gone := up()
	var pid int
	if _, err := fmt.Sscan(string(out), &pid); err != nil {
		t.Fatal(err)
	}
	group, err := syscall.Getpgid(pid)
	if err != nil {
		t.Fatalf("the background process is gone: %v", err)
	}
	if err := syscall.Kill(-group, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone()
}
