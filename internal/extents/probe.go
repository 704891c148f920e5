package extents

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// maxProbes is how many chunks of a class are looked at before it is decided
// whether comparing can pay off; probeSize is how many bytes of each.
const (
	maxProbes = 8
	probeSize = 64 << 10
)

// probe is a small piece of a chunk: if it differs, the chunk does, and the board
// need not hash the rest to know.
type probe struct {
	chunk  *chunk
	offset int64
	sum    [sha256.Size]byte
}

// Findings is what the probes said: whether it can pay off to compare the rest.
type Findings struct {
	// Decided says that the probes are back, or that none were needed.
	Decided bool
	// DataProbes of the chunks with data were looked at, and DataEqual had what
	// the image has; the same for the zero chunks.
	DataProbes, DataEqual, ZeroProbes, ZeroEqual int
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
	if p.cfg.WriteAll {
		for i := range p.chunks {
			p.set(&p.chunks[i], differs)
		}
		p.decided = true
		return nil
	}
	var members [classes][]*chunk
	for i := range p.chunks {
		c := &p.chunks[i]
		members[c.class()] = append(members[c.class()], c)
	}
	for _, m := range members {
		n := min(maxProbes, len(m))
		for j := range n {
			pr, err := p.probeOf(m[j*len(m)/n])
			if err != nil {
				return err
			}
			p.probes = append(p.probes, pr)
		}
	}
	return nil
}

func (p *Plan) probeOf(c *chunk) (probe, error) {
	b := make([]byte, min(probeSize, c.Size))
	if c.Zero {
		return probe{c, c.Offset, sha256.Sum256(b)}, nil
	}
	for at := c.Offset; at+int64(len(b)) <= c.Offset+c.Size; at += probeSize {
		if n, err := p.cfg.Image.ReadAt(b, at); n < len(b) {
			return probe{}, fmt.Errorf("read the image at %d: %w", at, err)
		}
		if len(bytes.TrimLeft(b, "\x00")) > 0 {
			return probe{c, at, sha256.Sum256(b)}, nil
		}
	}
	// Only the end that is no whole piece has data: the beginning will do.
	return probe{c, c.Offset, sha256.Sum256(b)}, nil
}

// nextProbe returns the task for the first probes of equal length.
func (p *Plan) nextProbe(w *worker) *Task {
	length := p.probes[0].length()
	t := &Task{ID: p.id(), Verb: Probe, Length: length}
	for len(p.probes) > 0 && p.probes[0].length() == length {
		w.probes = append(w.probes, p.probes[0])
		t.Offsets = append(t.Offsets, p.probes[0].offset)
		p.probes = p.probes[1:]
	}
	t.Count = len(t.Offsets)
	return t
}

func (p probe) length() int64 { return min(probeSize, p.chunk.Size) }

// probed takes the digests of a Probe task, and after the last of them decides
// which chunks are compared. One that the board could not read counts as equal:
// the comparison will tell what is wrong.
func (p *Plan) probed(probes []probe, sums []string) {
	for i, pr := range probes {
		equal := i >= len(sums) || sums[i] == "" || sums[i] == hex.EncodeToString(pr.sum[:])
		if !equal {
			p.set(pr.chunk, differs)
		}
		n := 0
		if equal {
			n = 1
		}
		if pr.chunk.Zero {
			p.found.ZeroProbes++
			p.found.ZeroEqual += n
		} else {
			p.found.DataProbes++
			p.found.DataEqual += n
		}
	}
	if len(p.probes) > 0 {
		return
	}
	for _, w := range p.workers {
		if len(w.probes) > 0 {
			return // another reader has some
		}
	}
	p.decided = true
	for i := range p.chunks {
		c := &p.chunks[i]
		hopeless := !c.Zero && p.found.DataEqual == 0 || c.Zero && p.found.ZeroEqual == 0
		if c.state == unknown && hopeless {
			p.set(c, differs)
		}
	}
}
