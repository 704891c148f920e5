//go:build !unix

package serial

import "os/exec"

// ownSession returns what kills the command.
func ownSession(cmd *exec.Cmd) (kill func()) { return func() { cmd.Process.Kill() } }
