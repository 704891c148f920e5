package serial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// reopenInterval is how often a port that has vanished is looked for.
const reopenInterval = 100 * time.Millisecond

// reopening is a local port that may vanish and come back under its name, as a
// USB adapter does that resets.
type reopening struct {
	open  func() (io.ReadWriteCloser, error)
	limit time.Duration

	mu     sync.Mutex
	port   io.ReadWriteCloser
	opened int // how often it was opened
	baud   int // the rate that was set since, or 0
	closed chan struct{}
	once   sync.Once

	searching sync.Mutex // held by whoever looks for the port
}

func openReopening(limit time.Duration, open func() (io.ReadWriteCloser, error)) (io.ReadWriteCloser, error) {
	p, err := open()
	if err != nil {
		return nil, err
	}
	return &reopening{open: open, limit: limit, port: p, closed: make(chan struct{})}, nil
}

func (r *reopening) current() (io.ReadWriteCloser, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.port, r.opened
}

// Read returns what the port says, and a line about it where it came back.
func (r *reopening) Read(p []byte) (int, error) {
	port, opened := r.current()
	n, err := port.Read(p)
	if err == nil || n > 0 || r.isClosed() {
		return n, err
	}
	away, err := r.search(opened, err)
	if err != nil {
		return 0, err
	}
	return copy(p, fmt.Sprintf("\r\n[dutflash: the serial port vanished and came back after %v]\r\n", away.Round(reopenInterval))), nil
}

// Write types, once more where the port has vanished meanwhile.
func (r *reopening) Write(p []byte) (int, error) {
	port, opened := r.current()
	n, err := port.Write(p)
	if err == nil || r.isClosed() {
		return n, err
	}
	if _, err := r.search(opened, err); err != nil {
		return n, err
	}
	port, _ = r.current()
	more, err := port.Write(p[n:])
	return n + more, err
}

// search looks for the port until it is there, unless somebody else has found it
// since it was opened that many times.
func (r *reopening) search(opened int, cause error) (away time.Duration, err error) {
	r.searching.Lock()
	defer r.searching.Unlock()
	old, now := r.current()
	if now != opened {
		return 0, nil
	}
	old.Close() // of a device that is gone
	begun := time.Now()
	tick := time.NewTicker(reopenInterval)
	defer tick.Stop()
	for {
		select {
		case <-r.closed:
			return 0, cause
		case <-tick.C:
		}
		port, err := r.open()
		if err == nil {
			r.mu.Lock()
			if r.baud != 0 {
				err = setBaudRate(context.Background(), port, r.baud)
			}
			if err == nil {
				r.port = port
				r.opened++
			}
			r.mu.Unlock()
			if err != nil {
				return 0, errors.Join(cause, err, port.Close())
			}
			if r.isClosed() {
				return 0, errors.Join(cause, port.Close())
			}
			return time.Since(begun), nil
		}
		if time.Since(begun) > r.limit {
			return 0, fmt.Errorf("%w: it vanished (%w) and was not there again within %v: %w", ErrNotFound, cause, r.limit, err)
		}
	}
}

func (r *reopening) isClosed() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// Close ends a search, too.
func (r *reopening) Close() (err error) {
	r.once.Do(func() {
		close(r.closed)
		port, _ := r.current()
		err = port.Close()
	})
	return err
}
