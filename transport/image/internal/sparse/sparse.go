// Package sparse reads Android sparse images: the format of img2simg and
// fastboot, version 1, after sparse_format.h of AOSP's libsparse.
package sparse

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Errors that a caller may want to tell apart.
var (
	// ErrFormat: the data contradicts itself, or is no sparse image.
	ErrFormat = errors.New("damaged sparse image")
	// ErrUnsupported: a version that nobody has defined yet.
	ErrUnsupported = errors.New("unsupported sparse image")
)

const (
	magic       = 0xed26ff3a
	fileHeader  = 28
	chunkHeader = 12

	// MaxSize bounds the raw size that a header may claim: 16 TiB, which is
	// the most that 2^32 blocks of 4 KiB make.
	MaxSize = 1 << 44

	chunkRaw      = 0xcac1
	chunkFill     = 0xcac2
	chunkDontCare = 0xcac3
	chunkCRC      = 0xcac4
)

// Header is what the file says about itself.
type Header struct {
	BlockSize uint32 // bytes, a multiple of 4
	Blocks    uint32 // in the raw image
	Chunks    uint32
	// Checksum is the CRC32 of the raw image, 0 where the writer did not
	// compute it, which is usual.
	Checksum uint32
}

// Size returns the size of the raw image in bytes.
func (h Header) Size() int64 { return int64(h.BlockSize) * int64(h.Blocks) }

// Reader gives the raw image; what the file does not care about is zeros.
type Reader struct {
	r        io.Reader
	h        Header
	chunkHdr int // bytes of a chunk header in this file
	chunks   uint32
	blocks   int64 // that chunks have described so far
	crcOn    bool
	crc      uint32

	kind    uint16
	left    int64 // bytes of the present chunk still to come
	pattern []byte
	phase   int
	err     error
	behind  func() // called when something follows the last chunk
}

// NewReader reads the header. Checksums in CRC chunks, and the one in the header
// where it is not 0, are verified. What follows the last chunk is read and
// ignored, as simg2img does; behind is called once where it is not only zeros.
func NewReader(r io.Reader, behind func()) (*Reader, error) {
	var b [fileHeader]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return nil, fmt.Errorf("header: %w", unexpected(err))
	}
	le := binary.LittleEndian
	s := &Reader{r: r, behind: behind, h: Header{BlockSize: le.Uint32(b[12:]), Blocks: le.Uint32(b[16:]), Chunks: le.Uint32(b[20:]), Checksum: le.Uint32(b[24:])}}
	major, fileHdr, chunkHdr := le.Uint16(b[4:]), int(le.Uint16(b[8:])), int(le.Uint16(b[10:]))
	switch {
	case le.Uint32(b[:]) != magic:
		return nil, fmt.Errorf("%w: no magic number", ErrFormat)
	case major != 1:
		return nil, fmt.Errorf("%w: version %d, only 1 is known", ErrUnsupported, major)
	case fileHdr < fileHeader || chunkHdr < chunkHeader:
		return nil, fmt.Errorf("%w: headers of %d and %d bytes", ErrFormat, fileHdr, chunkHdr)
	case s.h.BlockSize == 0 || s.h.BlockSize%4 != 0:
		return nil, fmt.Errorf("%w: block size %d is not a multiple of 4", ErrFormat, s.h.BlockSize)
	case s.h.Size() > MaxSize || s.h.Size() < 0:
		return nil, fmt.Errorf("%w: claims %d blocks of %d bytes", ErrFormat, s.h.Blocks, s.h.BlockSize)
	}
	s.chunkHdr = chunkHdr
	if err := s.skip(fileHdr - fileHeader); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	// A CRC chunk can come at any time and is about all before it.
	s.crcOn = true
	return s, nil
}

// Header returns the file's header.
func (s *Reader) Header() Header { return s.h }

