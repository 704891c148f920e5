//go:build unix && !linux

package virtboard

import "syscall"

// dieWithParent keeps a terminal's Ctrl-C from QEMU: the board is switched off
// by who switched it on. There is no way here to have QEMU killed when this
// process is.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
