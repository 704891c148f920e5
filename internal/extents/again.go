package extents

import (
	"encoding/hex"
	"fmt"
	"io"
	"sync"
)

// What was read before the last write ended may have been overwritten by it: on a
// medium that has less than it claims, what is written at its end falls on its
// beginning. Pieces of such chunks are read again when everything is written.

const (
	// againSize is how many bytes are read again in one place.
	againSize = 64 << 10
	// againPieces is in how many places.
	againPieces = 32
)

// piece is a stretch of a chunk.
type piece struct {
	Range
	chunk *chunk
}

// again is where reading again stands.
type again struct {
	busy   bool // a reader has it
	each   bool // the pieces together were wrong, or could not be read: which of them?
	wrong  bool // they were wrong
	failed int  // how often they could not be read
	writes int  // had ended when it was last done
}

// owesAgain says whether there is anything to be read again.
func (p *Plan) owesAgain() bool {
	return p.again.busy || p.cfg.Verify != VerifyNone && p.again.writes < p.writes && len(p.early()) > 0
}

// early chooses pieces of the chunks that were proved before the last write ended.
func (p *Plan) early() []piece {
	var ranges []piece
	for i := range p.chunks {
		c := &p.chunks[i]
		if c.state == proved && c.seen < p.writes {
			for _, r := range c.ranges {
				ranges = append(ranges, piece{r, c})
			}
		}
	}
	return spread(ranges)
}

// spread chooses pieces of againSize, at multiples of that, evenly spread over
// ranges from the first to the last.
func spread(ranges []piece) []piece {
	var total int64
	within := func(r Range) (first, n int64) {
		first = (r.Offset + againSize - 1) / againSize
		return first, max(0, (r.Offset+r.Length)/againSize-first)
	}
	for _, r := range ranges {
		_, n := within(r.Range)
		total += n
	}
	var pieces []piece
	before := int64(0) // in the ranges before
	for _, r := range ranges {
		first, n := within(r.Range)
		for len(pieces) < againPieces {
			next := int64(len(pieces)) * (total - 1) / (againPieces - 1)
			if total <= againPieces {
				next = int64(len(pieces))
			}
			if next >= before+n || next >= total {
				break
			}
			pieces = append(pieces, piece{Range{(first + next - before) * againSize, againSize}, r.chunk})
		}
		before += n
	}
	return pieces
}

// assignAgain gives a reader what is to be read again, once nothing is to be written any
// more. It comes before what was written is read back, which the medium takes time for
// and the board's processor does not: these are many processes.
func (p *Plan) assignAgain(w *worker) {
	n := &p.counts
	if !p.readingBack || p.again.busy || n[unknown]+n[differs]+n[writing] > 0 || !p.owesAgain() {
		return
	}
	pieces := p.early()
	p.again.busy, p.again.writes, w.again = true, p.writes, true
	if p.again.each {
		for _, one := range pieces {
			w.units = append(w.units, p.unitOf([]piece{one}))
		}
	} else { // one digest for all of them saves the board most of the processes
		w.units = []unit{p.unitOf(pieces)}
	}
	w.task = p.hashTask()
	for _, u := range w.units {
		w.task.Units = append(w.task.Units, u.ranges())
		w.task.Argument += int64(len(u.pieces)) * againSize
	}
}

// unitOf is a unit of pieces. Of a single piece the whole chunk is read here, so that an
// image that changed is not taken for a medium that did.
func (p *Plan) unitOf(pieces []piece) unit {
	d := p.digest
	return unit{pieces: pieces, digest: d, want: sync.OnceValues(func() (string, error) {
		if len(pieces) == 1 {
			if _, err := p.sumOf([]*chunk{pieces[0].chunk}, d); err != nil {
				return "", err
			}
		}
		h := d.New()
		for _, one := range pieces {
			if _, err := io.CopyN(h, io.NewSectionReader(p.cfg.Image, one.Offset, one.Length), one.Length); err != nil {
				return "", fmt.Errorf("read the image at %d: %w", one.Offset, err)
			}
		}
		return hex.EncodeToString(h.Sum(nil)), nil
	})}
}

// readAgain takes the digests of what was read again.
func (p *Plan) readAgain(units []unit, status int, sums []string) {
	a := &p.again
	a.busy = false
	if status != 0 {
		// Which piece it is that cannot be read is found out by reading each.
		bad := units[min(len(units)-1, max(0, len(sums)-1))].pieces[0]
		if a.failed++; a.failed > maxAttempts {
			p.finish(fmt.Errorf("%w: %d bytes at offset %d, %d times (exit status %d)", ErrRead, againSize, bad.Offset, a.failed, status))
			return
		}
		a.each, a.writes = true, 0
		return
	}
	for i, u := range units {
		want, err := u.want()
		if err != nil {
			p.finish(err)
			return
		}
		if i < len(sums) && sums[i] == want {
			continue
		}
		if len(u.pieces) > 1 {
			a.each, a.wrong, a.writes = true, true, 0
			return
		}
		p.finish(fmt.Errorf("%w: %d bytes at offset %d were right when they were read, and are not any more: %s of the device is %s, of the image %s (a medium that has less than it claims does this)",
			ErrVerify, againSize, u.pieces[0].Offset, u.digest.Name(), sums[min(i, len(sums)-1)], want))
		return
	}
	if a.wrong {
		p.finish(fmt.Errorf("%w: %d pieces that were read again had another digest, and each by itself the right one: the device reads differently each time", ErrVerify, len(units)))
	}
}
