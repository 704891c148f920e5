package console

import "sync"

// tapSize bounds what waits for a person or program that does not keep up.
const tapSize = 256 << 10

// tap is a bounded copy of everything that the port gives, for one who watches.
type tap struct {
	more chan struct{} // has a token while something waits

	mu    sync.Mutex
	queue []byte
	lost  int64
}

func newTap() *tap { return &tap{more: make(chan struct{}, 1)} }

// add never blocks: what does not fit is lost, and counted.
func (t *tap) add(p []byte) {
	t.mu.Lock()
	if fits := min(len(p), tapSize-len(t.queue)); fits == len(p) && t.lost == 0 {
		t.queue = append(t.queue, p...)
	} else {
		t.lost += int64(len(p))
	}
	t.mu.Unlock()
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// take returns what waits, and how much was lost after it.
func (t *tap) take() (b []byte, lost int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, lost = t.queue, t.lost
	t.queue, t.lost = nil, 0
	return b, lost
}

// watch registers a tap, and returns what was heard last and what nobody has
// consumed, both as of that moment. It fails once Close was called.
func (c *Console) watch() (t *tap, heard, unconsumed []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == ErrClosed {
		return nil, nil, nil, ErrClosed
	}
	t = newTap()
	c.taps[t] = struct{}{}
	heard = append(append([]byte(nil), c.hist.bytes()...), c.red.held...)
	return t, heard, append([]byte(nil), c.win.live()...), nil
}

func (c *Console) unwatch(t *tap) {
	c.mu.Lock()
	delete(c.taps, t)
	c.mu.Unlock()
}
