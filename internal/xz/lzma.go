package xz

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// NewLZMAReader returns a reader of the .lzma file in r, the format from before
// xz. Such a file is one piece with nothing to check it by: truncation is
// found, and most damage, but not all. The dictionary must fit into
// Options.MemoryLimit, and Options.Workers is of no use here. Nothing may
// follow the compressed data, as xz -dc has it.
//
// The result starts no goroutine and must not be used concurrently, Close
// included. The decoder is that of github.com/ulikunitz/xz, which takes about
// three times as long as the one for xz here.
func NewLZMAReader(r io.Reader, opts Options) (io.ReadCloser, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	src := &remember{r: r}
	in := bufio.NewReaderSize(src, pieceSize)
	head, err := in.Peek(lzma.HeaderLen)
	if err != nil {
		return nil, fmt.Errorf("xz: lzma header: %w", truncated(err))
	}
	need := int64(binary.LittleEndian.Uint32(head[1:]))
	if size := binary.LittleEndian.Uint64(head[5:]); size < uint64(need) {
		need = int64(size)
	}
	if need > opts.MemoryLimit {
		return nil, fmt.Errorf("xz: lzma header: %w: the dictionary takes %d bytes, the limit is %d",
			ErrMemoryLimit, need, opts.MemoryLimit)
	}
	d, err := lzma.NewReader(in)
	if err != nil {
		return nil, src.explain(err)
	}
	return &lzmaReader{src: src, in: in, d: d}, nil
}

type lzmaReader struct {
	src *remember
	in  *bufio.Reader
	d   *lzma.Reader
	err error
}

// Read implements io.Reader.
func (l *lzmaReader) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.d.Read(p)
	if err == io.EOF {
		switch _, peek := l.in.Peek(1); peek {
		case io.EOF:
			l.err = io.EOF
		case nil:
			l.err = fmt.Errorf("xz: %w: something follows the lzma data", ErrCorrupt)
		default:
			l.err = l.src.explain(peek)
		}
	} else if err != nil {
		l.err = l.src.explain(err)
	}
	return n, l.err
}

// Close implements io.Closer.
func (l *lzmaReader) Close() error {
	l.err, l.d = ErrClosed, nil
	return nil
}

// remember keeps the error of a source, since the library has no sentinel for
// corruption that would tell its errors from the source's.
type remember struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (s *remember) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func (s *remember) explain(err error) error {
	switch {
	case s.err != nil:
		err = truncated(s.err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = ErrTruncated
	default:
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return fmt.Errorf("xz: lzma data: %w", err)
}
