package image

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dutflash/dutflash/transport/image/internal/sparse"
)

// maxLayers is how many formats may be inside each other: .raw.xz is one,
// a sparse image in a gzip file is two.
const maxLayers = 2

// Reader gives the raw bytes of an image. Read must not be called concurrently;
// Close may be called at any time.
//
// The formats are told by magic number and undone one inside the other, up to
// two. Concatenated members, skippable frames, padding and anything else that
// follows the data are handled as the C tools do: xz takes padding of a multiple
// of four zeros, gzip takes any; gzip, bzip2 and simg2img ignore other bytes,
// which Warnings then tells; xz, zstd and lz4 refuse them, which is [ErrCorrupt].
// One thing is stricter: what differs by one bit from the header of a further
// member of gzip or bzip2 is taken for a damaged one and not ignored, because
// the image would be short.
//
// Data is good only when Read has returned io.EOF: checks follow what they are
// about.
type Reader struct {
	name    string
	formats []Format
	out     io.Reader
	n       int64 // raw bytes delivered
	stages  []io.Closer
	err     error
	closed  atomic.Bool

	mu       sync.Mutex
	warnings []string
}

// NewReader reads the start of r, tells the formats, and returns a reader of
// the raw bytes. Data that cannot be flashed is refused here: [ErrEmpty],
// [ErrUnsupportedFormat], or damage near the beginning. The Reader reads r in a
// goroutine until Close, and does not close r; a Close waits for a Read of r
// that is going on.
func NewReader(r io.Reader, opts ...ReaderOption) (*Reader, error) {
	c, err := newReaderConfig(opts)
	if err != nil {
		return nil, fail("read", "", err)
	}
	rd := &Reader{name: c.name}
	c.warn = func(text string) { rd.warn(c, text) }
	if err := rd.build(r, c); err != nil {
		if c.refused != nil {
			c.refused(err)
		}
		rd.Close()
		return nil, fail("read", c.name, err)
	}
	return rd, nil
}

func (rd *Reader) build(r io.Reader, c *readerConfig) error {
	ahead := newReadAhead(r)
	rd.stages = append(rd.stages, ahead)
	in := &counter{r: ahead}
	for depth := 0; ; depth++ {
		buf := bufio.NewReaderSize(in, 64<<10)
		head, err := buf.Peek(sniffLen)
		if len(head) == 0 {
			if err == io.EOF {
				err = ErrEmpty
			}
			return err
		}
		if err != nil && err != io.EOF {
			return err
		}
		format, err := detect(head)
		if err != nil && c.tar && len(head) > 262 && string(head[257:262]) == "ustar" {
			err = nil
		}
		if err != nil {
			return err
		}
		if format == FormatRaw || depth > 0 && rd.formats[depth-1] == FormatSparse {
			// What a sparse image holds is the disk, whatever it looks like.
			rd.formats = append(rd.formats, FormatRaw)
			rd.out = buf
			return nil
		}
		if depth == maxLayers {
			return fmt.Errorf("%w: %s inside %s inside %s; unpack the outer one first",
				ErrUnsupportedFormat, format, rd.formats[1], rd.formats[0])
		}
		rd.formats = append(rd.formats, format)
		stage, err := newStage(format, buf, in, c)
		if err != nil {
			return err
		}
		rd.stages = append(rd.stages, stage)
		c = c.inner()
		in = &counter{r: stage}
		if format != FormatXZ && format != FormatSparse { // those decode in goroutines, or not at all
			after := newReadAhead(stage)
			rd.stages = append(rd.stages, after)
			in.r = after
		}
	}
}

// Formats returns the chain of formats from the outermost to [FormatRaw].
func (rd *Reader) Formats() []Format { return slices.Clone(rd.formats) }

// Read implements io.Reader. Its errors are of type [*Error], name the format
// that failed and the offset in it, and wrap [ErrTruncated], [ErrCorrupt],
// [ErrTooLarge], or the error of the source.
func (rd *Reader) Read(p []byte) (int, error) {
	if rd.err != nil {
		return 0, rd.err
	}
	n, err := rd.out.Read(p)
	rd.n += int64(n)
	switch {
	case err == io.EOF && rd.n == 0:
		err = fail("read", rd.name, ErrEmpty)
	case err != nil && err != io.EOF:
		if rd.closed.Load() {
			err = ErrClosed
		}
		err = fail("read", rd.name, err)
	}
	rd.err = err
	return n, err
}

// Warnings returns what the C tool would warn of, such as bytes after the end of
// the data that are ignored, for a person to read. It is complete when Read has
// returned io.EOF, and may be called at any time.
func (rd *Reader) Warnings() []string {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	return slices.Clone(rd.warnings)
}

func (rd *Reader) warn(c *readerConfig, text string) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	rd.warnings = append(rd.warnings, text)
	c.log.Warn(text, "source", rd.name)
}

// Close ends the goroutines and waits for them. It is idempotent.
func (rd *Reader) Close() error {
	if rd.closed.Swap(true) {
		return nil
	}
	for _, s := range slices.Backward(rd.stages) {
		s.Close()
	}
	return nil
}

// counter counts what a stage took and keeps the error of what is before it,
// which is not to be mistaken for damage.
type counter struct {
	r   io.Reader
	n   atomic.Int64
	err atomic.Pointer[error]
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	if err != nil && err != io.EOF {
		c.err.Store(&err)
	}
	return n, err
}

// stage undoes one format.
type stage struct {
	io.Reader
	close  func() error
	format Format
	in     *counter
	buf    *bufio.Reader
	file   *randomAccess // read in place of buf, if not nil
}

func newStage(format Format, buf *bufio.Reader, in *counter, c *readerConfig) (*stage, error) {
	s := &stage{format: format, in: in, buf: buf, close: func() error { return nil }}
	if err := s.open(c); err != nil {
		return nil, s.explain(err)
	}
	return s, nil
}

func (s *stage) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = s.explain(err)
	}
	return n, err
}

func (s *stage) Close() error { return s.close() }

// explain says which format failed where, and tells what the decoder found from
// what the source failed with.
func (s *stage) explain(err error) error {
	if src := s.in.err.Load(); src != nil {
		return *src
	}
	if s.file != nil {
		if src := s.file.err.Load(); src != nil {
			return *src
		}
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	offset := s.in.n.Load() - int64(s.buf.Buffered())
	if s.file != nil {
		offset = -1 // it is read at several places
	}
	return &Error{Op: "decode " + string(s.format), Offset: offset, Err: classify(err)}
}

// openSparse is here and not with the decompressors: it unpacks nothing.
func (s *stage) openSparse(warn func(string)) error {
	r, err := sparse.NewReader(s.buf, func() {
		warn("android-sparse: what follows the last chunk was ignored, as simg2img does")
	})
	s.Reader = r
	return err
}
