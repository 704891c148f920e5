package xz

import "sync"

// memory hands out the buffers of a reader and keeps their sum within the
// limit. Only one goroutine takes, and blocks until enough was given back;
// any may give back.
type memory struct {
	done  <-chan struct{}
	limit int64

	mu      sync.Mutex
	blocks  int64 // in flight
	input   int64 // what pieces may take
	pieced  int64 // what pieces take, idle ones included
	used    int64 // including what is idle
	idle    int64
	windows [][]byte // idle
	pieces  [][]byte // idle
	freed   chan struct{}
}

func newMemory(limit int64, done <-chan struct{}) *memory {
	return &memory{limit: limit, done: done, freed: make(chan struct{}, 1)}
}

// begin counts one more block in flight, once there are fewer than p allows.
// Its counterpart is end. From now on input that is read ahead leaves room for
// the windows of as many blocks, so that it need not be dropped for them.
func (m *memory) begin(p plan) error {
	for {
		m.mu.Lock()
		ok := m.blocks < p.inFlight
		if ok {
			m.blocks++
			m.input = max(inputSize, m.limit-p.inFlight*(p.window+p.history))
		}
		m.mu.Unlock()
		if ok {
			return nil
		}
		if err := m.wait(); err != nil {
			return err
		}
	}
}

// end says that a block is through.
func (m *memory) end() {
	m.mu.Lock()
	m.blocks--
	m.mu.Unlock()
	signal(m.freed)
}

// window returns a buffer of n bytes. more is what else the same block has or
// will want, and together that must be at most the limit.
func (m *memory) window(n, more int64) ([]byte, error) {
	for {
		if b, ok := m.tryWindow(n, more); ok {
			return b, nil
		}
		if err := m.wait(); err != nil {
			return nil, err
		}
	}
}

func (m *memory) wait() error {
	select {
	case <-m.freed:
		return nil
	case <-m.done:
		return ErrClosed
	}
}

func (m *memory) tryWindow(n, more int64) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	best := -1
	for i, w := range m.windows {
		// One that is much larger than it need be must not take away what the
		// block still has to get: that would wait for ever.
		if c := int64(cap(w)); c >= n && c+more <= m.limit && (best < 0 || cap(w) < cap(m.windows[best])) {
			best = i
		}
	}
	if best >= 0 {
		b := m.windows[best]
		m.windows = append(m.windows[:best], m.windows[best+1:]...)
		m.idle -= int64(cap(b))
		return b[:n], true
	}
	if m.used-m.idle+n > m.limit {
		return nil, false
	}
	m.trim(n)
	m.used += n
	return make([]byte, n), true
}

// trim forgets idle buffers until n more bytes fit. The caller holds mu.
func (m *memory) trim(n int64) {
	for m.used+n > m.limit && len(m.windows) > 0 {
		b := m.windows[len(m.windows)-1]
		m.windows = m.windows[:len(m.windows)-1]
		m.used -= int64(cap(b))
		m.idle -= int64(cap(b))
	}
	for m.used+n > m.limit && len(m.pieces) > 0 {
		m.pieces = m.pieces[:len(m.pieces)-1]
		m.pieced -= pieceSize
		m.used -= pieceSize
		m.idle -= pieceSize
	}
}

// putWindow gives back what window returned.
func (m *memory) putWindow(b []byte) {
	m.mu.Lock()
	m.windows = append(m.windows, b[:0])
	m.idle += int64(cap(b))
	m.mu.Unlock()
	signal(m.freed)
}

// piece returns a buffer of pieceSize bytes.
func (m *memory) piece() ([]byte, error) {
	for {
		if b, ok := m.tryPiece(); ok {
			return b, nil
		}
		if err := m.wait(); err != nil {
			return nil, err
		}
	}
}

func (m *memory) tryPiece() ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.pieces); n > 0 {
		b := m.pieces[n-1]
		m.pieces = m.pieces[:n-1]
		m.idle -= pieceSize
		return b, true
	}
	if m.pieced+pieceSize > m.input || m.used-m.idle+pieceSize > m.limit {
		return nil, false
	}
	m.trim(pieceSize)
	m.pieced += pieceSize
	m.used += pieceSize
	return make([]byte, pieceSize), true
}

// putPiece gives back what piece returned.
func (m *memory) putPiece(b []byte) {
	m.mu.Lock()
	m.pieces = append(m.pieces, b[:pieceSize])
	m.idle += pieceSize
	m.mu.Unlock()
	signal(m.freed)
}
