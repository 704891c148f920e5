// Package command switches a board's power with a shell command per action, for
// switches that have a tool of their own already.
//
// The commands cannot ask for anything: their standard input is empty, and on Unix
// they have no terminal. Keys and agents serve where a password would be asked for.
// A command that runs when the context ends is killed, on Unix with all that it
// started, and so it is when this process dies meanwhile, by SIGKILL or otherwise.
package command

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/internal/process"
)

// Commands are what is run. On and Off are required.
type Commands struct {
	On  string
	Off string
	// State prints on or off (1, 0, true and false will do, whatever their case) as
	// the last line of its output. On and Off then verify what they did.
	State string
	// Rescue leaves the board on in recovery mode. See [power.Rescuer].
	Rescue string
	// Shell is the program with its arguments that a command is given to as one more.
	// The default is sh -c.
	Shell []string
	// Dir is where they run; the default is the directory of this process.
	Dir string
	// Timeout is for one command (more than zero), beside the context of the call,
	// which is the only limit where it is zero.
	Timeout time.Duration
}

// Controller is a [power.Controller] that runs commands, a [power.StateReader] where
// there is one for the state, and a [power.Rescuer] where there is one for that. It
// may be used concurrently as far as the commands may.
type Controller struct {
	commands Commands
}

var (
	_ power.Controller  = (*Controller)(nil)
	_ power.StateReader = (*Controller)(nil)
	_ power.Rescuer     = (*Controller)(nil)
)

// New returns a Controller. Nothing is run yet.
func New(c Commands) (*Controller, error) {
	switch {
	case strings.TrimSpace(c.On) == "" || strings.TrimSpace(c.Off) == "":
		return nil, errors.New("power command: the commands for on and off are both required")
	case c.Timeout < 0:
		return nil, fmt.Errorf("power command: the timeout %v is negative", c.Timeout)
	case c.Shell != nil && (len(c.Shell) == 0 || c.Shell[0] == ""):
		return nil, errors.New("power command: the shell is empty")
	}
	c.Shell = slices.Clone(c.Shell)
	if c.Shell == nil {
		c.Shell = []string{"sh", "-c"}
	}
	return &Controller{commands: c}, nil
}

// On runs the command for on and returns when it has ended. An exit status other
// than 0 is a [*power.Error] that has the last line of the command's output, and by 126
// and 127 a shell says that it cannot run it: that is [power.ErrUnsupported].
func (c *Controller) On(ctx context.Context) error { return c.do(ctx, true) }

// Off runs the command for off, as On does.
func (c *Controller) Off(ctx context.Context) error { return c.do(ctx, false) }

// Rescue runs the command for it. Without one it is [power.ErrUnsupported].
func (c *Controller) Rescue(ctx context.Context) error {
	if c.commands.Rescue == "" {
		return &power.Error{Op: "rescue", Err: fmt.Errorf("%w: there is no command for it", power.ErrUnsupported)}
	}
	_, err := c.run(ctx, "rescue", c.commands.Rescue)
	return err
}

// State runs the command for it. Without one it is [power.ErrUnsupported], and where
// it says neither on nor off it is [power.ErrRefused].
func (c *Controller) State(ctx context.Context) (bool, error) {
	if c.commands.State == "" {
		return false, &power.Error{Op: "state", Err: fmt.Errorf("%w: there is no command for it", power.ErrUnsupported)}
	}
	said, err := c.run(ctx, "state", c.commands.State)
	if err != nil {
		return false, err
	}
	switch strings.ToLower(said) {
	case "on", "1", "true":
		return true, nil
	case "off", "0", "false":
		return false, nil
	}
	return false, c.fail("state", c.commands.State, fmt.Errorf("%w: it says %.80q, which is neither on nor off", power.ErrRefused, said))
}

func (c *Controller) do(ctx context.Context, on bool) error {
	op, command := "off", c.commands.Off
	if on {
		op, command = "on", c.commands.On
	}
	if _, err := c.run(ctx, op, command); err != nil || c.commands.State == "" {
		return err
	}
	return c.verify(ctx, op, command, on)
}

// What a switch may take to do what its command has told it, and how often it is
// asked meanwhile.
const (
	verifyTime  = 10 * time.Second
	verifyEvery = 200 * time.Millisecond
)

// verify asks for the state until it is as commanded.
func (c *Controller) verify(ctx context.Context, op, command string, on bool) error {
	limit := time.NewTimer(verifyTime)
	defer limit.Stop()
	tick := time.NewTicker(verifyEvery)
	defer tick.Stop()
	for {
		got, err := c.State(ctx)
		if err != nil || got == on {
			return err
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return c.fail(op, command, fmt.Errorf("%w within %v", power.ErrState, verifyTime))
		case <-ctx.Done():
			return c.fail(op, command, fmt.Errorf("%w: %w", power.ErrState, context.Cause(ctx)))
		}
	}
}

// run returns the last line of a command's output.
func (c *Controller) run(ctx context.Context, op, command string) (said string, err error) {
	limited := ctx
	if c.commands.Timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, c.commands.Timeout)
		defer cancel()
	}
	out, err := process.Run(limited, c.commands.Dir, nil, append(slices.Clone(c.commands.Shell), command)...)
	text := strings.TrimSpace(string(out))
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	if err == nil {
		return text, nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && (exit.ExitCode() == 126 || exit.ExitCode() == 127) {
		// POSIX, "Exit Status for Commands": the shell cannot run it, or did not find it.
		err = fmt.Errorf("%w: there is no such program: %w", power.ErrUnsupported, err)
	}
	if limited.Err() != nil {
		err = fmt.Errorf("%w while it ran", context.Cause(limited))
		if ctx.Err() == nil {
			err = fmt.Errorf("it was not done within %v, its timeout: %w", c.commands.Timeout, context.Cause(limited))
		}
	}
	if text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return "", c.fail(op, command, err)
}

func (c *Controller) fail(op, command string, err error) error {
	return &power.Error{Op: op, Device: fmt.Sprintf("command %q", command), Err: err}
}
