package image

import (
	"io"
	"sync"
)

const (
	aheadBuffers = 4
	aheadSize    = 256 << 10
)

// readAhead reads from r in a goroutine of its own, so that the stage before
// and the stage after work at the same time.
type readAhead struct {
	full, free chan []byte
	done       chan struct{}
	wg         sync.WaitGroup
	once       sync.Once
	cur        []byte // what of buf was not read yet
	buf        []byte
	err        error // of r, valid when full is closed
}

func newReadAhead(r io.Reader) *readAhead {
	a := &readAhead{full: make(chan []byte, aheadBuffers), free: make(chan []byte, aheadBuffers), done: make(chan struct{})}
	for range aheadBuffers {
		a.free <- nil // made when needed
	}
	a.wg.Go(func() { a.fill(r) })
	return a
}

func (a *readAhead) fill(r io.Reader) {
	defer close(a.full)
	for {
		var buf []byte
		select {
		case buf = <-a.free:
		case <-a.done:
			a.err = ErrClosed
			return
		}
		if buf == nil {
			buf = make([]byte, aheadSize)
		}
		n, err := 0, error(nil)
		// Small reads of a network are passed on when a quarter is there.
		for err == nil && n < len(buf)/4 {
			var m int
			m, err = r.Read(buf[n:])
			n += m
		}
		if n > 0 {
			a.full <- buf[:n] // never blocks: there are no more buffers than room
		}
		if err != nil {
			a.err = err
			return
		}
	}
}

// Read implements io.Reader.
func (a *readAhead) Read(p []byte) (int, error) {
	for len(a.cur) == 0 {
		if a.buf != nil {
			a.free <- a.buf[:cap(a.buf)]
			a.buf = nil
		}
		b, ok := <-a.full
		if !ok {
			return 0, a.err
		}
		a.buf, a.cur = b, b
	}
	n := copy(p, a.cur)
	a.cur = a.cur[n:]
	return n, nil
}

// Close waits for the goroutine, which ends when its present Read of r does.
func (a *readAhead) Close() error {
	a.once.Do(func() { close(a.done) })
	a.wg.Wait()
	return nil
}
