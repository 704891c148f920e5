package console

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// errInterrupted is what a read of an input gives after interrupt.
var errInterrupted = errors.New("reading was interrupted")

// input is a reader that can be interrupted where the system lets us.
type input struct {
	r    io.Reader
	wait *readiness // for files, where the system has it
}

func newInput(r io.Reader) *input {
	in := &input{r: r}
	if f, ok := r.(*os.File); ok {
		in.wait = newReadiness(f)
	}
	return in
}

func (in *input) read(p []byte) (int, error) {
	if in.wait != nil {
		if err := in.wait.readable(); err != nil {
			return 0, err
		}
	}
	n, err := in.r.Read(p)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = errInterrupted
	}
	return n, err
}

// interrupt makes a read return, and reports whether it can.
func (in *input) interrupt() bool {
	if in.wait != nil {
		in.wait.wake()
		return true
	}
	d, ok := in.r.(interface{ SetReadDeadline(time.Time) error })
	return ok && d.SetReadDeadline(time.Unix(1, 0)) == nil
}

// release undoes interrupt, after the read has returned.
func (in *input) release() {
	if in.wait != nil {
		in.wait.close()
		return
	}
	if d, ok := in.r.(interface{ SetReadDeadline(time.Time) error }); ok {
		// It was possible a moment ago; where it is not now, the reader is
		// closed.
		_ = d.SetReadDeadline(time.Time{})
	}
}

// makeRaw puts a terminal into raw mode; for anything else it does nothing.
func makeRaw(r io.Reader) (restore func() error, err error) {
	nothing := func() error { return nil }
	f, ok := r.(*os.File)
	if !ok {
		return nothing, nil
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	// Not f.Fd(), which would change how the file blocks.
	var old *term.State
	var rawErr error
	if err := conn.Control(func(fd uintptr) {
		if term.IsTerminal(int(fd)) {
			old, rawErr = term.MakeRaw(int(fd))
		}
	}); err != nil {
		return nil, err
	}
	if rawErr != nil || old == nil {
		return nothing, rawErr
	}
	return func() error {
		var err error
		if cerr := conn.Control(func(fd uintptr) { err = term.Restore(int(fd), old) }); cerr != nil {
			return cerr
		}
		return err
	}, nil
}
