package xz

import (
	"io"
	"sync"
)

// pieceSize is the size of the pieces in which input is read ahead.
const pieceSize = 128 << 10

// inputQueue carries one block's compressed bytes from the goroutine that reads
// the source to the one that decodes the block. Its length is bounded by the
// memory that the feeding goroutine has to take for each piece.
type inputQueue struct {
	mem  *memory
	done <-chan struct{}

	mu      sync.Mutex
	pieces  [][]byte
	err     error // after the last piece
	dropped bool
	added   chan struct{}

	cur  []byte // what is left of the piece being read
	full []byte // that piece as it was
}

func newInputQueue(mem *memory, done <-chan struct{}) *inputQueue {
	return &inputQueue{mem: mem, done: done, added: make(chan struct{}, 1)}
}

// add queues a piece that came from mem.
func (q *inputQueue) add(p []byte) {
	q.mu.Lock()
	dropped := q.dropped
	if !dropped {
		q.pieces = append(q.pieces, p)
	}
	q.mu.Unlock()
	if dropped {
		q.mem.putPiece(p)
	}
	signal(q.added)
}

// finish says what Read returns behind the last piece.
func (q *inputQueue) finish(err error) {
	q.mu.Lock()
	q.err = err
	q.mu.Unlock()
	signal(q.added)
}

// Read implements io.Reader.
func (q *inputQueue) Read(p []byte) (int, error) {
	for len(q.cur) == 0 {
		if err := q.advance(); err != nil {
			return 0, err
		}
	}
	n := copy(p, q.cur)
	q.cur = q.cur[n:]
	return n, nil
}

// advance waits for the next piece.
func (q *inputQueue) advance() error {
	if q.full != nil {
		q.mem.putPiece(q.full)
		q.full = nil
	}
	for {
		q.mu.Lock()
		if len(q.pieces) > 0 {
			q.full = q.pieces[0]
			q.cur = q.full
			q.pieces[0] = nil
			q.pieces = q.pieces[1:]
			q.mu.Unlock()
			return nil
		}
		err := q.err
		q.mu.Unlock()
		if err != nil {
			return err
		}
		select {
		case <-q.added:
		case <-q.done:
			return ErrClosed
		}
	}
}

// drop gives all pieces back, those that are still to come included.
func (q *inputQueue) drop() {
	q.mu.Lock()
	pieces := q.pieces
	q.pieces, q.dropped = nil, true
	q.mu.Unlock()
	for _, p := range pieces {
		q.mem.putPiece(p)
	}
	if q.full != nil {
		q.mem.putPiece(q.full)
		q.full, q.cur = nil, nil
	}
}

var _ io.Reader = (*inputQueue)(nil)

// section reads the bytes of one block from a file.
type section struct {
	r        io.ReaderAt
	off, end int64
}

// Read implements io.Reader. Reading on behind the block's end is corruption,
// and io.EOF says that the file ends within it.
func (s *section) Read(p []byte) (int, error) {
	if s.off >= s.end {
		return 0, errPastBlock
	}
	p = p[:min(int64(len(p)), s.end-s.off)]
	n, err := s.r.ReadAt(p, s.off)
	s.off += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

var errPastBlock = corrupt("the data of a block goes on beyond the size it is said to have")
