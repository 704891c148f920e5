//go:build unix && !darwin

package console

import "golang.org/x/sys/unix"

// waitReadable blocks until fd or wake has something to read, and tells
// whether it was wake.
func waitReadable(fd, wake int) (woken bool, err error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, -1); err != nil {
		return false, err
	}
	return fds[1].Revents != 0, nil
}
