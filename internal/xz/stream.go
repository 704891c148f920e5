package xz

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// NewReader returns a reader of the concatenated xz streams in r. It reads the
// first stream header at once, which gives [ErrFormat] where r is no xz data.
//
// The result also implements io.WriterTo, which saves a copy. Read and WriteTo
// must not be called concurrently; Close may be called at any time, and must be
// called unless an error or io.EOF came. It waits for a Read of r that is under
// way, so a caller whose source can stall unblocks the source first. r is read
// ahead, and may have been read beyond the end of the output when the reader is
// closed early; it is not closed.
func NewReader(r io.Reader, opts Options) (io.ReadCloser, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	f := &streamFeeder{in: &source{r: bufio.NewReaderSize(r, pieceSize)}}
	var b [headerSize]byte
	n, err := io.ReadFull(f.in, b[:])
	if k := min(n, len(headerMagic)); !bytes.Equal(b[:k], headerMagic[:k]) {
		return nil, fmt.Errorf("xz: %w: it starts with % x", ErrFormat, b[:n])
	}
	if err == nil {
		f.check, err = parseHeader(b[:])
	}
	if err != nil {
		return nil, fmt.Errorf("xz: stream header: %w", truncated(err))
	}
	return newReader(opts, f), nil
}

// source counts what is read.
type source struct {
	r   *bufio.Reader
	off int64
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.off += int64(n)
	return n, err
}

// ReadByte implements io.ByteReader.
func (s *source) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.off++
	}
	return b, err
}

// streamFeeder finds the blocks by reading from front to back.
type streamFeeder struct {
	in      *source
	check   checkType
	blocks  int
	decoder *decoder // for blocks of unknown size
}

func (f *streamFeeder) feed(r *reader) error {
	for {
		if err := f.stream(r); err != nil {
			return err
		}
		more, err := f.nextStream()
		if err != nil {
			return fmt.Errorf("xz: behind the stream that ends at byte %d: %w", f.in.off, truncated(err))
		}
		if !more {
			return nil
		}
	}
}

// stream reads one stream behind its header.
func (f *streamFeeder) stream(r *reader) error {
	sum := newIndexSum()
	for {
		at := f.in.off
		size, err := f.in.ReadByte()
		if err != nil {
			return fmt.Errorf("xz: block header at byte %d: %w", at, truncated(err))
		}
		if size == 0 {
			if err := f.end(sum); err != nil {
				return fmt.Errorf("xz: index at byte %d: %w", at, truncated(err))
			}
			return nil
		}
		f.blocks++
		b := &block{number: f.blocks, offset: at, check: f.check}
		header := make([]byte, (int(size)+1)*4)
		header[0] = size
		if _, err := io.ReadFull(f.in, header[1:]); err != nil {
			return b.wrap(err)
		}
		if b.header, err = parseBlockHeader(header); err != nil {
			return b.wrap(err)
		}
		b.compressed, b.uncompressed = b.header.compressed, b.header.uncompressed
		if b.compressed != unknown && b.uncompressed != unknown {
			err = f.ahead(r, b)
		} else {
			err = f.here(r, b)
		}
		if err != nil {
			return err
		}
		sum.add(b.unpadded(), b.uncompressed)
	}
}

// ahead reads a block of known size for a worker to decode.
func (f *streamFeeder) ahead(r *reader, b *block) error {
	if err := r.prepare(b, b.compressed, false); err != nil {
		return err
	}
	b.queue = newInputQueue(r.mem, r.done)
	b.src = b.queue
	if err := r.enqueue(b); err != nil {
		return err
	}
	size := b.compressed + padding(b.compressed) + b.check.size()
	if err := r.dispatch(b); err != nil {
		return err
	}
	for size > 0 {
		p, err := r.mem.piece()
		if err != nil {
			return err
		}
		n, err := io.ReadFull(f.in, p[:min(size, pieceSize)])
		b.queue.add(p[:n])
		size -= int64(n)
		if err != nil {
			b.queue.finish(truncated(err))
			return b.wrap(err)
		}
	}
	b.queue.finish(errPastBlock)
	return nil
}

// here decodes a block whose end shows only in decoding it.
func (f *streamFeeder) here(r *reader, b *block) error {
	if err := r.prepare(b, 0, true); err != nil {
		return err
	}
	b.src = f.in
	if err := r.enqueue(b); err != nil {
		return err
	}
	if f.decoder == nil {
		f.decoder = new(decoder)
	}
	return b.run(f.decoder)
}

// end reads the index, whose first byte was read, and the footer.
func (f *streamFeeder) end(sum *indexSum) error {
	found := newIndexSum()
	size, err := readIndex(f.in, func(count int64) error {
		if count != sum.count {
			return corrupt("the index lists %d blocks, the stream has %d", count, sum.count)
		}
		return nil
	}, found.add)
	if err != nil {
		return err
	}
	if !found.equal(sum) {
		return corrupt("the sizes in the index are not those of the blocks")
	}
	var b [headerSize]byte
	if _, err := io.ReadFull(f.in, b[:]); err != nil {
		return err
	}
	check, backward, err := parseFooter(b[:])
	switch {
	case err != nil:
		return err
	case check != f.check:
		return corrupt("the stream's header and footer name different checks")
	case backward != size:
		return corrupt("the footer says that the index has %d bytes, it has %d", backward, size)
	}
	return nil
}

// nextStream skips stream padding and reads the header of a further stream.
func (f *streamFeeder) nextStream() (bool, error) {
	var b [headerSize]byte
	var n int
	var err error
	for {
		n, err = io.ReadFull(f.in, b[:4])
		if err == io.EOF {
			return false, nil
		}
		if !bytes.Equal(b[:n], make([]byte, n)) {
			break
		}
		if err != nil {
			if err == io.ErrUnexpectedEOF {
				return false, corrupt("the stream padding is no multiple of four bytes")
			}
			return false, err
		}
	}
	if err := f.rest(b[:], n, err); err != nil {
		return false, err
	}
	f.check, err = parseHeader(b[:])
	return err == nil, err
}

// rest reads the rest of the stream header b, of which the first n bytes were
// read with the given error.
func (f *streamFeeder) rest(b []byte, n int, err error) error {
	if err == nil {
		var k int
		k, err = io.ReadFull(f.in, b[n:])
		n += k
	}
	if err != nil && truncated(err) != ErrTruncated {
		return err // the source's own
	}
	if k := min(n, len(headerMagic)); !bytes.Equal(b[:k], headerMagic[:k]) {
		return corrupt("neither padding nor a further stream follows, but % x", b[:k])
	}
	return err
}
