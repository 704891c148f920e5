package xz

import (
	"encoding/binary"
	"fmt"
)

// Filter IDs of the xz format.
const (
	filterDelta    = 0x03
	filterX86      = 0x04
	filterPowerPC  = 0x05
	filterIA64     = 0x06
	filterARM      = 0x07
	filterARMThumb = 0x08
	filterSPARC    = 0x09
	filterARM64    = 0x0a
	filterRISCV    = 0x0b
)

func filterName(id int64) string {
	switch id {
	case filterDelta:
		return "the delta filter"
	case filterX86:
		return "the x86 filter"
	case filterPowerPC:
		return "the PowerPC filter"
	case filterIA64:
		return "the IA-64 filter"
	case filterARM:
		return "the ARM filter"
	case filterARMThumb:
		return "the ARM-Thumb filter"
	case filterSPARC:
		return "the SPARC filter"
	case filterARM64:
		return "the ARM64 filter"
	case filterRISCV:
		return "the RISC-V filter"
	case filterLZMA2:
		return "LZMA2"
	}
	return fmt.Sprintf("the filter with ID 0x%x", id)
}

// filter undoes one filter. undo works in place on bytes that follow those of
// the call before, and returns how many of them are finished; the rest has to
// come again in front of what follows, or is final at the end of the data.
type filter interface {
	undo(p []byte) int
}

// newFilter returns the filter that s describes.
func newFilter(s filterSpec) (filter, error) {
	if s.id == filterDelta {
		if len(s.props) != 1 {
			return nil, corrupt("the delta filter has %d bytes of properties", len(s.props))
		}
		return &delta{distance: int(s.props[0]) + 1}, nil
	}
	var align uint32
	var convert func(p []byte, pos uint32) int
	switch s.id {
	case filterX86:
		align = 1
	case filterPowerPC:
		align, convert = 4, undoPowerPC
	case filterARM:
		align, convert = 4, undoARM
	case filterARMThumb:
		align, convert = 2, undoARMThumb
	case filterSPARC:
		align, convert = 4, undoSPARC
	case filterARM64:
		align, convert = 4, undoARM64
	default:
		return nil, fmt.Errorf("%w: %s", ErrUnsupported, filterName(s.id))
	}
	var pos uint32
	switch len(s.props) {
	case 0:
	case 4:
		pos = binary.LittleEndian.Uint32(s.props)
	default:
		return nil, corrupt("%s has %d bytes of properties", filterName(s.id), len(s.props))
	}
	if pos%align != 0 {
		return nil, corrupt("%s starts at %d, which is no multiple of %d", filterName(s.id), pos, align)
	}
	if s.id == filterX86 {
		return &x86{pos: pos}, nil
	}
	return &branch{pos: pos, convert: convert}, nil
}

// filterChain undoes the filters of a block, the one next to LZMA2 first.
type filterChain []*filterStage

type filterStage struct {
	filter filter
	buf    []byte
	done   int // how much of buf was finished and returned
}

// newFilterChain takes the filters in the order of the block header.
func newFilterChain(specs []filterSpec) (filterChain, error) {
	var c filterChain
	for i := len(specs) - 1; i >= 0; i-- {
		f, err := newFilter(specs[i])
		if err != nil {
			return nil, err
		}
		c = append(c, &filterStage{filter: f})
	}
	return c, nil
}

// push passes p through all filters and returns what is finished; last says
// that nothing follows. The result is good until the next call.
func (c filterChain) push(p []byte, last bool) []byte {
	for _, s := range c {
		p = s.push(p, last)
	}
	return p
}

func (s *filterStage) push(p []byte, last bool) []byte {
	rest := copy(s.buf, s.buf[s.done:])
	s.buf = append(s.buf[:rest], p...)
	s.done = s.filter.undo(s.buf)
	if last {
		s.done = len(s.buf)
	}
	return s.buf[:s.done]
}

// delta undoes the delta filter: each byte was stored as the difference from
// the one distance bytes before it.
type delta struct {
	distance int
	history  [256]byte
	at       uint8
}

func (d *delta) undo(p []byte) int {
	for i := range p {
		p[i] += d.history[d.at-uint8(d.distance)]
		d.history[d.at] = p[i]
		d.at++
	}
	return len(p)
}

// branch undoes the filter of a machine whose instructions are aligned and
// need no memory of what came before.
type branch struct {
	pos     uint32
	convert func(p []byte, pos uint32) int
}

func (b *branch) undo(p []byte) int {
	n := b.convert(p, b.pos)
	b.pos += uint32(n)
	return n
}

func undoARM(p []byte, pos uint32) int {
	i := 0
	for ; i+4 <= len(p); i += 4 {
		if p[i+3] == 0xeb { // BL, always
			v := binary.LittleEndian.Uint32(p[i:])
			to := v<<2 - (pos + uint32(i) + 8)
			binary.LittleEndian.PutUint32(p[i:], 0xeb000000|to>>2&0xffffff)
		}
	}
	return i
}

func undoARMThumb(p []byte, pos uint32) int {
	i := 0
	for ; i+4 <= len(p); i += 2 {
		hi := binary.LittleEndian.Uint16(p[i:])
		lo := binary.LittleEndian.Uint16(p[i+2:])
		if hi&0xf800 == 0xf000 && lo&0xf800 == 0xf800 { // BL in two halves
			to := uint32(hi&0x7ff)<<12 | uint32(lo&0x7ff)<<1
			to -= pos + uint32(i) + 4
			binary.LittleEndian.PutUint16(p[i:], uint16(0xf000|to>>12&0x7ff))
			binary.LittleEndian.PutUint16(p[i+2:], uint16(0xf800|to>>1&0x7ff))
			i += 2
		}
	}
	return i
}

func undoARM64(p []byte, pos uint32) int {
	i := 0
	for ; i+4 <= len(p); i += 4 {
		at := pos + uint32(i)
		v := binary.LittleEndian.Uint32(p[i:])
		switch {
		case v>>26 == 0x25: // BL
			v = 0x94000000 | (v-at>>2)&0x3ffffff
		case v&0x9f000000 == 0x90000000: // ADRP, within ±512 MiB
			to := v>>29&3 | v>>3&0x1ffffc
			if (to+0x20000)&0x1c0000 != 0 {
				continue
			}
			to -= at >> 12
			v = v&0x9000001f | to&3<<29 | to&0x3fffc<<3 | -(to&0x20000)&0xe00000
		default:
			continue
		}
		binary.LittleEndian.PutUint32(p[i:], v)
	}
	return i
}

func undoPowerPC(p []byte, pos uint32) int {
	i := 0
	for ; i+4 <= len(p); i += 4 {
		v := binary.BigEndian.Uint32(p[i:])
		if v&0xfc000003 == 0x48000001 { // BL
			to := v&0x3fffffc - (pos + uint32(i))
			binary.BigEndian.PutUint32(p[i:], 0x48000001|to&0x3fffffc)
		}
	}
	return i
}

func undoSPARC(p []byte, pos uint32) int {
	i := 0
	for ; i+4 <= len(p); i += 4 {
		v := binary.BigEndian.Uint32(p[i:])
		if v>>22 == 0x100 || v>>22 == 0x1ff { // CALL, near
			to := (v<<2 - (pos + uint32(i))) >> 2
			// The sign, bit 22, fills the upper bits of the 30-bit offset.
			to = -(to>>22&1)<<22&0x3fffffff | to&0x3fffff | 0x40000000
			binary.BigEndian.PutUint32(p[i:], to)
		}
	}
	return i
}
