package virtboard

import "syscall"

// dieWithParent has the kernel kill QEMU when this process ends, however it
// does, and keeps a terminal's Ctrl-C from it: the board is switched off by who
// switched it on.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
