package xz

import (
	"fmt"

	"github.com/dutflash/dutflash/internal/lzma2"
)

// plan is the memory that one block gets.
type plan struct {
	history  int64 // dictionary beside the window, for filtered blocks
	window   int64
	enough   int64 // a window of this size that is there does as well
	inFlight int64 // how many such blocks may be there at the same time
}

const (
	// lookahead is how far a decoder may be ahead of the reader at least.
	lookahead = 1 << 20
	// inputSize is the compressed input that must be in memory at least.
	inputSize = 2 * pieceSize
	// smallBlocks is the sum of sizes up to which blocks are in flight although
	// there are enough for all workers: small ones are through in no time.
	smallBlocks = 8 << 20
)

// plan divides the memory. queued is how much compressed input will wait in
// memory, alone says that no other block is decoded beside this one. Where two
// whole blocks fit into the limit each gets room for all its output, so that
// its worker never waits. Larger ones get half of the limit each, but at least
// their dictionary, and the second stops when that is full until it is its turn
// to be read.
func (o Options) plan(h *blockHeader, uncompressed, queued int64, alone bool) (plan, error) {
	dict := h.dict + lzma2.WindowSlack
	full := dict + lookahead
	if uncompressed != unknown {
		dict = min(dict, uncompressed)
		full = uncompressed
	}
	var p plan
	least := dict
	if len(h.filters) > 0 {
		p.history = dict
		least = min(full, lookahead)
	}
	if need := p.history + least + inputSize; need > o.MemoryLimit {
		return p, fmt.Errorf("%w: a dictionary of %d bytes takes %d bytes, the limit is %d",
			ErrMemoryLimit, h.dict, need, o.MemoryLimit)
	}
	each := p.history + full + queued + inputSize
	switch fit := o.MemoryLimit / each; {
	case alone || o.Workers == 1:
		p.window = min(full, max(least, dict+lookahead))
		p.inFlight = 2
	case fit >= 2:
		p.window = full
		p.inFlight = min(fit, max(int64(o.Workers), smallBlocks/each))
	default:
		p.window = min(full, max(least, o.MemoryLimit/2-p.history-queued-inputSize))
		p.inFlight = 2
	}
	p.window = min(p.window, o.MemoryLimit-p.history-inputSize)
	p.enough = p.window
	if p.window < full {
		// Blocks differ in their compressed size, and so would their windows,
		// of which none would do for the next block.
		p.enough = max(least, p.window/4*3)
	}
	return p, nil
}

// prepare gives b its buffers, waiting until others have given theirs back.
func (r *reader) prepare(b *block, queued int64, alone bool) error {
	chain, err := newFilterChain(b.header.filters)
	if err != nil {
		return b.wrap(err)
	}
	p, err := r.opts.plan(&b.header, b.uncompressed, queued, alone)
	if err != nil {
		return b.wrap(err)
	}
	b.chain = chain
	if err := r.mem.begin(p); err != nil {
		return err
	}
	buf, err := r.mem.window(p.window, p.enough, p.history+inputSize)
	if err != nil {
		return err
	}
	b.win = newWindow(buf, r.done)
	if chain != nil {
		if b.history, err = r.mem.window(p.history, p.history, int64(cap(buf))+inputSize); err != nil {
			return err
		}
	}
	return nil
}

// release takes the buffers of b back when it was read to its end.
func (r *reader) release(b *block) {
	r.mem.putWindow(b.win.buf)
	if b.history != nil {
		r.mem.putWindow(b.history)
	}
	r.mem.end()
}
