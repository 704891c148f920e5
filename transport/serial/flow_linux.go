package serial

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// setFlow sets the flow control of a port that is open, through the descriptor that
// has its lock: the settings are the line's.
func setFlow(lock io.Closer, flow string) error {
	l, ok := lock.(*lockFD)
	if flow == "" || !ok {
		return nil
	}
	t, err := unix.IoctlGetTermios(l.fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("flow control: %w", err)
	}
	t.Cflag &^= unix.CRTSCTS
	t.Iflag &^= unix.IXON | unix.IXOFF
	switch flow {
	case "rtscts":
		t.Cflag |= unix.CRTSCTS
	case "xonxoff":
		t.Iflag |= unix.IXON | unix.IXOFF
	}
	if err := unix.IoctlSetTermios(l.fd, unix.TCSETS, t); err != nil {
		return fmt.Errorf("flow control: %w", err)
	}
	now, err := unix.IoctlGetTermios(l.fd, unix.TCGETS)
	if err == nil && (now.Cflag^t.Cflag)&unix.CRTSCTS != 0 {
		err = fmt.Errorf("the port's driver does not do flow=%s", flow)
	}
	return err
}
