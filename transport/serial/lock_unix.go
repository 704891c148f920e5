//go:build unix

package serial

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// lockPort takes the advisory lock that tio, picocom and others take too, since
// the kernel's exclusive mode (TIOCEXCL) does not stop root.
func lockPort(path string) (io.Closer, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if err != nil {
		return nil, openError(err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("%w: another program has locked it", ErrBusy), unix.Close(fd))
	} // a device that cannot be locked is opened all the same
	return lockFD(fd), nil
}

type lockFD int

// Close frees the lock.
func (l lockFD) Close() error { return unix.Close(int(l)) }
