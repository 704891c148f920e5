package image

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/dutflash/dutflash/internal/xz"
	"github.com/dutflash/dutflash/transport/image/internal/sparse"
)

func (s *stage) open(c *readerConfig) error {
	switch s.format {
	case FormatXZ:
		r, err := s.openXZ(c.file, xz.Options{Workers: c.workers, MemoryLimit: c.memory})
		if err != nil {
			return err
		}
		s.Reader, s.close = r, r.Close
	case FormatLZMA:
		r, err := xz.NewLZMAReader(s.buf, xz.Options{Workers: c.workers, MemoryLimit: c.memory})
		if err != nil {
			return err
		}
		s.Reader, s.close = r, r.Close
	case FormatGzip:
		r, err := gzip.NewReader(s.buf)
		if err != nil {
			return unexpected(err)
		}
		r.Multistream(false)
		s.Reader = &gzipMembers{r: r, in: s.buf}
	case FormatBzip2:
		in := &lastBytes{Reader: s.buf}
		s.Reader = &bzip2Padded{r: bzip2.NewReader(in), in: in}
	case FormatZstd:
		r, err := zstd.NewReader(s.buf, zstd.WithDecoderConcurrency(c.workers), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(c.memory)), zstd.WithDecoderMaxMemory(1<<63))
		if err != nil {
			return err
		}
		s.Reader, s.close = r, func() error { r.Close(); return nil }
	case FormatLZ4:
		r := lz4.NewReader(&lz4Frames{r: s.buf})
		s.Reader = r
	case FormatSparse:
		return s.openSparse()
	default:
		return fmt.Errorf("%w: no decoder for %s", ErrUnsupportedFormat, s.format)
	}
	return nil
}

// openXZ reads a file by its index where only that allows to decode its blocks
// at the same time.
func (s *stage) openXZ(file *randomAccess, opts xz.Options) (io.ReadCloser, error) {
	if file == nil || !xz.IndexHelps(file.r, file.size, opts) {
		return xz.NewReader(s.buf, opts)
	}
	s.file = file
	return xz.NewReaderAt(file, file.size, opts)
}

// classify gives the error of a decoder one of our sentinels.
func classify(err error) error {
	for _, known := range []error{ErrEmpty, ErrTruncated, ErrCorrupt, ErrTooLarge, ErrUnsupportedFormat, ErrClosed} {
		if errors.Is(err, known) {
			return err
		}
	}
	switch {
	case errors.Is(err, xz.ErrMemoryLimit), errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%w to decode within the memory limit, which DecodeMemoryLimit and WithMemoryLimit set: %w", ErrTooLarge, err)
	case errors.Is(err, xz.ErrUnsupported), errors.Is(err, zstd.ErrUnknownDictionary), errors.Is(err, sparse.ErrUnsupported):
		return fmt.Errorf("%w: %w", ErrUnsupportedFormat, err)
	case errors.Is(err, xz.ErrClosed), errors.Is(err, zstd.ErrDecoderClosed):
		return ErrClosed
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w (%v)", ErrTruncated, err)
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// unexpected is for decoders that call an early end io.EOF.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errTrailing = errors.New("something else follows the end of the compressed data")

// onlyZeros reads to the end and returns io.EOF where there are only zero
// bytes, which tapes and partitions are padded with.
func onlyZeros(r *bufio.Reader) error {
	for {
		b, err := r.Peek(1)
		if err != nil {
			return err
		}
		if b[0] != 0 {
			return errTrailing
		}
		b, _ = r.Peek(r.Buffered())
		n := 0
		for n < len(b) && b[n] == 0 {
			n++
		}
		r.Discard(n)
	}
}

// gzipMembers reads concatenated members and padding as gzip -dc does.
type gzipMembers struct {
	r  *gzip.Reader
	in *bufio.Reader
}

func (g *gzipMembers) Read(p []byte) (int, error) {
	for {
		n, err := g.r.Read(p)
		if n > 0 && err == io.EOF {
			return n, nil // the next Read finds the end again
		}
		if err != io.EOF {
			return n, err
		}
		magic, err := g.in.Peek(2)
		if len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
			if err := g.r.Reset(g.in); err != nil {
				return 0, unexpected(err)
			}
			g.r.Multistream(false)
			continue
		}
		if err != nil && err != io.EOF {
			return 0, err
		}
		if len(magic) == 1 && magic[0] == 0x1f {
			return 0, io.ErrUnexpectedEOF
		}
		return 0, onlyZeros(g.in)
	}
}

// lastBytes remembers the two bytes that were read last.
type lastBytes struct {
	*bufio.Reader
	last [2]byte
	n    int64
}

func (l *lastBytes) ReadByte() (byte, error) {
	b, err := l.Reader.ReadByte()
	if err == nil {
		l.last[0], l.last[1] = l.last[1], b
		l.n++
	}
	return b, err
}

// bzip2Padded forgives zeros after the last stream, as bzip2 -dc does.
type bzip2Padded struct {
	r  io.Reader
	in *lastBytes
}

// continuation is what compress/bzip2 says when something that is not a bzip2
// stream follows one; it has read two bytes of it then.
const continuation = bzip2.StructuralError("bad magic value in continuation file")

func (b *bzip2Padded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == continuation {
		err = errTrailing
		if b.in.last == [2]byte{} {
			err = onlyZeros(b.in.Reader)
		}
	}
	return n, err
}
