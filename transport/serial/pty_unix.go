//go:build unix

package serial

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// pseudo is a pty whose other end has a name, for a program that wants a serial
// port. Our end stays open while nobody has the other.
type pseudo struct {
	master, slave *os.File
	link          string
	once          sync.Once
}

// openPTY makes a pty and a link to its other end at the path.
func openPTY(path string) (io.ReadWriteCloser, error) {
	blocking, slave, err := pty.Open()
	if err != nil {
		return nil, err
	}
	master, err := pollable(blocking)
	if err != nil {
		return nil, errors.Join(err, slave.Close())
	}
	p := &pseudo{master: master, slave: slave, link: path}
	// Raw, as a board's line is: nothing echoes and nothing is translated.
	if _, err = term.MakeRaw(int(slave.Fd())); err == nil {
		err = os.Symlink(slave.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(err, master.Close(), slave.Close())
	}
	return p, nil
}

// pollable returns the same file so that Close ends a Read that waits. pty.Open uses
// File.Fd, after which a Read waits in the kernel, where Close does not reach it
// while a program has the other end. The file that is given is closed.
func pollable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd), f.Close())
	}
	return os.NewFile(uintptr(fd), f.Name()), f.Close()
}

func (p *pseudo) Read(b []byte) (int, error)  { return p.master.Read(b) }
func (p *pseudo) Write(b []byte) (int, error) { return p.master.Write(b) }

// Close takes the link away, too.
func (p *pseudo) Close() (err error) {
	p.once.Do(func() { err = errors.Join(os.Remove(p.link), p.master.Close(), p.slave.Close()) })
	return err
}
