package extents

import (
	"sync"
	"time"
)

// A unit is what is digested at once. The smallest is a chunk; several together save
// the board processes, and cost it a second reading when one of them is wrong.

// maxUnit bounds a unit.
const maxUnit = 16 << 20

type unit struct {
	chunks []*chunk
	pieces []piece // of several chunks, in place of all of them; see again.go
	digest Digest  // by which it is taken
	// want returns the digest that the device is to have there. It takes no lock,
	// and works but once.
	want func() (string, error)
}

func (p *Plan) unit(chunks []*chunk) unit {
	d := p.digest
	return unit{chunks: chunks, digest: d, want: sync.OnceValues(func() (string, error) { return p.sumOf(chunks, d) })}
}

// foresee computes what a task that was handed out is to find, while the board
// is busy with it.
func (p *Plan) foresee(name string, id int64) {
	p.mu.Lock()
	var units []unit
	if w := p.workers[name]; w != nil && w.task != nil && w.task.ID == id {
		units = w.units
	}
	p.mu.Unlock()
	for _, u := range units {
		u.want() // an error is that of whoever needs the digest
	}
}

// LargestUnit returns the most bytes that are digested at once.
func (p *Plan) LargestUnit() int64 {
	most := int64(maxUnit)
	for i := range p.chunks {
		most = max(most, p.chunks[i].Size)
	}
	return most
}

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
func (p *Plan) units(chunks []*chunk) []unit {
	limit := p.measured().Unit
	if s := chunks[0].state; s == unknown && p.differed || s == written && p.doubt {
		limit = 0
	}
	var units []unit
	for begin := 0; begin < len(chunks); {
		end, bytes := begin+1, chunks[begin].Size
		for end < len(chunks) && bytes+chunks[end].Size <= limit {
			bytes += chunks[end].Size
			end++
		}
		units = append(units, p.unit(chunks[begin:end]))
		begin = end
	}
	return units
}

// ranges is where the bytes of a unit lie.
func (u unit) ranges() (ranges []Range) {
	for _, p := range u.pieces {
		ranges = join(ranges, p.Range)
	}
	for _, c := range u.chunks {
		for _, r := range c.ranges {
			ranges = join(ranges, r)
		}
	}
	return ranges
}

// hashedUnit takes the digest of a unit.
func (p *Plan) hashedUnit(u unit, status int, digest string) {
	want := ""
	if status == 0 {
		var err error
		if want, err = u.want(); err != nil {
			p.finish(err)
			return
		}
	}
	if len(u.chunks) == 1 {
		p.hashed(u.chunks[0], u.digest, status, digest, want)
		return
	}
	back, wrong := unknown, &p.differed
	if u.chunks[0].state == checking {
		back, wrong = written, &p.doubt
	}
	switch {
	case status == interrupted:
	case status == 0 && digest == want:
		for _, c := range u.chunks {
			p.right(c)
		}
		return
	default: // which of them is found out one by one
		*wrong = true
	}
	for _, c := range u.chunks {
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
