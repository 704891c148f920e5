// Package lzma2 decodes LZMA2, the compression inside xz files, into a window
// that its caller owns.
//
// The window is at once the dictionary and the place where the output is
// picked up: nothing is copied out of a separate dictionary. Where the window
// is as large as the whole output it is filled from front to back; where it is
// smaller it is used as a ring, and the caller says how much of it may be
// overwritten. The format is described by the LZMA SDK's lzma-specification
// and, for the chunks of LZMA2, by XZ Embedded's and liblzma's decoders.
package lzma2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrCorrupt says that the data is not valid LZMA2.
var ErrCorrupt = errors.New("corrupt LZMA2 data")

// MinDict and MaxDict bound the dictionary sizes that LZMA2 can name.
const (
	MinDict = 4 << 10
	MaxDict = 1<<32 - 1
)

// WindowSlack is what a window that is used as a ring needs beyond the
// dictionary: matches are copied eight bytes at a time.
const WindowSlack = 16

// DictSize returns the dictionary size that the one property byte of an LZMA2
// filter stands for.
func DictSize(prop byte) (int64, error) {
	switch {
	case prop > 40:
		return 0, fmt.Errorf("%w: dictionary size property %d is above 40", ErrCorrupt, prop)
	case prop == 40:
		return MaxDict, nil
	}
	return int64(2|prop&1) << (prop/2 + 11), nil
}

// Decoder decodes one LZMA2 stream at a time. The zero value is ready for
// [Decoder.Reset]. It must not be used concurrently.
type Decoder struct {
	src      io.Reader
	buf      []byte
	dictSize int
	consumed int64

	// pos is where the next byte goes, start where the dictionary began, which
	// is negative after the ring went around. pos+shift counts, modulo 16,
	// from the last dictionary reset.
	pos, start, shift int

	left       int // of this chunk's output
	plain      bool
	needDict   bool
	needProps  bool
	compressed uint // length of this chunk's input
	pending    int  // of a match
	err        error
	head       [6]byte
	rng, code  uint64
	ip         uint
	state      uint
	rep        [4]int
	pbMask     uint
	lpMask     uint
	lc         uint
	lclp       uint
	model      model
	in         chunkInput
}

// Reset makes d decode the stream in src, which should be buffered, into
// window. The window must hold the dictionary and [WindowSlack], or all output
// that [Decoder.Next] will be asked for.
func (d *Decoder) Reset(src io.Reader, window []byte, dictSize int64) {
	d.src, d.buf, d.dictSize = src, window, int(min(dictSize, int64(len(window))))
	d.consumed, d.pos, d.start, d.shift = 0, 0, 0, 0
	d.left, d.pending, d.err = 0, 0, nil
	d.needDict, d.needProps = true, true
}

// Consumed returns how many bytes of the source the stream has used.
func (d *Decoder) Consumed() int64 { return d.consumed }

// Next decodes at least one and at most n bytes behind what it decoded last
// and returns them as a part of the window; n must be at least one. At the
// stream's end marker it returns io.EOF, and a source that ends before it gives
// io.ErrUnexpectedEOF. The bytes that Next overwrites are the oldest in the
// window.
func (d *Decoder) Next(n int) ([]byte, error) {
	if d.err != nil {
		return nil, d.err
	}
	b, err := d.next(n)
	if err != nil {
		d.err = err
	}
	return b, err
}

func (d *Decoder) next(n int) ([]byte, error) {
	for d.left == 0 {
		if err := d.chunk(); err != nil {
			return nil, err
		}
	}
	if d.pos == len(d.buf) {
		d.shift = (d.shift + d.pos) & (posStates - 1)
		d.start = max(d.start-d.pos, -len(d.buf))
		d.pos = 0
	}
	from := d.pos
	limit := from + min(n, d.left, len(d.buf)-from)
	if d.plain {
		if err := d.read(d.buf[from:limit]); err != nil {
			return nil, err
		}
		d.pos = limit
	} else if err := d.symbols(limit); err != nil {
		return nil, err
	}
	d.left -= limit - from
	if d.left == 0 && !d.plain {
		if err := d.finish(); err != nil {
			return nil, err
		}
	}
	return d.buf[from:limit], nil
}

