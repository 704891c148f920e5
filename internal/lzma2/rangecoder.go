package lzma2

// The range decoder is not a type: its range, code and input position are
// values that each function takes and returns, so that they stay in machine
// registers through the symbol loop. Range and code are 32-bit numbers kept in
// 64-bit variables, and code < range always holds.

// chunkInput holds one chunk's compressed bytes. Its length is the largest
// that LZMA2 allows, which makes an index masked with inputMask provably in
// bounds: damaged data can make the decoder read around the end, never outside,
// and the position is checked when the chunk is done.
type chunkInput [1 << 16]byte

const (
	inputMask = 1<<16 - 1
	topValue  = 1 << 24
	probBits  = 11
	probMoves = 5
)

// normalize takes in the next byte when the range has become too small.
func normalize(rng, code uint64, ip uint, in *chunkInput) (uint64, uint64, uint) {
	if rng < topValue {
		rng <<= 8
		code = code<<8 | uint64(in[ip&inputMask])
		ip++
	}
	return rng, code, ip
}

// step decodes one bit with the probability p and returns the new range, code
// and probability, and the bit. It has no branch, because the bits it is used
// for are close to random and a mispredicted branch costs more than the
// arithmetic.
func step(rng, code uint64, p uint16) (uint64, uint64, uint16, uint) {
	bound := rng >> probBits * uint64(p)
	code -= bound
	zero := uint64(int64(code) >> 63) // all ones for a 0 bit
	rng -= bound
	rng += zero & (bound - rng)
	code += zero & bound
	// A 0 bit adds (2048-p)>>5, a 1 bit takes p>>5 away.
	q := int32(p)
	q -= (q + int32(zero)&(31-1<<probBits)) >> probMoves
	return rng, code, uint16(q), uint(zero + 1)
}

// literal decodes the eight bits of a literal.
func literal(rng, code uint64, ip uint, in *chunkInput, p *[0x400]uint16) (uint64, uint64, uint, byte) {
	var bit uint
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[1], bit = step(rng, code, p[1])
	sym := 2 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&0xff], bit = step(rng, code, p[sym&0xff])
	sym = sym<<1 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&0xff], bit = step(rng, code, p[sym&0xff])
	sym = sym<<1 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&0xff], bit = step(rng, code, p[sym&0xff])
	sym = sym<<1 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&0xff], bit = step(rng, code, p[sym&0xff])
	sym = sym<<1 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&0xff], bit = step(rng, code, p[sym&0xff])
	sym = sym<<1 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&0xff], bit = step(rng, code, p[sym&0xff])
	sym = sym<<1 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&0xff], bit = step(rng, code, p[sym&0xff])
	return rng, code, ip, byte(sym<<1 | bit)
}

// matchedLiteral decodes a literal that follows a match; match is the byte
// that the match would have gone on with. Its bits choose among the
// probabilities for as long as they agree with the literal's.
func matchedLiteral(rng, code uint64, ip uint, in *chunkInput, p *[0x400]uint16, match uint) (uint64, uint64, uint, byte) {
	var bit uint
	agree := uint(0x100)
	sym := uint(1)
	for sym < 0x100 {
		match <<= 1
		i := (agree + match&agree + sym) & 0x3ff
		rng, code, ip = normalize(rng, code, ip, in)
		rng, code, p[i], bit = step(rng, code, p[i])
		sym = sym<<1 | bit
		agree &= ^(match ^ -bit)
	}
	return rng, code, ip, byte(sym)
}

// tree3 decodes three bits, the highest first.
func tree3(rng, code uint64, ip uint, in *chunkInput, p *[8]uint16) (uint64, uint64, uint, uint) {
	var bit uint
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[1], bit = step(rng, code, p[1])
	sym := 2 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&7], bit = step(rng, code, p[sym&7])
	sym = sym<<1 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&7], bit = step(rng, code, p[sym&7])
	return rng, code, ip, (sym<<1 | bit) & 7
}

