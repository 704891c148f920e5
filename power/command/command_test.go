package command_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Off(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := command.New(command.Commands{On: "true"}); err == nil {
		t.Error("New took no command for off")
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
