//go:build unix

package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	expect "github.com/Netflix/go-expect"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// AttachPTY makes a pseudo-terminal for another program; its path is
// [PTY.Name]. The terminal is in raw mode. The program gets the output that
// nobody has consumed so far and everything that follows, as the board prints
// it: secrets are not replaced there. What it writes is sent to the board.
// Expect by others goes on as if the program were not there. A program that
// does not read loses output after 256 KiB; the loss is logged.
//
// The terminal stays until [PTY.Close], until ctx ends, or as long as the
// session. Where there are no pseudo-terminals (Windows) the error wraps
// [ErrNotSupported].
func (c *Console) AttachPTY(ctx context.Context) (*PTY, error) {
	ptm, pts, err := pty.Open()
	if err != nil {
		return nil, c.fail("pty", nil, unsupported(err))
	}
	// The terminal is held open here, so that a program may come and go.
	err = raw(pts)
	var master *os.File
	if err == nil {
		master, err = pollable(ptm)
	}
	ptm.Close()
	if err != nil {
		pts.Close()
		return nil, c.fail("pty", nil, err)
	}
	b, err := c.connect(ctx, master, func() { pts.Close() })
	if err != nil {
		master.Close()
		pts.Close()
		return nil, c.fail("pty", nil, err)
	}
	return &PTY{name: pts.Name(), bridge: b}, nil
}

// ExpectConsole gives a Console of github.com/Netflix/go-expect on the session,
// for code that is written for it. It works through a pseudo-terminal in raw
// mode, as AttachPTY does, and has go-expect's ways: timeouts per read, no
// context, a timeout drops what was read. It ends with its own Close, with ctx,
// or with the session; a reader then gets what expect.EOF or expect.PTSClosed
// match.
//
// Where there are no pseudo-terminals (Windows) the error wraps
// [ErrNotSupported].
func (c *Console) ExpectConsole(ctx context.Context, opts ...expect.ConsoleOpt) (*expect.Console, error) {
	var b *bridge
	stop := closerFunc(func() error {
		if b != nil {
			b.stop()
		}
		return nil
	})
	ec, err := expect.NewConsole(append(slices.Clone(opts), expect.WithCloser(stop))...)
	if err != nil {
		return nil, c.fail("pty", nil, unsupported(err))
	}
	// go-expect reads and writes the one side; we are the program on the other.
	err = raw(ec.Tty())
	var slave *os.File
	if err == nil {
		slave, err = os.OpenFile(ec.Tty().Name(), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		b, err = c.connect(ctx, slave, func() {
			// The last one to hold that side: its readers see the end.
			ec.Tty().Close()
		})
		if err != nil {
			slave.Close()
		}
	}
	if err != nil {
		return nil, c.fail("pty", nil, errors.Join(err, ec.Close()))
	}
	return ec, nil
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

func unsupported(err error) error {
	if errors.Is(err, pty.ErrUnsupported) {
		return fmt.Errorf("opening a pseudo-terminal: %w", ErrNotSupported)
	}
	return fmt.Errorf("opening a pseudo-terminal: %w", err)
}

// raw sets a terminal to pass bytes on as they are.
func raw(f *os.File) error {
	if _, err := makeRaw(f); err != nil {
		return fmt.Errorf("setting the pseudo-terminal to raw mode: %w", err)
	}
	return nil
}

// pollable returns another handle of f whose Read and Write a Close makes
// return; the pty package leaves f in blocking mode.
func pollable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("preparing the pseudo-terminal: %w", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
