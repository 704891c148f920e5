package console

import (
	"errors"

	"golang.org/x/sys/unix"
)

// waitReadable blocks until fd or wake has something to read, and tells
// whether it was wake. It uses select because poll on macOS does not work for
// terminals.
func waitReadable(fd, wake int) (woken bool, err error) {
	if fd >= unix.FD_SETSIZE || wake >= unix.FD_SETSIZE {
		return false, errors.New("too many open files for select")
	}
	var set unix.FdSet
	set.Zero()
	set.Set(fd)
	set.Set(wake)
	if _, err := unix.Select(max(fd, wake)+1, &set, nil, nil, nil); err != nil {
		return false, err
	}
	return set.IsSet(wake), nil
}
