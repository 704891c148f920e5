package extents

import "time"

// A unit is what is digested at once. The smallest is a chunk; several together save
// the board processes, and cost it a second reading when one of them is wrong.

// maxUnit bounds a unit.
const maxUnit = 16 << 20

// Measurement is what was learnt about the board.
type Measurement struct {
	// DigestCost is what one digest costs apart from its bytes: the processes
	// for it and their start.
	DigestCost time.Duration
	// Unit is how many bytes are digested at once because of that, where little
	// is expected to be wrong; 0 is one chunk.
	Unit int64
}

// Measured returns what is known so far; the zero value while it is nothing.
func (p *Plan) Measured() Measurement {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.measured()
}

// measured chooses the unit so that what a digest costs is at most an eighth of the
// time that its bytes take.
func (p *Plan) measured() (m Measurement) {
	n := p.found.DataProbes + p.found.ZeroProbes
	if n == 0 {
		return m
	}
	m.DigestCost = p.probing / time.Duration(n)
	if s := p.speeds[Hash]; s != nil {
		m.Unit = min(int64(8*m.DigestCost.Seconds()*s.BytesPerSecond()), maxUnit)
	}
	return m
}

// units puts chunks that are read for the same reason together. Chunks are compared
// one by one as soon as one was found to differ, and read back one by one as soon as
// one was wrong: then more of them may be.
func (p *Plan) units(chunks []*chunk) [][]*chunk {
	limit := p.measured().Unit
	if s := chunks[0].state; s == unknown && p.differed || s == written && p.doubt {
		limit = 0
	}
	var units [][]*chunk
	var bytes int64
	for _, c := range chunks {
		if bytes += c.Size; len(units) > 0 && bytes <= limit {
			units[len(units)-1] = append(units[len(units)-1], c)
			continue
		}
		units, bytes = append(units, []*chunk{c}), c.Size
	}
	return units
}

// rangesOf is where the chunks of a unit lie.
func rangesOf(unit []*chunk) (ranges []Range) {
	for _, c := range unit {
		for _, r := range c.ranges {
			ranges = join(ranges, r)
		}
	}
	return ranges
}

// hashedUnit takes the digest of a unit.
func (p *Plan) hashedUnit(unit []*chunk, status int, digest string) {
	if len(unit) == 1 {
		p.hashed(unit[0], status, digest)
		return
	}
	want, err := p.sumOfRanges(rangesOf(unit))
	if err != nil {
		p.finish(err)
		return
	}
	back, wrong := unknown, &p.differed
	if unit[0].state == checking {
		back, wrong = written, &p.doubt
	}
	switch {
	case status == interrupted:
	case status == 0 && digest == want:
		for _, c := range unit {
			p.right(c)
		}
		return
	default: // which of them is found out one by one
		*wrong = true
	}
	for _, c := range unit {
		p.set(c, back)
	}
}

// right notes that a chunk is on the device, because it was found or read back there.
func (p *Plan) right(c *chunk) {
	if c.state == comparing {
		p.stats.Unchanged += c.Size
	}
	p.set(c, proved)
	p.stats.Proved += c.Size
}
