package image

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// verifiedFile reads a file that others may write to at any time, a chunk at a
// time, and gives out only bytes of chunks that have the digest that was
// computed when the image was prepared. A chunk is kept until somebody has read
// its end, so that small reads do not read it again and again.
type verifiedFile struct {
	file *os.File
	most int    // chunks that are kept
	bad  func() // called when the file turns out to have changed

	mu   sync.Mutex
	kept []*verifiedChunk // least recently used first
	free [][]byte
}

// verifiedChunk is a chunk in memory.
type verifiedChunk struct {
	off   int64
	users int  // readers that are at it
	gone  bool // no longer in kept; its buffer is free when users is 0
	once  sync.Once
	b     []byte
	err   error
}

// keptBytes bounds the chunks that are kept: 16 readers at different places, of
// the default size.
const keptBytes = 64 << 20

func newVerifiedFile(f *os.File, chunk int64, bad func()) *verifiedFile {
	return &verifiedFile{file: f, bad: bad, most: int(max(2, min(keptBytes/chunk, 64)))}
}

// readAt fills b from off on; chunks are those of size bytes each that were
// prepared so far.
func (v *verifiedFile) readAt(b []byte, off int64, chunks []Chunk, size int64) (int, error) {
	n := 0
	for n < len(b) {
		i := (off + int64(n)) / size
		if i >= int64(len(chunks)) {
			return n, io.ErrUnexpectedEOF
		}
		c := &chunks[i]
		from := off + int64(n) - c.Offset
		if from >= c.Size {
			return n, io.ErrUnexpectedEOF
		}
		end := min(from+int64(len(b)-n), c.Size)
		if c.Zero {
			clear(b[n : n+int(end-from)])
			n += int(end - from)
			continue
		}
		k := v.take(c.Offset)
		k.once.Do(func() { v.load(k, c) })
		err := k.err
		if err == nil {
			n += copy(b[n:], k.b[from:end])
		}
		v.give(k, err != nil || end == c.Size)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// take returns the chunk at off, which is not loaded yet if it is new.
func (v *verifiedFile) take(off int64) *verifiedChunk {
	v.mu.Lock()
	defer v.mu.Unlock()
	var k *verifiedChunk
	for i, have := range v.kept {
		if have.off == off {
			k = have
			v.kept = append(v.kept[:i], v.kept[i+1:]...)
			break
		}
	}
	if k == nil {
		if len(v.kept) >= v.most {
			v.drop(v.kept[0])
		}
		k = &verifiedChunk{off: off}
	}
	k.users++
	v.kept = append(v.kept, k)
	return k
}

// give says that a reader is through with k, and whether it need not be kept.
func (v *verifiedFile) give(k *verifiedChunk, done bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k.users--
	switch {
	case k.gone && k.users == 0:
		v.recycle(k)
	case done && !k.gone:
		v.drop(k)
	}
}

// drop takes k out of kept; the caller holds mu.
func (v *verifiedFile) drop(k *verifiedChunk) {
	for i, have := range v.kept {
		if have == k {
			v.kept = append(v.kept[:i], v.kept[i+1:]...)
			break
		}
	}
	k.gone = true
	if k.users == 0 {
		v.recycle(k)
	}
}

// recycle keeps a buffer or two for the next chunks; the caller holds mu.
func (v *verifiedFile) recycle(k *verifiedChunk) {
	if len(v.free) < 2 && k.b != nil {
		v.free = append(v.free, k.b[:cap(k.b)])
	}
	k.b = nil
}

// load reads and verifies a chunk.
func (v *verifiedFile) load(k *verifiedChunk, c *Chunk) {
	var b []byte
	v.mu.Lock()
	if n := len(v.free); n > 0 && int64(cap(v.free[n-1])) >= c.Size {
		b, v.free = v.free[n-1], v.free[:n-1]
	}
	v.mu.Unlock()
	if b == nil {
		b = make([]byte, c.Size)
	}
	k.b = b[:c.Size]
	n, err := v.file.ReadAt(k.b, c.Offset)
	switch {
	case int64(n) < c.Size && (err == io.EOF || err == nil):
		k.err = fmt.Errorf("%w: %s ends at byte %d", ErrChanged, v.file.Name(), c.Offset+int64(n))
	case int64(n) < c.Size:
		k.err = err
	case sha256.Sum256(k.b) != c.SHA256:
		k.err = fmt.Errorf("%w: %s has other bytes at %d to %d than when it was prepared; flash it again",
			ErrChanged, v.file.Name(), c.Offset, c.Offset+c.Size-1)
	}
	if errors.Is(k.err, ErrChanged) {
		v.bad()
	}
}
