package extents

import (
	"bytes"
	"fmt"
)

// maxProbes is how many chunks of a class are looked at before it is decided
// whether comparing can pay off, firstProbes how many of them at first: one that
// the device has is enough. probeSize is how many bytes of each.
const (
	maxProbes   = 8
	firstProbes = 2
	probeSize   = 64 << 10
)

// probe is a small piece of a chunk: if it differs, the chunk does, and the board
// need not hash the rest to know.
type probe struct {
	chunk *chunk
	piece Range
	sum   string
}

// Findings is what the probes said: whether it can pay off to compare the rest.
type Findings struct {
	// Decided says that the probes are back, or that none were needed.
	Decided bool
	// DataProbes of the chunks with data were looked at, and DataEqual had what
	// the image has; the same for the zero chunks.
	DataProbes, DataEqual, ZeroProbes, ZeroEqual int
	// Blank says that the disk seems to be blank, where that matters: no data was
	// found, and all that is to be zero was.
	Blank bool
}

// Findings returns what the probes said.
func (p *Plan) Findings() Findings {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found.Decided = p.decided
	return p.found
}

// chooseProbes picks pieces of chunks of each class, spread over the image. In a
// chunk with data the piece is one that is not zero, or a blank disk would look
// like the image.
func (p *Plan) chooseProbes() error {
	var members [classes][]*chunk
	for i := range p.chunks {
		c := &p.chunks[i]
		members[c.class()] = append(members[c.class()], c)
	}
	for class, m := range members {
		n := min(maxProbes, len(m))
		for j := range n {
			// From the middle on: the beginning of a disk is alike most often.
			pr, err := p.probeOf(m[(j+n/2)%n*len(m)/n])
			if err != nil {
				return err
			}
			p.probes[class] = append(p.probes[class], pr)
		}
	}
	return nil
}

func (p *Plan) probeOf(c *chunk) (probe, error) {
	first := probe{chunk: c, piece: Range{c.ranges[0].Offset, min(probeSize, c.ranges[0].Length)}}
	b := make([]byte, probeSize)
	if c.Zero {
		first.sum = p.cfg.Digest.Sum(b[:first.piece.Length])
		return first, nil
	}
	for i, r := range c.ranges {
		for at := r.Offset; at < r.Offset+r.Length; at += probeSize {
			b = b[:min(probeSize, r.Offset+r.Length-at)]
			if n, err := p.cfg.Image.ReadAt(b, at); n < len(b) {
				return probe{}, fmt.Errorf("read the image at %d: %w", at, err)
			}
			pr := probe{c, Range{at, int64(len(b))}, p.cfg.Digest.Sum(b)}
			if len(bytes.TrimLeft(b, "\x00")) > 0 {
				return pr, nil
			}
			if i == 0 && at == r.Offset {
				first = pr
			}
		}
	}
	return first, nil // the image is not what it was said to be
}

// nextProbe returns the task for the next probes, nil where there are none.
func (p *Plan) nextProbe(w *worker) *Task {
	t := &Task{Verb: Hash, Digest: p.cfg.Digest.Program}
	for class, queue := range p.probes {
		n := len(queue)
		if p.looked(class) == 0 {
			n = min(n, firstProbes)
		}
		for _, pr := range queue[:n] {
			w.probes = append(w.probes, pr)
			t.Units = append(t.Units, []Range{pr.piece})
			t.Argument += pr.piece.Length
		}
		p.probes[class] = queue[n:]
	}
	if t.Units == nil {
		return nil
	}
	t.ID = p.id()
	return t
}

// looked is how many probes of a class are back.
func (p *Plan) looked(c int) int {
	if class(c) == zero {
		return p.found.ZeroProbes
	}
	return p.found.DataProbes
}

// probed takes the digests of probes, and after the last of them decides which
// chunks are compared. One that the board could not read counts as equal: the
// comparison will tell what is wrong.
func (p *Plan) probed(probes []probe, sums []string) {
	for i, pr := range probes {
		equal := i >= len(sums) || sums[i] == "" || sums[i] == pr.sum
		n := 0
		if equal {
			n = 1
		} else {
			p.set(pr.chunk, differs)
		}
		if pr.chunk.Zero {
			p.found.ZeroProbes++
			p.found.ZeroEqual += n
		} else {
			p.found.DataProbes++
			p.found.DataEqual += n
		}
	}
	f := &p.found
	blank := p.cfg.Verify == VerifyFull && f.DataEqual == 0 && f.ZeroEqual == f.ZeroProbes // until now
	if f.DataEqual > 0 {
		p.probes[data] = nil // nothing more to find out
	}
	if f.ZeroEqual > 0 && !blank {
		p.probes[zero] = nil
	}
	if len(p.probes[data])+len(p.probes[zero]) > 0 {
		return
	}
	p.decided = true
	f.Blank = blank && f.ZeroProbes > 0
	for i := range p.chunks {
		switch c := &p.chunks[i]; {
		case c.state != unknown:
		case f.Blank && c.Zero:
			p.set(c, presumed)
			p.stats.Presumed += c.Size
		case !c.Zero && f.DataEqual == 0 || c.Zero && f.ZeroEqual == 0:
			p.set(c, differs)
		}
	}
}
