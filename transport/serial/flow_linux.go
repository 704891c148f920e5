package serial

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// setLine sets the flow control of a port that is open, unless it is "", and keep,
// through the descriptor that has its lock: the settings are the line's.
func setLine(lock io.Closer, flow string, keep bool) error {
	l, ok := lock.(*lockFD)
	if flow == "" && !keep || !ok {
		return nil
	}
	t, err := unix.IoctlGetTermios(l.fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("line settings: %w", err)
	}
	if flow != "" {
		t.Cflag &^= unix.CRTSCTS
		t.Iflag &^= unix.IXON | unix.IXOFF
	}
	switch flow {
	case "rtscts":
		t.Cflag |= unix.CRTSCTS
	case "xonxoff":
		t.Iflag |= unix.IXON | unix.IXOFF
	}
	if keep {
		t.Cflag &^= unix.HUPCL
	}
	if err := unix.IoctlSetTermios(l.fd, unix.TCSETS, t); err != nil {
		return fmt.Errorf("line settings: %w", err)
	}
	now, err := unix.IoctlGetTermios(l.fd, unix.TCGETS)
	switch {
	case err != nil:
		return fmt.Errorf("line settings: %w", err)
	case (now.Cflag^t.Cflag)&unix.CRTSCTS != 0:
		return fmt.Errorf("the port's driver does not do flow=%s", flow)
	case (now.Cflag^t.Cflag)&unix.HUPCL != 0:
		return fmt.Errorf("the port's driver does not do hupcl=off")
	}
	return nil
}
