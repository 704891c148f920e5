package extents

import (
	"strconv"
	"strings"
)

// clearlyQuicker is how many times as fast the other digest has to be: the host has to
// read the image once more for it.
const clearlyQuicker = 1.15

// timing is where the timing of the board's two digests stands.
type timing struct {
	due, busy bool
	times     times
}

// times are the best of what the board said of each program: how many blocks of 256 KiB
// it digested, in how few hundredths of a second of its processor, and how often that was tried.
type times map[string]struct{ blocks, ticks, tries int64 }

// assignTiming has a reader time the digests while the others read.
func (p *Plan) assignTiming(w *worker) {
	if p.timing.due && !p.timing.busy {
		p.timing.busy = true
		w.task = &Task{ID: p.id(), Verb: Time, Digest: p.digest.Program + "," + p.cfg.Other.Program}
	}
}

// timed takes what the board found out, program:blocks:ticks with a comma behind each. A
// board that cannot time them keeps to the first.
func (p *Plan) timed(said string) {
	p.timing = timing{times: parseTimes(said)}
	if p.timing.times.quicker(p.cfg.Other.Program, p.digest.Program) {
		p.digest = p.cfg.Other
	}
}

// parseTimes takes the best of what was said of the most blocks that it came to.
func parseTimes(said string) times {
	t, most := times{}, int64(0)
	for word := range strings.SplitSeq(said, ",") {
		f := strings.Split(word, ":")
		if len(f) != 3 {
			continue
		}
		blocks, err1 := strconv.ParseInt(f[1], 10, 64)
		ticks, err2 := strconv.ParseInt(f[2], 10, 64)
		if err1 != nil || err2 != nil || blocks < max(most, 1) || ticks < 0 {
			continue
		}
		if blocks > most {
			most, t = blocks, times{}
		}
		best, known := t[f[0]]
		if !known || ticks < best.ticks {
			best.ticks = ticks
		}
		best.blocks = blocks
		best.tries++
		t[f[0]] = best
	}
	return t
}

// quicker says whether a is clearly quicker than b. The times may be wrong by a tick.
func (t times) quicker(a, b string) bool {
	x, y := t[a], t[b]
	return y.blocks > 0 && x.blocks == y.blocks && x.tries == y.tries && float64(y.ticks-1) >= clearlyQuicker*float64(x.ticks)
}

// DigestSpeeds returns how many bytes per second the board digested by each program when
// it timed them; nothing where it has not.
func (p *Plan) DigestSpeeds() map[string]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	speeds := map[string]int64{}
	for program, best := range p.timing.times {
		speeds[program] = best.blocks * (256 << 10) * 100 / max(best.ticks, 1)
	}
	return speeds
}

// Digest returns the program by which the board digests from now on.
func (p *Plan) Digest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.digest.Program
}

// Digests returns the programs by which the board digested what was compared and read
// back, in the order of their first use: more than one where it began before it was known
// which is the quicker.
func (p *Plan) Digests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.used...)
}
