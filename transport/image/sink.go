package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// errCached says that a chunk in the cache is not what it was.
var errCached = errors.New("the cached image is damaged")

// hole is the granularity of holes in a stored image.
const hole = 64 << 10

// sink takes the raw bytes in order: one goroutine computes the digest of the
// whole, another those of the chunks, finds zeros and writes, while the caller
// decodes the next chunk.
type sink struct {
	p       *Prepared // told about progress; nil in a stream
	c       *prepareConfig
	source  int64        // size as stored, -1 if not known
	read    func() int64 // bytes read of the source; nil where it is not
	cached  *meta        // to verify against, when the bytes come from the cache
	follows bool         // what comes is prepared by somebody else
	out     *os.File     // nil if nothing is written
	dir     string
	also    []func([]byte, int64) error // further checks of the bytes in order

	raw    hash.Hash
	chunks []Chunk
	data   int64
	zero   [sha256.Size]byte // digest of a whole chunk of zeros

	free        chan *slab
	whole, each chan *slab
	quit        chan struct{}
	wg          sync.WaitGroup
	once        sync.Once
	mu          sync.Mutex
	err         error
}

// slab is a chunk on its way.
type slab struct {
	buf  []byte
	n    int
	off  int64
	uses atomic.Int32
}

const slabs = 4

func newSink(p *Prepared, source int64) *sink {
	s := &sink{p: p, source: source, raw: sha256.New(), free: make(chan *slab, slabs),
		whole: make(chan *slab, slabs), each: make(chan *slab, slabs), quit: make(chan struct{})}
	if p != nil {
		s.c = p.c
	}
	return s
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.quit)
	}
}

func (s *sink) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// stop ends the goroutines and waits for them.
func (s *sink) stop() {
	s.once.Do(func() { close(s.whole); close(s.each) })
	s.wg.Wait()
}

// fill reads r to its end and returns how much there was.
func (s *sink) fill(ctx context.Context, r io.Reader) (int64, error) {
	s.zero = sha256.Sum256(make([]byte, s.c.chunk))
	for range slabs {
		s.free <- &slab{}
	}
	s.wg.Go(func() { s.drain(s.whole, s.hashWhole) })
	s.wg.Go(func() { s.drain(s.each, s.store) })
	size, err := s.feed(ctx, r)
	s.stop()
	if failed := s.failure(); failed != nil {
		return size, failed
	}
	return size, err
}

func (s *sink) feed(ctx context.Context, r io.Reader) (int64, error) {
	var off int64
	for {
		var b *slab
		select {
		case b = <-s.free:
		case <-s.quit:
			return off, s.failure()
		case <-ctx.Done():
			return off, context.Cause(ctx)
		}
		if b.buf == nil {
			b.buf = make([]byte, s.c.chunk)
		}
		n, err := io.ReadFull(r, b.buf)
		if err == io.ErrUnexpectedEOF { // of ReadFull itself: the last chunk
			err = io.EOF
		}
		if err != nil && err != io.EOF {
			return off, err
		}
		if n > 0 {
			b.n, b.off = n, off
			off += int64(n)
			if off > s.c.maxSize {
				return off, tooLarge(s.c.maxSize)
			}
			b.uses.Store(2)
			s.whole <- b // never blocks: there are no more slabs than room
			s.each <- b
		}
		if err == io.EOF {
			return off, nil
		}
	}
}

func (s *sink) drain(in <-chan *slab, f func(*slab) error) {
	for b := range in {
		if s.failure() == nil {
			if err := f(b); err != nil {
				s.fail(err)
			}
		}
		if b.uses.Add(-1) == 0 {
			s.free <- b
		}
	}
}

func (s *sink) hashWhole(b *slab) error {
	s.raw.Write(b.buf[:b.n])
	for _, f := range s.also {
		if err := f(b.buf[:b.n], b.off); err != nil {
			return err
		}
	}
	return nil
}

// store computes what is to be known of a chunk and writes what is not zero.
func (s *sink) store(b *slab) error {
	data := b.buf[:b.n]
	c := Chunk{Offset: b.off, Size: int64(b.n), Zero: isZero(data)}
	if c.Zero && c.Size == s.c.chunk {
		c.SHA256 = s.zero
	} else {
		c.SHA256 = sha256.Sum256(data)
	}
	if s.cached != nil {
		if want := s.cached.Chunks[len(s.chunks)]; want == "" != c.Zero || want != "" && want != hex.EncodeToString(c.SHA256[:]) {
			return fmt.Errorf("%w: chunk at offset %d", errCached, c.Offset)
		}
	}
	s.chunks = append(s.chunks, c)
	if !c.Zero {
		s.data += c.Size
	}
	if s.out != nil {
		if err := s.write(data, b.off); err != nil {
			return diskError(err, s.dir)
		}
	}
	if s.p != nil {
		s.p.change(func() { s.p.avail, s.p.chunks = c.Offset+c.Size, s.chunks })
	}
	pr := Progress{SourceSize: s.source, RawBytes: c.Offset + c.Size, Cached: s.cached != nil || s.follows}
	if s.read != nil {
		pr.SourceBytes = s.read()
	}
	s.c.progress(pr)
	return nil
}

// write leaves holes where there are zeros.
func (s *sink) write(data []byte, off int64) error {
	from := 0 // of what is to be written
	for at := 0; at < len(data); {
		end := min(at+hole, len(data))
		if isZero(data[at:end]) {
			if err := s.put(data[from:at], off+int64(from)); err != nil {
				return err
			}
			from = end
		}
		at = end
	}
	if from < len(data) {
		return s.put(data[from:], off+int64(from))
	}
	// The file ends in a hole for now.
	return s.out.Truncate(off + int64(len(data)))
}

func (s *sink) put(b []byte, off int64) error {
	if len(b) == 0 {
		return nil
	}
	_, err := s.out.WriteAt(b, off)
	return err
}

var zeros [hole]byte

func isZero(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(zeros))
		if !bytes.Equal(b[:n], zeros[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}
