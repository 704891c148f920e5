package xz

import "sync"

// window is the output of one block on its way from the goroutine that decodes
// it to the one that reads: a ring that is also the decoder's dictionary.
type window struct {
	buf  []byte
	done <-chan struct{} // closed when the reader is

	mu       sync.Mutex
	written  int64
	consumed int64
	err      error // after the last byte; io.EOF when the block is verified
	changed  chan struct{}
	freed    chan struct{}
}

func newWindow(buf []byte, done <-chan struct{}) *window {
	return &window{buf: buf, done: done, changed: make(chan struct{}, 1), freed: make(chan struct{}, 1)}
}

// signal wakes the one goroutine that waits on c, or the next one that will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// space waits until there is room and returns how much.
func (w *window) space() (int, error) {
	for {
		w.mu.Lock()
		n := len(w.buf) - int(w.written-w.consumed)
		w.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		select {
		case <-w.freed:
		case <-w.done:
			return 0, ErrClosed
		}
	}
}

// publish makes the next n bytes in the ring readable.
func (w *window) publish(n int) {
	w.mu.Lock()
	w.written += int64(n)
	w.mu.Unlock()
	signal(w.changed)
}

// write copies p into the ring, waiting for room.
func (w *window) write(p []byte) error {
	for len(p) > 0 {
		n, err := w.space()
		if err != nil {
			return err
		}
		at := int(w.written % int64(len(w.buf))) // only the writer changes it
		n = copy(w.buf[at:min(at+n, len(w.buf))], p)
		w.publish(n)
		p = p[n:]
	}
	return nil
}

// finish says that nothing more comes; err is io.EOF if all is well.
func (w *window) finish(err error) {
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	signal(w.changed)
}

// next waits for bytes and returns those that lie in one piece.
func (w *window) next() ([]byte, error) {
	for {
		w.mu.Lock()
		n, err := w.written-w.consumed, w.err
		w.mu.Unlock()
		if n > 0 {
			at := int(w.consumed % int64(len(w.buf))) // only the reader changes it
			return w.buf[at:min(int64(at)+n, int64(len(w.buf)))], nil
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-w.changed:
		case <-w.done:
			return nil, ErrClosed
		}
	}
}

// consume gives back the first n bytes that next returned.
func (w *window) consume(n int) {
	w.mu.Lock()
	w.consumed += int64(n)
	w.mu.Unlock()
	signal(w.freed)
}
