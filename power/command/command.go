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
	"strings"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/internal/process"
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

func run(ctx context.Context, op, command string) error {
	out, err := process.Run(ctx, nil, "sh", "-c", command)
	switch {
	case err == nil:
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
