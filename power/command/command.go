// Package command switches a board's power with a shell command per action, for
// switches that have a tool of their own already.
package command

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/dutflash/dutflash/power"
)

// Commands are what is run, each with "sh -c". On and Off are required.
type Commands struct {
	On  string
	Off string
}

// Controller is a [power.Controller] that runs commands. It may be used
// concurrently as far as the commands may.
type Controller struct {
	commands Commands
}

var _ power.Controller = (*Controller)(nil)

// New returns a Controller. Nothing is run yet.
func New(c Commands) (*Controller, error) {
	if strings.TrimSpace(c.On) == "" || strings.TrimSpace(c.Off) == "" {
		return nil, errors.New("power command: the commands for on and off are both required")
	}
	return &Controller{commands: c}, nil
}

// On runs the command for on and returns when it has ended. An exit status other
// than 0 is a [*power.Error] that has the last line of the command's output.
func (c *Controller) On(ctx context.Context) error { return run(ctx, "on", c.commands.On) }

// Off runs the command for off, as On does.
func (c *Controller) Off(ctx context.Context) error { return run(ctx, "off", c.commands.Off) }

// outputGrace is how long a command that has ended may leave its output open,
// for instance to a process that it started in the background.
const outputGrace = time.Second

func run(ctx context.Context, op, command string) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.WaitDelay = outputGrace
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil:
		return nil
	case ctx.Err() != nil:
		err = fmt.Errorf("%w while it ran", context.Cause(ctx))
	}
	text := strings.TrimSpace(string(out))
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	if text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return &power.Error{Op: op, Device: "command " + fmt.Sprintf("%q", command), Err: err}
}
