package xz

import (
	"io"
	"sync"
)

// feeder finds the blocks and hands them to [reader.decode] in order. It
// returns nil at the verified end of the data.
type feeder interface {
	feed(r *reader) error
}

// reader puts the output of blocks that are decoded at the same time into
// order. Read and WriteTo must not be called concurrently with each other;
// Close may be called at any time.
type reader struct {
	opts   Options
	feeder feeder
	mem    *memory

	done  chan struct{} // closed by Close and on failure
	order chan *block   // in the order of output, closed after the last
	jobs  chan *block   // those that workers decode, likewise
	wg    sync.WaitGroup

	// feedErr is set before order is closed.
	feedErr error

	mu      sync.Mutex // guards started, stopped
	started bool
	stopped bool

	cur *block
	err error
}

func newReader(opts Options, f feeder) *reader {
	r := &reader{opts: opts, feeder: f, done: make(chan struct{})}
	r.mem = newMemory(opts.MemoryLimit, r.done)
	// Many small blocks should not make workers wait for the one that reads.
	r.order = make(chan *block, 4*opts.Workers)
	r.jobs = make(chan *block, 2*opts.Workers)
	return r
}

// start starts the goroutines, once.
func (r *reader) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started || r.stopped {
		return
	}
	r.started = true
	r.wg.Go(func() {
		r.feedErr = r.feeder.feed(r)
		close(r.jobs)
		close(r.order)
	})
	for range r.opts.Workers {
		r.wg.Go(r.work)
	}
}

func (r *reader) work() {
	var d *decoder // made when the first block comes
	for {
		select {
		case b, ok := <-r.jobs:
			if !ok {
				return
			}
			if d == nil {
				d = new(decoder)
			}
			b.run(d) // the block's reader gets the error
		case <-r.done:
			return
		}
	}
}

// enqueue makes b the next block of the output.
func (r *reader) enqueue(b *block) error {
	return r.send(r.order, b)
}

// dispatch lets a worker decode b.
func (r *reader) dispatch(b *block) error {
	return r.send(r.jobs, b)
}

func (r *reader) send(c chan<- *block, b *block) error {
	select {
	case c <- b:
		return nil
	case <-r.done:
		return ErrClosed
	}
}

// next returns output that lies in one piece.
func (r *reader) next() ([]byte, error) {
	if r.err == nil {
		r.start()
		select {
		case <-r.done: // closed, even though there may be output
			r.err = ErrClosed
		default:
		}
	}
	for r.err == nil {
		if r.cur == nil {
			select {
			case b, ok := <-r.order:
				if ok {
					r.cur = b
					continue
				}
				r.err = r.feedErr
				if r.err == nil {
					r.err = io.EOF
				}
			case <-r.done:
				r.err = ErrClosed
			}
			break
		}
		p, err := r.cur.win.next()
		if err == nil {
			return p, nil
		}
		if err != io.EOF {
			r.err = err
			break
		}
		r.release(r.cur)
		r.cur = nil
	}
	r.stop()
	return nil, r.err
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := r.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, b)
	r.cur.win.consume(n)
	return n, nil
}

// WriteTo implements io.WriterTo without copying: w gets pieces of the buffers
// that the blocks are decoded into.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		b, err := r.next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		// In steps, so that a decoder that waits for room can go on.
		n, err := w.Write(b[:min(len(b), stepSize)])
		total += int64(n)
		r.cur.win.consume(n)
		if err != nil {
			return total, err
		}
	}
}

// stop makes all goroutines end.
func (r *reader) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopped {
		r.stopped = true
		close(r.done)
	}
}

// Close implements io.Closer: it stops what is under way and waits for it. It
// cannot interrupt a Read of the source, so it returns only after that has
// returned.
func (r *reader) Close() error {
	r.stop()
	r.wg.Wait()
	return nil
}
