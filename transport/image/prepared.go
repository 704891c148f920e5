package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/dutflash/dutflash/transport/image/internal/bmap"
)

// Chunk is a piece of the raw image.
type Chunk struct {
	Offset, Size int64 // bytes; all but the last chunk have the same size
	// Zero says that all bytes are zero.
	Zero bool
	// SHA256 is the digest of the bytes, also where they are zero.
	SHA256 [sha256.Size]byte
}

// Prepared is an image whose raw bytes can be read at any offset. All methods
// may be called concurrently, and by several users of the same image.
type Prepared struct {
	src    Source
	c      *prepareConfig
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced at each change of what follows
	avail     int64         // bytes from the start that can be read
	size      int64
	sha       string
	sourceSHA string
	formats   []Format
	chunks    []Chunk // up to avail
	mapped    []Extent
	done      bool
	err       error
	closed    bool

	blocks *bmap.Map // nil without; set before anything is read

	files    sync.RWMutex // held exclusively while file is exchanged
	file     *os.File
	part     *part         // while it is not in the cache
	entry    *entry        // once it is
	verified *verifiedFile // reads file where that is not in the cache
}

// Prepare starts to prepare an image in the background and returns at once;
// what fails later is the error of Wait. The end of ctx ends the preparation.
// The caller must Close the Prepared.
//
// A raw local file is used where it is; it must stay as it is until Close.
// When its digests are known from the last time, and its path, size and time
// are the same, it is not even read.
//
// The blocks of a local xz file are decoded on all cores also where only its
// index tells where they are; of what comes in a stream, the headers must.
//
// A source that the cache knows, by its identity, is not read again: the cached
// chunks are read and their digests compared, before anybody gets to see them,
// and where one differs the image is prepared anew. Where the same new source is
// prepared several times at once, in this process or others with the same
// cache, one does the work and the others follow it, chunk by chunk; when it
// gives up, another one takes its place. Sources without an identity (standard
// input, an fs.FS) are prepared by each for itself.
func Prepare(ctx context.Context, src Source, opts ...PrepareOption) (*Prepared, error) {
	c, err := newPrepareConfig(opts)
	if err == nil && src == nil {
		err = fmt.Errorf("%w: the source is nil", ErrInvalid)
	}
	if err != nil {
		return nil, fail("prepare", "", err)
	}
	p := &Prepared{src: src, c: c, size: -1, changed: make(chan struct{})}
	ctx, p.cancel = context.WithCancelCause(ctx)
	p.wg.Go(func() {
		err := p.run(ctx)
		if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		p.change(func() { p.done, p.err = true, err })
		p.cancel(nil)
	})
	return p, nil
}

// change changes the state and wakes everybody who waits.
func (p *Prepared) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Wait returns when the image is fully prepared and checked: nil, or why not
// ([*Error] with [ErrTruncated], [ErrChecksum], ...). The end of ctx ends only
// the waiting.
func (p *Prepared) Wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		done, err, closed, changed := p.done, p.err, p.closed, p.changed
		p.mu.Unlock()
		if closed && (!done || err == nil) {
			return fail("prepare", "", ErrClosed)
		}
		if done {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fail("wait for the prepared image", "", context.Cause(ctx))
		}
	}
}

// Begun returns when the image's first bytes are there: its server has answered, its
// format is known, and it is named in the checksum file, if there is one. What keeps
// them away is the error, as that of Wait. The end of ctx ends only the waiting.
func (p *Prepared) Begun(ctx context.Context) error {
	for {
		p.mu.Lock()
		begun, changed := p.formats != nil || p.avail > 0 || p.done || p.closed, p.changed
		p.mu.Unlock()
		if begun {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fail("wait for the image to begin", "", context.Cause(ctx))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed && p.err == nil {
		return fail("prepare", "", ErrClosed)
	}
	return p.err
}

// Size returns the raw size in bytes, -1 until it is known.
func (p *Prepared) Size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// SHA256 returns the digest of the raw image in hex, "" until Wait succeeds.
func (p *Prepared) SHA256() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sha
}

// SourceSHA256 returns the digest of the file as stored in hex, "" until Wait
// succeeds.
func (p *Prepared) SourceSHA256() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sourceSHA
}

// Formats returns the chain of formats, nil until it is known.
func (p *Prepared) Formats() []Format {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.formats)
}

// Chunks returns the chunks that cover the image from offset 0 without gaps,
// nil until Wait succeeds.
func (p *Prepared) Chunks() []Chunk {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.done || p.err != nil {
		return nil
	}
	return slices.Clone(p.chunks)
}

// ReadAt reads raw bytes. It blocks until they are there, the preparation
// fails, or the Prepared is closed. What it returns before Wait has succeeded
// can belong to an image that turns out to be damaged later on. At the end it
// behaves as [io.ReaderAt] says. Bytes of a raw local file that are no longer
// what they were when it was prepared are [ErrChanged].
func (p *Prepared) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fail("read", "", fmt.Errorf("%w: offset %d", ErrInvalid, off))
	}
	for {
		n, changed, err := p.readNow(b, off)
		if changed == nil {
			return n, err
		}
		<-changed
	}
}

// readNow reads what is there, or returns what to wait for.
func (p *Prepared) readNow(b []byte, off int64) (int, <-chan struct{}, error) {
	// The lock on the file comes first: it holds what avail is about in place.
	p.files.RLock()
	defer p.files.RUnlock()
	p.mu.Lock()
	avail, size, done, err, closed, changed, chunks := p.avail, p.size, p.done, p.err, p.closed, p.changed, p.chunks
	p.mu.Unlock()
	switch {
	case closed:
		return 0, nil, fail("read", "", ErrClosed)
	case err != nil:
		return 0, nil, err
	}
	want, end := int64(len(b)), false
	if size >= 0 && want > size-off {
		want, end = max(size-off, 0), true
	}
	if want > avail-off && want > 0 || size < 0 && len(b) > 0 && avail < off+want {
		if done {
			return 0, nil, fail("read", "", fmt.Errorf("%w: offset %d is missing", ErrCorrupt, off))
		}
		return 0, changed, nil
	}
	if want > 0 && p.file == nil {
		return 0, changed, nil // it failed, and why will be known in a moment
	}
	n, err := 0, error(nil)
	switch {
	case want == 0:
	case p.verified != nil:
		n, err = p.verified.readAt(b[:want], off, chunks, p.c.chunk)
	default:
		n, err = p.file.ReadAt(b[:want], off)
	}
	switch {
	case int64(n) == want && end:
		err = io.EOF
	case int64(n) == want:
		err = nil
	case err != nil:
		err = fail("read the prepared image", "", err)
	}
	return n, nil, err
}

// Close ends the preparation where it is still going on, waits for it, and
// removes what is not finished. Readers that wait get [ErrClosed]. It is
// idempotent. The image stays in the cache if it was finished.
func (p *Prepared) Close() error {
	p.change(func() { p.closed = true })
	p.cancel(ErrClosed)
	p.wg.Wait()
	p.release()
	return nil
}

// release gives the file back.
func (p *Prepared) release() {
	p.files.Lock()
	defer p.files.Unlock()
	if p.file != nil {
		p.file.Close()
		p.file, p.verified = nil, nil
	}
	if p.part != nil {
		p.part.remove()
		p.part = nil
	}
	if p.entry != nil {
		p.entry.lock.Unlock()
		p.entry = nil
	}
}
