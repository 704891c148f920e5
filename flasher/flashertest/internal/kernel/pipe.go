package kernel

import (
	"context"
	"io"
	"io/fs"
	"sync"
)

// pipeSize is the capacity of a pipe on Linux.
const pipeSize = 64 << 10

// pipe is a bounded queue of bytes between processes.
type pipe struct {
	mu      sync.Mutex
	buf     []byte
	from, n int
	change  chan struct{} // closed and replaced when something has changed
	readers int
	writers int
	// reads and writes count the ends that were ever opened, for a FIFO.
	reads, writes int
}

func newPipe() *pipe { return &pipe{change: make(chan struct{})} }

func (q *pipe) changed() {
	close(q.change)
	q.change = make(chan struct{})
}

// Pipe returns the two ends of a new pipe.
func Pipe() (r, w *File) {
	q := newPipe()
	q.readers, q.writers = 1, 1
	n := &Inode{}
	n.SetMode(fs.ModeNamedPipe | 0o600)
	return newFile("pipe:[1]", n, &pipeEnd{q: q, reads: true}, ReadOnly), newFile("pipe:[1]", n, &pipeEnd{q: q, writes: true}, WriteOnly)
}

// pipeEnd is one or both ends of a pipe.
type pipeEnd struct {
	q             *pipe
	reads, writes bool
}

func (e *pipeEnd) Seekable() bool { return false }
func (e *pipeEnd) Size() int64    { return 0 }

func (e *pipeEnd) Close() {
	e.q.mu.Lock()
	defer e.q.mu.Unlock()
	if e.reads {
		e.q.readers--
	}
	if e.writes {
		e.q.writers--
	}
	e.q.changed()
}

func (e *pipeEnd) Read(ctx context.Context, b []byte, _ int64) (int, error) {
	q := e.q
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.n == 0 {
		if q.writers == 0 {
			return 0, io.EOF
		}
		if err := q.wait(ctx); err != nil {
			return 0, err
		}
	}
	total := 0
	for q.n > 0 && len(b) > 0 {
		n := copy(b, q.buf[q.from:min(q.from+q.n, pipeSize)])
		q.from, q.n = (q.from+n)%pipeSize, q.n-n
		b, total = b[n:], total+n
	}
	q.changed()
	return total, nil
}

func (e *pipeEnd) Write(ctx context.Context, b []byte, _ int64) (int, error) {
	q := e.q
	q.mu.Lock()
	defer q.mu.Unlock()
	total := 0
	for len(b) > 0 {
		for q.n == pipeSize && q.readers > 0 {
			if err := q.wait(ctx); err != nil {
				return total, err
			}
		}
		if q.readers == 0 {
			return total, EPIPE
		}
		if q.buf == nil {
			q.buf = make([]byte, pipeSize)
		}
		at := (q.from + q.n) % pipeSize
		n := copy(q.buf[at:min(at+pipeSize-q.n, pipeSize)], b)
		q.n += n
		b, total = b[n:], total+n
		q.changed()
	}
	return total, nil
}

// wait waits for a change; mu is held before and after.
func (q *pipe) wait(ctx context.Context) error {
	change := q.change
	q.mu.Unlock()
	defer q.mu.Lock()
	select {
	case <-change:
		return nil
	case <-ctx.Done():
		return EINTR
	}
}

// openFIFO waits for the other end, as open(2) of a FIFO does.
func (q *pipe) openFIFO(ctx context.Context, flags int) (Driver, error) {
	e := &pipeEnd{q: q, reads: flags&3 != WriteOnly, writes: flags&3 != ReadOnly}
	q.mu.Lock()
	defer q.mu.Unlock()
	reads, writes := q.reads, q.writes
	if e.reads {
		q.readers++
		q.reads++
	}
	if e.writes {
		q.writers++
		q.writes++
	}
	q.changed()
	for e.reads && !e.writes && q.writers == 0 && q.writes == writes ||
		e.writes && !e.reads && q.readers == 0 && q.reads == reads {
		if err := q.wait(ctx); err != nil {
			if e.reads {
				q.readers--
			}
			if e.writes {
				q.writers--
			}
			q.changed()
			return nil, err
		}
	}
	return e, nil
}
