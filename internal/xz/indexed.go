package xz

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
)

// NewReaderAt returns a reader of the xz file of the given size in r. It reads
// the index of each stream at once, so a file that is cut off or continued by
// something else is refused here, before any output. Everything else is as
// with [NewReader], but blocks are decoded at the same time even where their
// headers do not tell their sizes, and r is read by several goroutines at the
// same time, which io.ReaderAt allows.
func NewReaderAt(r io.ReaderAt, size int64, opts Options) (io.ReadCloser, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	var b [headerSize]byte
	n, err := io.ReadFull(io.NewSectionReader(r, 0, size), b[:])
	if k := min(n, len(headerMagic)); !bytes.Equal(b[:k], headerMagic[:k]) {
		return nil, fmt.Errorf("xz: %w: it starts with % x", ErrFormat, b[:n])
	}
	if err != nil {
		return nil, fmt.Errorf("xz: stream header: %w", truncated(err))
	}
	f, err := findStreams(r, size, opts)
	if err != nil {
		return nil, err
	}
	return newReader(opts, f), nil
}

// IndexHelps says whether [NewReaderAt] decodes the file of the given size in r
// at the same time where [NewReader] would not: it has several blocks, and the
// headers of some do not tell their sizes, as with xz -T1 --block-size. It
// reads the indexes and the header of one block of each stream. It is false
// where they cannot be read or are damaged, which NewReader finds with the
// place where it is.
func IndexHelps(r io.ReaderAt, size int64, opts Options) bool {
	opts, err := opts.withDefaults()
	if err != nil {
		return false
	}
	f, err := findStreams(r, size, opts)
	if err != nil || f.blocks < 2 {
		return false
	}
	for _, s := range f.streams {
		if len(s.blocks) == 0 {
			continue
		}
		// The size of the block header, then its flags.
		var b [2]byte
		if err := f.readAt(b[:], s.start+headerSize); err != nil {
			return false
		}
		if b[1]&hasCompressed == 0 || b[1]&hasUncompressed == 0 {
			return true
		}
	}
	return false
}

// findStreams reads the indexes of a file from its end to its start.
func findStreams(r io.ReaderAt, size int64, opts Options) (*indexFeeder, error) {
	f := &indexFeeder{r: r, limit: opts.MemoryLimit}
	for end := size; end > 0; {
		var err error
		if end, err = f.streamBefore(end, end == size); err != nil {
			return nil, err
		}
	}
	slices.Reverse(f.streams)
	return f, nil
}

// record is a block as an index lists it.
type record struct{ unpadded, uncompressed int64 }

// indexedStream is a stream that was found from its end.
type indexedStream struct {
	start  int64
	check  checkType
	blocks []record
}

// indexFeeder finds the blocks through the indexes at the ends of streams.
type indexFeeder struct {
	r       io.ReaderAt
	limit   int64
	blocks  int64
	streams []indexedStream // from the last to the first while they are found
}

func (f *indexFeeder) readAt(p []byte, off int64) error {
	n, err := f.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	return truncated(err)
}

// streamBefore finds the stream that ends at end, or at the padding before it,
// and returns where it starts.
func (f *indexFeeder) streamBefore(end int64, last bool) (int64, error) {
	padded := end
	end, err := f.skipPadding(end)
	if err != nil {
		return 0, fmt.Errorf("xz: stream padding: %w", err)
	}
	fail := func(err error) (int64, error) {
		return 0, fmt.Errorf("xz: stream that ends at byte %d: %w", end, err)
	}
	if end < 2*headerSize+8 {
		return fail(ErrTruncated)
	}
	var b [headerSize]byte
	if err := f.readAt(b[:], end-headerSize); err != nil {
		return fail(err)
	}
	switch {
	case bytes.Equal(b[10:], footerMagic) && (padded-end)%4 != 0:
		return fail(corrupt("the stream padding has %d bytes, no multiple of four", padded-end))
	case last && !bytes.Equal(b[10:], footerMagic):
		return fail(fmt.Errorf("no stream footer is there: %w", ErrTruncated))
	}
	check, size, err := parseFooter(b[:])
	if err != nil {
		return fail(err)
	}
	at := end - headerSize - size
	if at < headerSize {
		return fail(corrupt("an index of %d bytes does not fit before the footer", size))
	}
	s := indexedStream{check: check}
	total, err := f.readIndex(&s, at, size)
	if err != nil {
		return fail(fmt.Errorf("index at byte %d: %w", at, err))
	}
	s.start = at - total - headerSize
	if err := f.readAt(b[:], s.start); err != nil {
		return fail(err)
	}
	first, err := parseHeader(b[:])
	switch {
	case err == ErrFormat:
		return fail(corrupt("the index says that the stream starts at byte %d, where no stream header is", s.start))
	case err != nil:
		return fail(err)
	case first != check:
		return fail(corrupt("the stream's header and footer name different checks"))
	}
	f.streams = append(f.streams, s)
	return s.start, nil
}

