package image

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/dutflash/dutflash/internal/xz"
	"github.com/dutflash/dutflash/transport/image/internal/sparse"
)

// maxZstdWindow is the largest window that the format has (RFC 8878, 3.1.1.1.2), and
// more than the decoder takes for a limit is an error.
const maxZstdWindow = 1<<41 + 7<<38

func (s *stage) open(c *readerConfig) error {
	switch s.format {
	case FormatXZ:
		r, err := s.openXZ(c.file, xz.Options{Workers: c.workers, MemoryLimit: c.memory})
		if err != nil {
			return err
		}
		s.Reader, s.close = r, r.Close
	case FormatLZMA:
		// The properties byte is (pb*5 + lp)*9 + lc, and liblzma bounds lc + lp.
		if b, err := s.buf.Peek(1); err == nil && b[0]%9+b[0]/9%5 > 4 {
			return fmt.Errorf("%w: lzma with lc + lp of %d, and xz takes no more than 4", ErrUnsupportedFormat, b[0]%9+b[0]/9%5)
		}
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
		s.Reader = &gzipMembers{r: r, in: s.buf, warn: c.warn}
	case FormatBzip2:
		s.Reader = newBzip2(s.buf, c.warn)
	case FormatZstd:
		r, err := zstd.NewReader(s.buf, zstd.WithDecoderConcurrency(c.workers), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(min(c.memory, maxZstdWindow))), zstd.WithDecoderMaxMemory(1<<63))
		if err != nil {
			return err
		}
		s.Reader, s.close = r, func() error { r.Close(); return nil }
	case FormatLZ4:
		r := lz4.NewReader(&lz4Frames{r: s.buf})
		s.Reader = r
	case FormatSparse:
		return s.openSparse(c.warn)
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
