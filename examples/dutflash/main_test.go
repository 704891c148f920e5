//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain is the command itself where the tests below start it.
func TestMain(m *testing.M) {
	if os.Getenv("DUTFLASH_TEST_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// start checks a board whose console is silent and whose power switch is a shell
// command, and returns when the board has been switched on.
func start(t *testing.T, off string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	dir = t.TempDir()
	boards := fmt.Sprintf(`boards:
  a:
    flasher_bundle: ./none
    tftp_dir: .
    serial: "exec:cat"
    power: {type: command, on: "touch on", off: %q}
`, off)
	if err := os.WriteFile(filepath.Join(dir, "boards.yaml"), []byte(boards), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, self, "board", "check")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DUTFLASH_TEST_MAIN=1")
	output, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		output.Close()
		if said, err := os.ReadFile(output.Name()); t.Failed() {
			t.Logf("%v %s", err, said)
		}
	})
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, filepath.Join(dir, "on"), 0)
	return cmd, dir
}

// wait waits until a file is there and has so many lines, and returns it.
func wait(t *testing.T, file string, lines int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if text, err := os.ReadFile(file); err == nil && strings.Count(string(text), "\n") >= lines {
			return string(text)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("there is no %s", file)
		case <-tick.C:
		}
	}
}

// TestInterruptOnce: Ctrl-C, and the end of the terminal, stop cleanly and leave the
// board off, also where SIGTERM follows: timeout(1) sends it to the program and to its
// process group.
func TestInterruptOnce(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			cmd, dir := start(t, "echo off >>off")
			for _, sig := range []os.Signal{sig, syscall.SIGTERM, syscall.SIGTERM} {
				if err := cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
				t.Errorf("got %v, want exit status 130", err)
			}
			if off := wait(t, filepath.Join(dir, "off"), 0); off != "off\noff\n" { // of the cycle, and at the end
				t.Errorf("switched off: %q", off)
			}
			said, err := os.ReadFile(filepath.Join(dir, "output"))
			if err != nil || !strings.Contains(string(said), "\ndutflash: interrupted: board check: ") || strings.Contains(string(said), "last console lines") {
				t.Errorf("%v; it said %s", err, said)
			}
		})
	}
}

// TestInterruptTwice: a second Ctrl-C does not wait for a switch that hangs.
func TestInterruptTwice(t *testing.T) {
	t.Parallel()
	// A board file has "$$" for a dollar sign.
	cmd, dir := start(t, "echo $$$$ >>off; [ $$(wc -l <off) = 1 ] || exec sleep 60")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(wait(t, filepath.Join(dir, "off"), 2)) // it hangs now
	defer func() {
		if pid, err := strconv.Atoi(pids[1]); err == nil {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var err error
	for waiting := true; waiting; {
		select {
		case err = <-ended:
			waiting = false
		case <-tick.C: // one that comes right behind the first is taken for it
			cmd.Process.Signal(os.Interrupt)
		}
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("got %v, want exit status 130", err)
	}
	if said, err := os.ReadFile(filepath.Join(dir, "output")); err != nil || !strings.Contains(string(said), "interrupted twice") {
		t.Errorf("it waited for the switch (%v): %s", err, said)
	}
}
