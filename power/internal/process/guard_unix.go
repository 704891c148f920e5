//go:build unix

package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// guard runs its arguments. Beside them it waits for the end of descriptor 3, whose
// other end this process holds: the kernel closes it when the process dies, even by
// SIGKILL. PR_SET_PDEATHSIG would reach the program, but not what it started, and
// there is no such thing outside Linux.
const guard = `
{ read -r _ <&3; kill -KILL 0; } </dev/null >/dev/null 2>&1 &
guard=$!
exec 3<&-
"$@"
status=$?
exec 2>/dev/null
kill -KILL $guard
exit $status`

// guarded returns a command for args that takes all it started along when ctx ends
// or this process dies, and what is to be called after it.
func guarded(ctx context.Context, args []string) (*exec.Cmd, func(), error) {
	alive, hold, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", guard, "sh"}, args...)...)
	cmd.ExtraFiles = []*os.File{alive}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	return cmd, func() { hold.Close(); alive.Close() }, nil
}
