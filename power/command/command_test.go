package command_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/command"
)

func TestOnAndOff(t *testing.T) {
	testtool.Need(t, "sh", "a POSIX shell")
	state := filepath.Join(t.TempDir(), "state")
	c, err := command.New(command.Commands{On: "echo on >" + state, Off: "echo off >" + state})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		do   func(context.Context) error
		want string
	}{{c.On, "on\n"}, {c.Off, "off\n"}} {
		if err := tc.do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(state); err != nil || string(got) != tc.want {
			t.Errorf("the command wrote %q, %v; want %q", got, err, tc.want)
		}
	}
}

func TestFailures(t *testing.T) {
	testtool.Need(t, "sh", "a POSIX shell")
	c, err := command.New(command.Commands{On: "echo first; echo relay not found >&2; exit 3", Off: "sleep 1000"})
	if err != nil {
		t.Fatal(err)
	}
	var typed *power.Error
	if err := c.On(t.Context()); !errors.As(err, &typed) || !strings.Contains(err.Error(), "exit status 3: relay not found") {
		t.Errorf("got %v", err)
	}
	missing, err := command.New(command.Commands{On: "no-such-relay --on", Off: "/"})
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []func(context.Context) error{missing.On, missing.Off} {
		if err := do(t.Context()); !errors.Is(err, power.ErrUnsupported) || !strings.Contains(err.Error(), "exit status 12") {
			t.Errorf("what cannot be run: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Off(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := command.New(command.Commands{On: "true"}); err == nil {
		t.Error("New took no command for off")
	}
}

func TestState(t *testing.T) {
	testtool.Need(t, "sh", "a POSIX shell")
	dir := t.TempDir()
	c, err := command.New(command.Commands{On: "echo ON >state", Off: "echo asking; echo 0 >state", State: "echo it is; cat state",
		Rescue: "echo rescue >state", Shell: []string{"sh", "-eu", "-c"}, Dir: dir, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		do := c.Off
		if want {
			do = c.On
		}
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if on, err := c.State(t.Context()); err != nil || on != want {
			t.Errorf("state %v, %v; want %v", on, err, want)
		}
	}
	if err := c.Rescue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.State(t.Context()); !errors.Is(err, power.ErrRefused) || !strings.Contains(err.Error(), `"rescue", which is neither on nor off`) {
		t.Errorf("got %v, want ErrRefused with what it said", err)
	}
	plain, err := command.New(command.Commands{On: "true", Off: "true"})
	if err != nil {
		t.Fatal(err)
	}
	_, stateErr := plain.State(t.Context())
	for _, err := range []error{stateErr, plain.Rescue(t.Context())} {
		if !errors.Is(err, power.ErrUnsupported) {
			t.Errorf("without a command for it: %v, want ErrUnsupported", err)
		}
	}
}

// TestUnchangedState: a switch that takes the command and does nothing.
func TestUnchangedState(t *testing.T) {
	testtool.Need(t, "sh", "a POSIX shell")
	asked := filepath.Join(t.TempDir(), "asked")
	c, err := command.New(command.Commands{On: "true", Off: "true", State: "echo >>" + asked + "; echo off"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("asked often enough")
	go func() {
		for {
			if text, err := os.ReadFile(asked); err == nil && len(text) > 1 || ctx.Err() != nil {
				cancel(enough)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	defer cancel(nil)
	if err := c.On(ctx); !errors.Is(err, enough) {
		t.Errorf("got %v, want the end of the context", err)
	}
	if err := c.Off(t.Context()); err != nil {
		t.Errorf("off, which it is: %v", err)
	}
}

func TestTimeout(t *testing.T) {
	testtool.Need(t, "sh", "a POSIX shell")
	c, err := command.New(command.Commands{On: "sleep 1000", Off: "true", Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.On(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}

// TestCancelWhileItRuns: what a command started, and waits for, ends with it.
func TestCancelWhileItRuns(t *testing.T) {
	testtool.Need(t, "sh", "a POSIX shell")
	started := filepath.Join(t.TempDir(), "started")
	c, err := command.New(command.Commands{On: "true", Off: fmt.Sprintf("echo asking the relay; sleep 1000 & : >%q; wait", started)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Off(ctx) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(started); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the command did not start")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "asking the relay") {
		t.Errorf("got %v", err)
	}
}

func ExampleNew() {
	c, err := command.New(command.Commands{On: "echo on", Off: "echo off"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.On(context.Background()))
	// Output: <nil>
}