// tree6 decodes six bits, the highest first.
func tree6(rng, code uint64, ip uint, in *chunkInput, p *[64]uint16) (uint64, uint64, uint, uint) {
	var bit uint
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[1], bit = step(rng, code, p[1])
	sym := 2 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&63], bit = step(rng, code, p[sym&63])
	sym = sym<<1 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&63], bit = step(rng, code, p[sym&63])
	sym = sym<<1 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&63], bit = step(rng, code, p[sym&63])
	sym = sym<<1 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&63], bit = step(rng, code, p[sym&63])
	sym = sym<<1 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&63], bit = step(rng, code, p[sym&63])
	return rng, code, ip, (sym<<1 | bit) & 63
}

// tree8 decodes eight bits, the highest first. Only long matches need it.
func tree8(rng, code uint64, ip uint, in *chunkInput, p *[256]uint16) (uint64, uint64, uint, uint) {
	var bit uint
	sym := uint(1)
	for sym < 0x100 {
		rng, code, ip = normalize(rng, code, ip, in)
		rng, code, p[sym&0xff], bit = step(rng, code, p[sym&0xff])
		sym = sym<<1 | bit
	}
	return rng, code, ip, sym & 0xff
}

// length decodes the length of a match, from 2 to 273.
func (l *lengthModel) length(rng, code uint64, ip uint, in *chunkInput, posState uint) (uint64, uint64, uint, uint) {
	var bit, n uint
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, l.choice, bit = step(rng, code, l.choice)
	if bit == 0 {
		rng, code, ip, n = tree3(rng, code, ip, in, &l.low[posState&15])
		return rng, code, ip, matchMinLen + n
	}
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, l.choice2, bit = step(rng, code, l.choice2)
	if bit == 0 {
		rng, code, ip, n = tree3(rng, code, ip, in, &l.mid[posState&15])
		return rng, code, ip, matchMinLen + 8 + n
	}
	rng, code, ip, n = tree8(rng, code, ip, in, &l.high)
	return rng, code, ip, matchMinLen + 16 + n
}

// distance decodes the distance of a match, from 1 to 1<<32. The last one
// stands for the end marker of plain LZMA, which LZMA2 does not have; it is
// farther than any dictionary.
func (m *model) distance(rng, code uint64, ip uint, in *chunkInput, length uint) (uint64, uint64, uint, uint64) {
	var bit, slot uint
	rng, code, ip, slot = tree6(rng, code, ip, in, &m.posSlot[min(length-matchMinLen, 3)])
	if slot < 4 {
		return rng, code, ip, uint64(slot) + 1
	}
	bits := slot>>1 - 1
	dist := uint64(2|slot&1) << bits
	if slot < 14 {
		base := uint(dist) - slot
		sym := uint(1)
		for i := range bits {
			j := (base + sym) & 127
			rng, code, ip = normalize(rng, code, ip, in)
			rng, code, m.posSpecial[j], bit = step(rng, code, m.posSpecial[j])
			sym = sym<<1 | bit
			dist += uint64(bit) << i
		}
		return rng, code, ip, dist + 1
	}
	var direct uint64
	for range bits - 4 {
		rng, code, ip = normalize(rng, code, ip, in)
		rng >>= 1
		code -= rng
		zero := uint64(int64(code) >> 63)
		code += rng & zero
		direct = direct<<1 + zero + 1
	}
	p := &m.align
	var b1, b2, b3 uint
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[1], bit = step(rng, code, p[1])
	sym := 2 | bit
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&15], b1 = step(rng, code, p[sym&15])
	sym = sym<<1 | b1
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&15], b2 = step(rng, code, p[sym&15])
	sym = sym<<1 | b2
	rng, code, ip = normalize(rng, code, ip, in)
	rng, code, p[sym&15], b3 = step(rng, code, p[sym&15])
	return rng, code, ip, dist + direct<<4 + uint64(bit|b1<<1|b2<<2|b3<<3) + 1
}
