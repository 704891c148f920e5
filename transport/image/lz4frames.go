package image

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// lz4Frames passes an lz4 file through and follows its structure, so that a
// file that ends between two blocks is not taken for a whole one, and what
// follows the last frame is looked at. The format is that of
// lz4_Frame_format.md; the legacy format has no end mark, and so an early end
// between its blocks cannot be found by anybody.
type lz4Frames struct {
	r    *bufio.Reader
	left int64 // bytes that pass before the next thing to understand
	head []byte
	next func() error // understands what comes when left is 0
	flg  byte
	err  error
}

const (
	lz4Magic       = 0x184d2204
	lz4LegacyMagic = 0x184c2102
	lz4Skippable   = 0x184d2a50
	// The most that 8 MiB can take; what is more is no size but a magic number.
	lz4LegacyBound = 8<<20 + 8<<20/255 + 16
)

// Read implements io.Reader.
func (f *lz4Frames) Read(p []byte) (int, error) {
	for len(f.head) == 0 && f.left == 0 {
		if f.err == nil {
			if f.next == nil {
				f.next = f.magic
			}
			f.err = f.next()
		}
		if f.err != nil && len(f.head) == 0 {
			return 0, f.err
		}
	}
	if len(f.head) > 0 {
		n := copy(p, f.head)
		f.head = f.head[n:]
		return n, nil
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	if err == io.EOF && f.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// take appends n bytes to what is passed on and returns them.
func (f *lz4Frames) take(n int) ([]byte, error) {
	old := len(f.head)
	f.head = append(f.head, make([]byte, n)...)
	if _, err := io.ReadFull(f.r, f.head[old:]); err != nil {
		f.head = f.head[:old]
		return nil, unexpected(err)
	}
	return f.head[old:], nil
}

func (f *lz4Frames) magic() error {
	f.head = nil
	b, err := f.r.Peek(4)
	if len(b) == 0 {
		return err
	}
	if len(b) < 4 {
		return io.ErrUnexpectedEOF
	}
	switch m := binary.LittleEndian.Uint32(b); {
	case m == lz4Magic:
		return f.descriptor()
	case m == lz4LegacyMagic:
		if _, err := f.take(4); err != nil {
			return err
		}
		f.next = f.legacyBlock
		return nil
	case m&^0xf == lz4Skippable:
		f.r.Discard(4)
		var size [4]byte
		if _, err := io.ReadFull(f.r, size[:]); err != nil {
			return unexpected(err)
		}
		n := int64(binary.LittleEndian.Uint32(size[:]))
		if m, err := io.CopyN(io.Discard, f.r, n); m < n {
			return unexpected(err)
		}
		return nil // the decoder need not see it
	}
	return errTrailing
}

func (f *lz4Frames) descriptor() error {
	b, err := f.take(6)
	if err != nil {
		return err
	}
	f.flg = b[4]
	if f.flg>>6 != 1 {
		return fmt.Errorf("frame version %d, only 1 is known", f.flg>>6)
	}
	n := 1 // header checksum
	if f.flg&0x08 != 0 {
		n += 8 // content size
	}
	if f.flg&0x01 != 0 {
		return fmt.Errorf("%w: the frame needs an lz4 dictionary", ErrUnsupportedFormat)
	}
	f.next = f.block
	_, err = f.take(n)
	return err
}

func (f *lz4Frames) block() error {
	f.head = nil
	b, err := f.take(4)
	if err != nil {
		return err
	}
	size := int64(binary.LittleEndian.Uint32(b) &^ (1 << 31))
	if size == 0 {
		f.next = f.magic
		if f.flg&0x04 != 0 {
			_, err = f.take(4) // content checksum
		}
		return err
	}
	if size > 4<<20 {
		return errors.New("a block of more than 4 MiB")
	}
	f.left = size
	if f.flg&0x10 != 0 {
		f.left += 4
	}
	return nil
}

func (f *lz4Frames) legacyBlock() error {
	f.head = nil
	b, err := f.r.Peek(4)
	if len(b) == 0 {
		return err
	}
	if len(b) < 4 {
		return io.ErrUnexpectedEOF
	}
	size := binary.LittleEndian.Uint32(b)
	if size == 0 {
		return errors.New("a legacy block of no bytes")
	}
	if size > lz4LegacyBound {
		return f.magic()
	}
	if _, err := f.take(4); err != nil {
		return err
	}
	f.left = int64(size)
	return nil
}
