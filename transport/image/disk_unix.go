//go:build !windows

package image

import (
	"errors"
	"os"
	"syscall"
)

func diskFull(err error) bool { return errors.Is(err, syscall.EDQUOT) }

// makeSparse has nothing to do: a gap between writes is a hole.
func makeSparse(*os.File) error { return nil }

// lockFile takes a lock without waiting. It returns errBusy where somebody
// else holds it and errNoLocks where the file system has none.
func lockFile(f *os.File, exclusive bool) error {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errBusy
		case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EINVAL):
			return errNoLocks
		}
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
}
