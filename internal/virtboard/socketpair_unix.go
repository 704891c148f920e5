//go:build unix

package virtboard

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// socketPair returns a connection and the file of its other end, for QEMU to
// inherit: no name in the file system, nobody else can connect, nothing to
// clean up.
func socketPair(name string) (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("%s socket pair: %w", name, err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name)
	conn, err := net.FileConn(ours) // a duplicate, driven by the runtime's poller
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("%s socket pair: %w", name, err)
	}
	return conn, theirs, nil
}
