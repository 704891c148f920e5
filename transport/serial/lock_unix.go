//go:build unix

package serial

import (
	"errors"
	"fmt"
	"io"
	"sync"

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
	return &lockFD{fd: fd}, nil
}

// lockFD is the descriptor that has the lock.
type lockFD struct {
	fd   int
	once sync.Once
}

// Close frees the lock, once: a descriptor's number may belong to another file
// after that, and a port that vanished is closed by whoever looks for it and by
// its user.
func (l *lockFD) Close() (err error) {
	l.once.Do(func() { err = unix.Close(l.fd) })
	return err
}
