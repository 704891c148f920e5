package virtboard

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unread is how many bytes written to a socket its other end has not read; 0
// where that cannot be told.
func unread(conn net.Conn) int {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	if err := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
		return 0
	}
	if err != nil {
		return 0
	}
	return n
}
