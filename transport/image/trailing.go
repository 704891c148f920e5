package image

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/gzip"
)

var (
	errTrailing      = errors.New("something else follows the end of the compressed data")
	errDamagedMember = errors.New("what follows the end of the compressed data is all but one bit the start of a further member")
)

// ignoreRest reads to the end what follows the data of a format whose C tool
// ignores that, and warns where it is not only zeros.
func ignoreRest(r *bufio.Reader, warn func(string), format Format) error {
	for told := false; ; {
		_, err := r.Peek(1)
		if err != nil {
			return err // io.EOF if all is well
		}
		b, _ := r.Peek(r.Buffered())
		if !told && bytes.Count(b, []byte{0}) < len(b) {
			told = true
			warn(fmt.Sprintf("%s: what follows the end of the compressed data was ignored, as %s -dc does", format, format))
		}
		r.Discard(len(b))
	}
}

// nearly says whether b starts with magic but for one bit.
func nearly(b []byte, magic string) bool {
	if len(b) < len(magic) {
		return false
	}
	n := 0
	for i := range len(magic) {
		n += bits.OnesCount8(b[i] ^ magic[i])
	}
	return n == 1
}

// gzipMembers reads concatenated members, and what follows them as gzip -dc
// does.
type gzipMembers struct {
	r    *gzip.Reader
	in   *bufio.Reader
	warn func(string)
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
		magic, err := g.in.Peek(3)
		if len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b {
			if err := g.r.Reset(g.in); err != nil {
				return 0, unexpected(err)
			}
			g.r.Multistream(false)
			continue
		}
		switch {
		case err != nil && err != io.EOF:
			return 0, err
		case len(magic) == 1 && magic[0] != 0: // gzip reads two bytes
			return 0, io.ErrUnexpectedEOF
		case nearly(magic, "\x1f\x8b\x08"):
			return 0, errDamagedMember
		}
		return 0, ignoreRest(g.in, g.warn, FormatGzip)
	}
}

// bzip2Streams reads concatenated streams, and what follows them as bzip2 -dc
// does. compress/bzip2 finds further streams itself; when it finds something
// else, it has read one or two bytes of that.
type bzip2Streams struct {
	r    io.Reader
	in   *lastBytes
	warn func(string)
}

func newBzip2(in *bufio.Reader, warn func(string)) *bzip2Streams {
	last := &lastBytes{Reader: in}
	return &bzip2Streams{bzip2.NewReader(last), last, warn}
}

// What compress/bzip2 says of what follows a stream.
const (
	notBZ   = bzip2.StructuralError("bad magic value in continuation file")
	notH    = bzip2.StructuralError("non-Huffman entropy encoding")
	noLevel = bzip2.StructuralError("invalid compression level")
)

func (b *bzip2Streams) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	taken := 0
	switch {
	case err == notBZ:
		taken = 2
	case err == notH && b.in.endBefore(3):
		taken = 3
	case err == noLevel && b.in.endBefore(4):
		taken = 4
	case err == io.ErrUnexpectedEOF && b.in.last[len(b.in.last)-1] != 'B' && b.in.endBefore(1):
		taken = 1
	default:
		return n, err
	}
	start := bytes.Clone(b.in.last[len(b.in.last)-taken:])
	more, _ := b.in.Peek(10 - taken)
	start = append(start, more...)
	// The block magic tells a damaged header from text that starts with a B.
	if len(start) == 10 && string(start[4:]) == "\x31\x41\x59\x26\x53\x59" || nearly(start, "BZh") {
		return n, errDamagedMember
	}
	if bytes.Count(start, []byte{0}) == len(start) {
		return n, ignoreRest(b.in.Reader, b.warn, FormatBzip2)
	}
	b.warn("bzip2: what follows the end of the compressed data was ignored, as bzip2 -dc does")
	return n, ignoreRest(b.in.Reader, func(string) {}, FormatBzip2)
}

// lastBytes remembers the bytes that were read last.
type lastBytes struct {
	*bufio.Reader
	last [16]byte
}

func (l *lastBytes) ReadByte() (byte, error) {
	b, err := l.Reader.ReadByte()
	if err == nil {
		copy(l.last[:], l.last[1:])
		l.last[len(l.last)-1] = b
	}
	return b, err
}

// endBefore says whether a stream ended n bytes ago: its last 80 bits are a
// magic number and a checksum, which up to seven bits of padding follow.
func (l *lastBytes) endBefore(n int) bool {
	end := len(l.last) - n
	for pad := range 8 {
		// The magic number ends 32+pad bits before the end.
		from := end - 11
		high := uint64(l.last[from])
		low := binary.BigEndian.Uint64(l.last[from+1:]) // bits 16..80 before the end
		w := low>>(16+pad) | high<<(48-pad)
		if w&(1<<48-1) == 0x177245385090 {
			return true
		}
	}
	return false
}