// readIndex reads the index at the given place into s and returns the size of
// all blocks together.
func (f *indexFeeder) readIndex(s *indexedStream, at, size int64) (int64, error) {
	in := bufio.NewReader(io.NewSectionReader(f.r, at, size))
	if b, err := in.ReadByte(); err != nil {
		return 0, truncated(err)
	} else if b != 0 {
		return 0, corrupt("an index starts with 0x%02x", b)
	}
	var total, output int64
	fits := true
	n, err := readIndex(in, func(count int64) error {
		// A record takes at least two bytes in the file and 16 in memory.
		if count > size/2 {
			return corrupt("an index of %d bytes lists %d blocks", size, count)
		}
		f.blocks += count
		if need := 64*int64(len(f.streams)) + 16*f.blocks; need > f.limit {
			return fmt.Errorf("%w: the indexes take %d bytes, the limit is %d", ErrMemoryLimit, need, f.limit)
		}
		s.blocks = make([]record, 0, count)
		return nil
	}, func(unpadded, uncompressed int64) {
		s.blocks = append(s.blocks, record{unpadded, uncompressed})
		fits = fits && unpadded <= at && uncompressed <= maxVLI-output
		if fits {
			total += unpadded + padding(unpadded)
			output += uncompressed
			fits = total <= at-headerSize
		}
	})
	switch {
	case err == io.EOF:
		return 0, corrupt("the index is longer than the footer says")
	case err != nil:
		return 0, err
	case n != size:
		return 0, corrupt("the footer says that the index has %d bytes, it has %d", size, n)
	case !fits:
		return 0, corrupt("the index lists more than fits before it")
	}
	return total, nil
}

// skipPadding returns the end of what is before end and is not zero.
func (f *indexFeeder) skipPadding(end int64) (int64, error) {
	buf := make([]byte, 4<<10)
	for end > 0 {
		p := buf[:min(int64(len(buf)), end)]
		if err := f.readAt(p, end-int64(len(p))); err != nil {
			return 0, err
		}
		rest := bytes.TrimRight(p, "\x00")
		end -= int64(len(p) - len(rest))
		if len(rest) > 0 {
			break
		}
	}
	return end, nil
}

func (f *indexFeeder) feed(r *reader) error {
	number := 0
	for _, s := range f.streams {
		at := s.start + headerSize
		for _, rec := range s.blocks {
			number++
			b := &block{number: number, offset: at, check: s.check, uncompressed: rec.uncompressed}
			if err := f.block(r, b, rec); err != nil {
				return err
			}
			at += rec.unpadded + padding(rec.unpadded)
		}
	}
	return nil
}

// block reads the header of b and has a worker decode it.
func (f *indexFeeder) block(r *reader, b *block, rec record) error {
	var buf [1024]byte
	if err := f.readAt(buf[:1], b.offset); err != nil {
		return b.wrap(err)
	}
	if buf[0] == 0 {
		return b.wrap(corrupt("an index is where the index at the end lists a block"))
	}
	header := buf[:(int(buf[0])+1)*4]
	if err := f.readAt(header, b.offset); err != nil {
		return b.wrap(err)
	}
	var err error
	if b.header, err = parseBlockHeader(header); err != nil {
		return b.wrap(err)
	}
	h := &b.header
	b.compressed = rec.unpadded - h.size - b.check.size()
	switch {
	case b.compressed <= 0,
		h.compressed != unknown && h.compressed != b.compressed,
		h.uncompressed != unknown && h.uncompressed != b.uncompressed:
		return b.wrap(corrupt("the sizes in the index are not those of the block"))
	}
	if err := r.prepare(b, 0, f.blocks == 1); err != nil {
		return err
	}
	data := b.offset + h.size
	b.src = &section{r: f.r, off: data, end: data + b.compressed + padding(b.compressed) + b.check.size()}
	if err := r.enqueue(b); err != nil {
		return err
	}
	return r.dispatch(b)
}
