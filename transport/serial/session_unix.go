//go:build unix

package serial

import (
	"os/exec"
	"syscall"
)

// ownSession keeps the terminal's Ctrl-C from a command, and returns what kills the
// command with all that it started.
func ownSession(cmd *exec.Cmd) (kill func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
