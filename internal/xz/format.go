package xz

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/dutflash/dutflash/internal/lzma2"
)

const (
	headerSize = 12 // of a stream header and of a stream footer
	maxVLI     = math.MaxInt64

	// The flags of a block header that say which sizes it has.
	hasCompressed   = 0x40
	hasUncompressed = 0x80
)

var (
	headerMagic = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
	footerMagic = []byte{'Y', 'Z'}
)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// truncated turns the errors with which io.ReadFull reports an early end into
// ErrTruncated, and leaves others as they are.
func truncated(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrTruncated
	}
	return err
}

// parseHeader reads a stream header of 12 bytes.
func parseHeader(b []byte) (checkType, error) {
	if !bytes.Equal(b[:6], headerMagic) {
		return 0, ErrFormat
	}
	if crc32.ChecksumIEEE(b[6:8]) != binary.LittleEndian.Uint32(b[8:]) {
		return 0, corrupt("the CRC32 of the stream header is wrong")
	}
	return parseFlags(b[6:8])
}

func parseFlags(b []byte) (checkType, error) {
	if b[0] != 0 || b[1] > 15 {
		return 0, fmt.Errorf("%w: stream flags %02x%02x", ErrUnsupported, b[0], b[1])
	}
	c := checkType(b[1])
	if !c.supported() {
		return 0, fmt.Errorf("%w: integrity check type %d", ErrUnsupported, c)
	}
	return c, nil
}

// parseFooter reads a stream footer of 12 bytes and returns the size of the
// index before it.
func parseFooter(b []byte) (checkType, int64, error) {
	if !bytes.Equal(b[10:], footerMagic) {
		return 0, 0, corrupt("the stream footer ends in % x", b[10:])
	}
	if crc32.ChecksumIEEE(b[4:10]) != binary.LittleEndian.Uint32(b) {
		return 0, 0, corrupt("the CRC32 of the stream footer is wrong")
	}
	c, err := parseFlags(b[8:10])
	return c, (int64(binary.LittleEndian.Uint32(b[4:])) + 1) * 4, err
}

// readVLI reads a number of variable length, which must be in its shortest
// form.
func readVLI(r io.ByteReader) (int64, error) {
	var v uint64
	for i := 0; i < 9; i++ {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b&0x80 == 0 {
			if b == 0 && i > 0 {
				return 0, corrupt("a number is not in its shortest form")
			}
			return int64(v), nil
		}
	}
	return 0, corrupt("a number has more than nine bytes")
}

// unknown stands for a size that a block header does not tell.
const unknown = -1

// filterSpec is one filter of a block header.
type filterSpec struct {
	id    int64
	props []byte
}

// blockHeader is what the header of a block says.
type blockHeader struct {
	size         int64 // of the header itself
	compressed   int64 // or unknown
	uncompressed int64 // or unknown
	dict         int64
	filters      []filterSpec // those before LZMA2, in the encoder's order
}

const filterLZMA2 = 0x21

// parseBlockHeader reads a whole block header, size byte and CRC32 included.
func parseBlockHeader(b []byte) (blockHeader, error) {
	h := blockHeader{size: int64(len(b)), compressed: unknown, uncompressed: unknown}
	body, sum := b[:len(b)-4], b[len(b)-4:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return h, corrupt("the CRC32 of the block header is wrong")
	}
	flags := body[1]
	if flags&0x3c != 0 {
		return h, fmt.Errorf("%w: block flags 0x%02x", ErrUnsupported, flags)
	}
	r := bytes.NewReader(body[2:])
	number := func(what string) (int64, error) {
		v, err := readVLI(r)
		if err == io.EOF {
			err = corrupt("the block header is too short for its %s", what)
		}
		return v, err
	}
	var err error
	if flags&hasCompressed != 0 {
		if h.compressed, err = number("compressed size"); err != nil {
			return h, err
		}
		if h.compressed == 0 || h.compressed > maxVLI-headerSize-1024-64 {
			return h, corrupt("the block header says that its data has %d bytes", h.compressed)
		}
	}
	if flags&hasUncompressed != 0 {
		if h.uncompressed, err = number("uncompressed size"); err != nil {
			return h, err
		}
	}
	for i := range int(flags&3) + 1 {
		var f filterSpec
		if f.id, err = number("filters"); err != nil {
			return h, err
		}
		n, err := number("filters")
		if err != nil {
			return h, err
		}
		if n > int64(r.Len()) {
			return h, corrupt("a filter's properties are longer than the block header")
		}
		f.props = make([]byte, n)
		if _, err := io.ReadFull(r, f.props); err != nil {
			return h, err
		}
		if i < int(flags&3) {
			h.filters = append(h.filters, f)
			continue
		}
		if f.id != filterLZMA2 {
			return h, fmt.Errorf("%w: %s as the last filter", ErrUnsupported, filterName(f.id))
		}
		if len(f.props) != 1 {
			return h, corrupt("LZMA2 with %d bytes of properties", len(f.props))
		}
		if h.dict, err = lzma2.DictSize(f.props[0]); err != nil {
			return h, corrupt("%v", err)
		}
	}
	for r.Len() > 0 {
		if c, _ := r.ReadByte(); c != 0 {
			return h, corrupt("the padding of the block header is not zero")
		}
	}
	return h, nil
}

// padding returns how many bytes fill n up to a multiple of four.
func padding(n int64) int64 { return -n & 3 }
