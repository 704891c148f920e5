package lzma2

import "encoding/binary"

// symbols decodes LZMA symbols into the window until the position limit is
// reached. A match that goes beyond it is finished by the next call.
func (d *Decoder) symbols(limit int) error {
	var (
		buf   = d.buf
		pos   = d.pos
		m     = &d.model
		in    = &d.in
		rng   = d.rng
		code  = d.code
		ip    = d.ip
		state = d.state
		rep0  = d.rep[0]

		shift   = d.shift
		pbMask  = d.pbMask
		lpMask  = d.lpMask
		lc      = d.lc & 7
		prev    = uint(d.lastByte())
		maxDist = d.dictSize
	)
	if d.pending > 0 {
		n := min(d.pending, limit-pos)
		copyMatch(buf, pos, rep0, n)
		pos += n
		d.pending -= n
		if n > 0 {
			prev = uint(buf[pos-1])
		}
	}
	for pos < limit {
		posState := uint(pos+shift) & pbMask
		i := (state<<4 | posState) & 0xff
		rng, code, ip = normalize(rng, code, ip, in)
		p := m.isMatch[i]
		bound := rng >> probBits * uint64(p)
		if code < bound {
			rng = bound
			m.isMatch[i] = p + (1<<probBits-p)>>probMoves
			coder := (uint(pos+shift)&lpMask)<<lc | prev>>(8-lc)
			lit := (*[0x400]uint16)(m.literal[literalCoder*coder:])
			var sym byte
			if state < litStates {
				rng, code, ip, sym = literal(rng, code, ip, in, lit)
			} else {
				src := pos - rep0
				if src < 0 {
					src += len(buf)
				}
				rng, code, ip, sym = matchedLiteral(rng, code, ip, in, lit, uint(buf[src]))
			}
			state = uint(afterLiteral[state&15])
			buf[pos] = sym
			prev = uint(sym)
			pos++
			continue
		}
		rng -= bound
		code -= bound
		m.isMatch[i] = p - p>>probMoves

		var length uint
		rng, code, ip = normalize(rng, code, ip, in)
		p = m.isRep[state&15]
		bound = rng >> probBits * uint64(p)
		if code < bound {
			rng = bound
			m.isRep[state&15] = p + (1<<probBits-p)>>probMoves
			var dist uint64
			rng, code, ip, length = m.matchLen.length(rng, code, ip, in, posState)
			rng, code, ip, dist = m.distance(rng, code, ip, in, length)
			d.rep[3], d.rep[2], d.rep[1] = d.rep[2], d.rep[1], rep0
			if dist > uint64(maxDist) {
				return d.corrupt("a match from %d bytes back is farther than the dictionary's %d", dist, maxDist)
			}
			rep0 = int(dist)
			if state < litStates {
				state = 7
			} else {
				state = 10
			}
		} else {
			rng -= bound
			code -= bound
			m.isRep[state&15] = p - p>>probMoves

			var bit uint
			rng, code, ip = normalize(rng, code, ip, in)
			rng, code, m.isRepG0[state&15], bit = step(rng, code, m.isRepG0[state&15])
			if bit == 0 {
				rng, code, ip = normalize(rng, code, ip, in)
				rng, code, m.isRep0Long[i], bit = step(rng, code, m.isRep0Long[i])
				if bit == 0 {
					length = 1
				}
			} else {
				rng, code, ip = normalize(rng, code, ip, in)
				rng, code, m.isRepG1[state&15], bit = step(rng, code, m.isRepG1[state&15])
				if bit == 0 {
					rep0, d.rep[1] = d.rep[1], rep0
				} else {
					rng, code, ip = normalize(rng, code, ip, in)
					rng, code, m.isRepG2[state&15], bit = step(rng, code, m.isRepG2[state&15])
					far := d.rep[2]
					if bit != 0 {
						far = d.rep[3]
						d.rep[3] = d.rep[2]
					}
					d.rep[2], d.rep[1], rep0 = d.rep[1], rep0, far
				}
			}
			if length == 1 {
				state = 9
				if state0 := i >> 4; state0 >= litStates {
					state = 11
				}
			} else {
				rng, code, ip, length = m.repLen.length(rng, code, ip, in, posState)
				if state < litStates {
					state = 8
				} else {
					state = 11
				}
			}
		}
		if rep0 > pos-d.start {
			return d.corrupt("a match from %d bytes back reaches before the start of the dictionary", rep0)
		}
		n := int(length)
		if n > limit-pos {
			d.pending = n - (limit - pos)
			n = limit - pos
		}
		src, end := pos-rep0, pos+n
		if rep0 >= 8 && src >= 0 && end+8 <= limit {
			for pos < end {
				binary.LittleEndian.PutUint64(buf[pos:], binary.LittleEndian.Uint64(buf[src:]))
				pos += 8
				src += 8
			}
		} else {
			copyMatch(buf, pos, rep0, n)
		}
		pos = end
		prev = uint(buf[pos-1])
	}
	d.pos, d.rng, d.code, d.ip, d.state, d.rep[0] = pos, rng, code, ip, state, rep0
	return nil
}

// copyMatch copies n bytes from dist back to pos; the source may lie at the
// end of the window and go around, the destination may not.
func copyMatch(buf []byte, pos, dist, n int) {
	src := pos - dist
	if src < 0 {
		src += len(buf)
		k := copy(buf[pos:pos+n], buf[src:])
		pos, src, n = pos+k, 0, n-k
	}
	switch {
	case dist >= n:
		copy(buf[pos:pos+n], buf[src:src+n])
	case dist == 1:
		b := buf[src]
		run := buf[pos : pos+n]
		for i := range run {
			run[i] = b
		}
	default:
		for end := pos + n; pos < end; pos++ {
			buf[pos] = buf[src]
			src++
		}
	}
}
