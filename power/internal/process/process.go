// Package process runs the programs that switch a board's power, such that none of
// them outlives who asked for it.
package process

import (
	"context"
	"errors"
	"os/exec"
	"time"
)

// outputGrace is how long a program that has ended may leave its output open,
// for instance to a process that it started in the background.
const outputGrace = time.Second

// Run runs the program args[0] with the arguments after it until it ends, and
// returns what it wrote to standard output and standard error. Its standard input
// is empty. It runs in the directory dir and with the environment env, or those of
// this process where they are "" and nil.
//
// When ctx ends, the program and all that it started are killed (on Windows the
// program alone), and the error is that of the ended process: whoever calls looks
// at ctx. On Unix the same happens when this process dies, however it dies; the
// program has a session of its own, so that Ctrl-C at the terminal does not reach
// it, and no terminal to ask at. What it leaves running in the background after it
// ended by itself is left alone.
func Run(ctx context.Context, dir string, env []string, args ...string) (output []byte, err error) {
	cmd, done, err := guarded(ctx, args)
	if err != nil {
		return nil, err
	}
	defer done()
	cmd.Dir, cmd.Env = dir, env
	cmd.WaitDelay = outputGrace
	output, err = cmd.CombinedOutput()
	if errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		err = nil
	}
	return output, err
}