// Read implements io.Reader. At io.EOF everything was checked.
func (s *Reader) Read(p []byte) (int, error) {
	for s.left == 0 && s.err == nil {
		s.err = s.next()
	}
	if s.err != nil {
		return 0, s.err
	}
	p = p[:min(int64(len(p)), s.left)]
	n := len(p)
	switch s.kind {
	case chunkRaw:
		var err error
		if n, err = s.r.Read(p); err != nil && int64(n) < s.left {
			s.err = unexpected(err)
		}
	case chunkFill:
		s.fill(p)
	default:
		clear(p)
	}
	s.left -= int64(n)
	if s.crcOn {
		s.crc = crc32.Update(s.crc, crc32.IEEETable, p[:n])
	}
	return n, nil
}

func (s *Reader) fill(p []byte) {
	for n := 0; n < len(p); {
		m := copy(p[n:], s.pattern[s.phase:])
		n += m
		s.phase = (s.phase + m) % len(s.pattern)
	}
}

// next reads chunk headers until one has bytes.
func (s *Reader) next() error {
	if s.chunks == s.h.Chunks {
		return s.finish()
	}
	at := func(err error) error { return fmt.Errorf("chunk %d of %d: %w", s.chunks+1, s.h.Chunks, err) }
	var b [chunkHeader]byte
	if _, err := io.ReadFull(s.r, b[:]); err != nil {
		return at(unexpected(err))
	}
	if err := s.skip(s.chunkHdr - chunkHeader); err != nil {
		return at(err)
	}
	le := binary.LittleEndian
	s.kind = le.Uint16(b[:])
	blocks, total := int64(le.Uint32(b[4:])), int64(le.Uint32(b[8:]))
	data := total - int64(s.chunkHdr)
	size := blocks * int64(s.h.BlockSize)
	want := map[uint16]int64{chunkRaw: size, chunkFill: 4, chunkDontCare: 0, chunkCRC: 4}
	w, ok := want[s.kind]
	switch {
	case !ok:
		return at(fmt.Errorf("%w: type %#x", ErrFormat, s.kind))
	case data != w:
		return at(fmt.Errorf("%w: %d bytes of data where %d are due", ErrFormat, data, w))
	case s.kind == chunkCRC && blocks != 0:
		return at(fmt.Errorf("%w: a checksum of %d blocks", ErrFormat, blocks))
	case s.blocks+blocks > int64(s.h.Blocks):
		return at(fmt.Errorf("%w: goes past the %d blocks of the image", ErrFormat, s.h.Blocks))
	}
	s.chunks++
	s.blocks += blocks
	s.left = size
	if s.kind != chunkFill && s.kind != chunkCRC {
		return nil
	}
	var word [4]byte
	if _, err := io.ReadFull(s.r, word[:]); err != nil {
		return at(unexpected(err))
	}
	if s.kind == chunkCRC {
		if got := le.Uint32(word[:]); got != s.crc {
			return at(fmt.Errorf("%w: checksum %08x, the data has %08x", ErrFormat, got, s.crc))
		}
		return nil
	}
	if s.pattern == nil {
		s.pattern = make([]byte, 4096)
	}
	for i := 0; i < len(s.pattern); i += 4 {
		copy(s.pattern[i:], word[:])
	}
	s.phase = 0
	return nil
}

func (s *Reader) finish() error {
	if s.blocks != int64(s.h.Blocks) {
		return fmt.Errorf("%w: the chunks hold %d blocks, the header says %d", ErrFormat, s.blocks, s.h.Blocks)
	}
	if s.h.Checksum != 0 && s.h.Checksum != s.crc {
		return fmt.Errorf("%w: checksum %08x in the header, the data has %08x", ErrFormat, s.h.Checksum, s.crc)
	}
	var b [4096]byte
	for told := false; ; {
		n, err := s.r.Read(b[:])
		if !told && bytes.Count(b[:n], []byte{0}) < n {
			told = true
			s.behind()
		}
		if err != nil {
			return err
		}
	}
}

func (s *Reader) skip(n int) error {
	if m, err := io.CopyN(io.Discard, s.r, int64(n)); m < int64(n) {
		return unexpected(err)
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
