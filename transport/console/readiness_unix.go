//go:build unix

package console

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// readiness waits until a file can be read, and can be woken from that: a
// terminal's Read itself cannot be interrupted without taking a key that was
// meant for somebody else.
type readiness struct {
	conn interface{ Control(func(uintptr)) error }
	r, w *os.File // a pipe that wakes us
	once sync.Once
}

// newReadiness returns nil where there is no way to wait for f, or no need: a
// file that Go itself waits for has deadlines, and can be closed meanwhile.
func newReadiness(f *os.File) *readiness {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil
	}
	var flags int
	if err := conn.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0) }); err != nil {
		return nil
	}
	// Not by the deadline alone: it can be set for a file that was made
	// blocking, but then has no effect.
	if err == nil && flags&unix.O_NONBLOCK != 0 && f.SetReadDeadline(time.Time{}) == nil {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil
	}
	return &readiness{conn: conn, r: r, w: w}
}

// readable returns nil when the file has something (or its end, or an error),
// and errInterrupted after wake.
func (w *readiness) readable() error {
	pipe, err := w.r.SyscallConn()
	if err != nil {
		return err
	}
	var woken bool
	var waitErr error
	err = pipe.Control(func(wakefd uintptr) {
		err := w.conn.Control(func(fd uintptr) {
			for {
				woken, waitErr = waitReadable(int(fd), int(wakefd))
				if !errors.Is(waitErr, unix.EINTR) {
					return
				}
			}
		})
		if err != nil {
			waitErr = err
		}
	})
	switch {
	case err != nil:
		return err
	case waitErr != nil:
		return waitErr
	case woken:
		return errInterrupted
	}
	return nil
}

func (w *readiness) wake() {
	// Closing the writing end makes the other readable for good.
	w.once.Do(func() { w.w.Close() })
}

func (w *readiness) close() {
	w.wake()
	w.r.Close()
}