// End reads the stream's end marker, which must be all that is left. It is for
// a caller who knows the size of the output and has decoded it all.
func (d *Decoder) End() error {
	if d.err != nil {
		return d.err
	}
	if d.left > 0 {
		d.err = d.corrupt("%d bytes of output are left where the end should be", d.left)
		return d.err
	}
	d.err = d.chunk()
	switch d.err {
	case io.EOF:
		return nil
	case nil:
		d.err = d.corrupt("a further chunk of %d bytes where the end should be", d.left)
	}
	return d.err
}

// chunk reads the header of the next chunk, and the input of a compressed one.
func (d *Decoder) chunk() error {
	if err := d.read(d.head[:1]); err != nil {
		return err
	}
	control := d.head[0]
	switch {
	case control == 0:
		return io.EOF
	case control >= 0xe0 || control == 1:
		d.needDict, d.needProps = false, true
		d.start = d.pos
		d.shift = -d.pos & (posStates - 1)
	case d.needDict:
		return d.corrupt("the first chunk (control byte 0x%02x) does not reset the dictionary", control)
	}
	if control < 0x80 {
		if control > 2 {
			return d.corrupt("control byte 0x%02x", control)
		}
		if err := d.read(d.head[1:3]); err != nil {
			return err
		}
		d.plain = true
		d.left = int(binary.BigEndian.Uint16(d.head[1:])) + 1
		return nil
	}
	if err := d.read(d.head[1:5]); err != nil {
		return err
	}
	d.plain = false
	d.left = int(control&0x1f)<<16 + int(binary.BigEndian.Uint16(d.head[1:])) + 1
	d.compressed = uint(binary.BigEndian.Uint16(d.head[3:])) + 1
	switch {
	case control >= 0xc0:
		if err := d.properties(); err != nil {
			return err
		}
		d.resetState()
	case d.needProps:
		return d.corrupt("a chunk (control byte 0x%02x) has no properties to go by", control)
	case control >= 0xa0:
		d.resetState()
	}
	if d.compressed < 5 {
		return d.corrupt("a compressed chunk of %d bytes", d.compressed)
	}
	if err := d.read(d.in[:d.compressed]); err != nil {
		return err
	}
	d.rng = 1<<32 - 1
	d.code = uint64(binary.BigEndian.Uint32(d.in[1:]))
	d.ip = 5
	if d.in[0] != 0 || d.code == d.rng {
		return d.corrupt("the range coder does not start as it must")
	}
	return nil
}

func (d *Decoder) properties() error {
	if err := d.read(d.head[5:6]); err != nil {
		return err
	}
	b := uint(d.head[5])
	lc, lp, pb := b%9, b/9%5, b/45
	if pb > 4 || lc+lp > maxLiteralExp {
		return d.corrupt("properties byte 0x%02x (lc=%d lp=%d pb=%d)", b, lc, lp, pb)
	}
	d.lc, d.lclp = lc, lc+lp
	d.lpMask, d.pbMask = 1<<lp-1, 1<<pb-1
	d.needProps = false
	return nil
}

func (d *Decoder) resetState() {
	d.state = 0
	d.rep = [4]int{1, 1, 1, 1}
	d.model.reset(d.lclp)
}

// finish checks that a compressed chunk used its input exactly.
func (d *Decoder) finish() error {
	d.rng, d.code, d.ip = normalize(d.rng, d.code, d.ip, &d.in)
	switch {
	case d.pending > 0:
		return d.corrupt("a match goes on beyond the end of its chunk")
	case d.ip != d.compressed:
		return d.corrupt("a chunk of %d bytes was decoded from %d", d.compressed, d.ip)
	case d.code != 0:
		return d.corrupt("the range coder does not end as it must")
	}
	return nil
}

// lastByte returns the byte before pos, zero right after a dictionary reset.
func (d *Decoder) lastByte() byte {
	switch {
	case d.pos == d.start:
		return 0
	case d.pos == 0:
		return d.buf[len(d.buf)-1]
	}
	return d.buf[d.pos-1]
}

func (d *Decoder) read(p []byte) error {
	n, err := io.ReadFull(d.src, p)
	d.consumed += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (d *Decoder) corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
