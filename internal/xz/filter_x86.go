package xz

import "encoding/binary"

// x86 undoes the x86 filter, which made the operands of CALL and JMP absolute.
// Instructions are not aligned, so whether an opcode byte is taken for one
// depends on those up to three bytes before it: recent has a bit for each.
type x86 struct {
	pos    uint32
	recent uint32
}

// signLike says that b may be the highest byte of a converted operand.
func signLike(b byte) bool { return b == 0x00 || b == 0xff }

// For each set of recent opcode bytes: how far back the nearest operand byte
// to look at is, and whether a conversion is possible at all.
var (
	x86Back    = [8]int{0, 1, 2, 2, 3, 3, 3, 3}
	x86Allowed = [8]bool{true, true, true, false, true, false, false, false}
)

func (x *x86) undo(p []byte) int {
	if len(p) < 5 {
		return 0
	}
	end := len(p) - 4
	last := -1 // where the last opcode byte was
	recent := x.recent
	i := 0
	for ; i < end; i++ {
		if p[i]&0xfe != 0xe8 {
			continue
		}
		gap := i - last
		last = i
		if gap > 3 {
			recent = 0
		} else {
			recent = recent << (gap - 1) & 7
			if recent != 0 && (!x86Allowed[recent] || signLike(p[i+4-x86Back[recent]])) {
				recent = recent<<1 | 1
				continue
			}
		}
		if !signLike(p[i+4]) {
			recent = recent<<1 | 1
			continue
		}
		from := binary.LittleEndian.Uint32(p[i+1:])
		at := x.pos + uint32(i) + 5
		to := from - at
		for recent != 0 {
			shift := x86Back[recent] * 8
			if !signLike(byte(to >> (24 - shift))) {
				break
			}
			to = (to ^ (1<<(32-shift) - 1)) - at
		}
		to &= 0x1ffffff
		to |= -(to & 0x1000000)
		binary.LittleEndian.PutUint32(p[i+1:], to)
		i += 4
	}
	if gap := i - last; gap > 3 {
		x.recent = 0
	} else {
		x.recent = recent << (gap - 1)
	}
	x.pos += uint32(i)
	return i
}
