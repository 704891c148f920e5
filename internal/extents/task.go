package extents

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verb is what a worker is asked to do.
type Verb string

// The verbs of a [Task].
const (
	Hash  Verb = "hash"  // print the digest of each unit
	Time  Verb = "time"  // say how quick two digests are
	Write Verb = "write" // fetch the bytes of the only unit and write them
	Zero  Verb = "zero"  // write zeros to the only unit
	Wait  Verb = "wait"  // sleep for Argument seconds and ask again
	Quit  Verb = "quit"  // end with Argument as exit status
)

// Task is one thing to do. Its String is the line that the board's script reads.
type Task struct {
	ID   int64
	Verb Verb
	// Units are what is read or written; each may be in several places.
	Units [][]Range
	// Argument is that of Wait and Quit, and of the others the bytes of all units.
	Argument int64
	// Digest is the program for Hash, and two with a comma between for Time.
	Digest string
	// Seconds are what a Write may take: the board then gives the transfer up.
	Seconds int64
}

func (t Task) String() string {
	if t.Verb == Time {
		return fmt.Sprintf("%d %s 0 - %s", t.ID, t.Verb, t.Digest)
	}
	if t.Verb == Wait || t.Verb == Quit {
		return fmt.Sprintf("%d %s %d", t.ID, t.Verb, t.Argument)
	}
	units := make([]string, len(t.Units))
	for i, u := range t.Units {
		units[i] = rangesText(u)
	}
	line := fmt.Sprintf("%d %s %d %s", t.ID, t.Verb, t.Argument, strings.Join(units, ","))
	switch t.Verb {
	case Hash:
		line += " " + t.Digest
	case Write:
		line += fmt.Sprint(" ", t.Seconds)
	}
	return line
}

// takes says whether a chunk can be added to a write. What is no whole sectors can
// only be the last of it.
func (t *Task) takes(c *chunk) bool {
	u := t.Units[0]
	last := u[len(u)-1]
	return last.Offset+last.Length == c.Offset || len(u)+len(c.ranges) <= maxRanges && last.Length%512 == 0
}

// add puts a chunk at the end of a write.
func (t *Task) add(c *chunk) {
	for _, r := range c.ranges {
		t.Units[0] = join(t.Units[0], r)
	}
	t.Argument += c.Size
}

// worker is one loop of the board's script.
type worker struct {
	task   *Task     // handed out, not reported yet
	chunks []*chunk  // of a write
	units  []unit    // of a Hash
	again  bool      // they are read for the second time
	probes []probe   // or these, and no units
	since  time.Time // the task was handed out
}

// patience is how long Ask waits for something to do before it sends the worker
// to sleep, which keeps requests short.
const patience = 10 * time.Second

// Ask returns the next task of a worker. Names that begin with "writer" write,
// all others read. A worker that has not reported its task is given it again: the
// answer got lost.
func (p *Plan) Ask(ctx context.Context, name string) Task {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		p.mu.Lock()
		w := p.workers[name]
		if w == nil {
			w = &worker{}
			p.workers[name] = w
		}
		if w.task == nil {
			p.assign(w, strings.HasPrefix(name, "writer"))
			w.since = time.Now()
		}
		task, change := w.task, p.change
		p.mu.Unlock()
		if task != nil {
			return *task
		}
		select {
		case <-change:
		case <-ctx.Done():
			return Task{Verb: Wait, Argument: 1}
		case <-timer.C:
			return Task{Verb: Wait}
		}
	}
}

// assign gives the worker a task, if there is one for it.
func (p *Plan) assign(w *worker, writes bool) {
	select {
	case <-p.done:
		status := int64(0)
		if p.err != nil {
			status = 1
		}
		w.task = &Task{ID: p.id(), Verb: Quit, Argument: status}
		return
	default:
	}
	if p.paused && !p.readingBack {
		w.task = &Task{ID: p.id(), Verb: Quit}
		return
	}
	if writes {
		p.assignWrite(w)
	} else {
		p.assignRead(w)
	}
}

func (p *Plan) id() int64 {
	p.nextID++
	return p.nextID
}

// assignWrite takes the first chunk that differs and those that follow it, up to
// one extent. There may be gaps between them.
func (p *Plan) assignWrite(w *worker) {
	var t *Task
	for i := range p.chunks {
		c := &p.chunks[i]
		if t == nil {
			if c.state == differs {
				t = &Task{ID: p.id(), Verb: Write, Units: make([][]Range, 1)}
				if c.Zero {
					t.Verb = Zero
				}
				t.add(c)
				w.chunks = []*chunk{c}
			}
			continue
		}
		if c.state != differs || !t.takes(c) || c.Zero != (t.Verb == Zero) || t.Argument+c.Size > p.extent(t.Verb) {
			break
		}
		t.add(c)
		w.chunks = append(w.chunks, c)
	}
	if t == nil {
		return
	}
	for _, c := range w.chunks {
		p.set(c, writing)
	}
	if t.Verb == Write {
		t.Seconds = p.writeLimit(t.Argument, w.chunks[0].unfetched)
	}
	w.task = t
}

const (
	// writeSeconds is how long the first write may take, and any other at most.
	writeSeconds = 900
	// shortestWrite is for pauses: a card's, and those of a busy host.
	shortestWrite = 60
)

// writeLimit is how many seconds a write may take: far more than those before it would
// have taken. A connection that stands still, of which neither end hears anything, is
// given up then, before the whole attempt is. Each time that this was tried already gets
// it twice as long: a card may have become that slow.
func (p *Plan) writeLimit(bytes int64, failed int) int64 {
	s := p.speeds[Write]
	if s == nil || s.Bytes == 0 {
		return writeSeconds
	}
	return int64(min(max(10*float64(bytes)/s.BytesPerSecond(), shortestWrite)*float64(int(1)<<failed), writeSeconds))
}

// extent is how much one task of a kind may read or write: what the board does
// in about two seconds, and four where it only reads. Larger tasks cost the board fewer
// processes, smaller ones lose less when it is reset.
func (p *Plan) extent(v Verb) int64 {
	s := p.speeds[v]
	if s == nil {
		return min(16<<20, p.cfg.MaxExtent)
	}
	seconds := 2.0
	if v == Hash {
		seconds = 4
	}
	return min(max(int64(seconds*s.BytesPerSecond()), 4<<20), p.cfg.MaxExtent)
}

// hashTask is the beginning of a Hash.
func (p *Plan) hashTask() *Task {
	if n := p.digest.Program; !slices.Contains(p.used, n) {
		p.used = append(p.used, n)
	}
	return &Task{ID: p.id(), Verb: Hash, Digest: p.digest.Program}
}

// assignRead chooses what is read next: first the probes, then enough
// comparisons to keep the writer busy, then what was written, then the rest. The
// digests are timed while others read. The second phase begins with what is to be read
// again.
func (p *Plan) assignRead(w *worker) {
	if !p.decided {
		if !p.underProbe() {
			w.task = p.nextProbe(w)
		}
		return
	}
	if p.assignTiming(w); w.task != nil {
		return
	}
	if p.assignAgain(w); w.task != nil {
		return
	}
	c := p.find(unknown)
	if p.mayCheck() {
		if check := p.find(written); check != nil && (c == nil || p.backlog()) {
			c = check
		}
	}
	if c == nil {
		return
	}
	w.units = p.units(p.alike(c))
	t := p.hashTask()
	next := comparing
	if c.state == written {
		next = checking
	}
	for _, u := range w.units {
		t.Units = append(t.Units, u.ranges())
		for _, c := range u.chunks {
			t.Argument += c.Size
			c.seen = p.writes
			p.set(c, next)
		}
	}
	w.task = t
}

// mayCheck says whether what was written may be read back by now.
func (p *Plan) mayCheck() bool {
	return p.cfg.Verify == VerifyWritten || p.readingBack && p.counts[unknown]+p.counts[differs]+p.counts[writing] == 0
}

// underProbe says whether a reader has probes.
func (p *Plan) underProbe() bool {
	for _, w := range p.workers {
		if len(w.probes) > 0 {
			return true
		}
	}
	return false
}

// alike returns c and the chunks behind it that are to be read for the same
// reason, up to one extent: every task costs the board a request and a few
// processes. Towards the end they become smaller, because the last is digested when
// nothing is left to be read meanwhile.
func (p *Plan) alike(c *chunk) []*chunk {
	chunks := []*chunk{c}
	bytes, ranges := c.Size, len(c.ranges)
	var left int64
	for i := c.index; i < len(p.chunks); i++ {
		if p.chunks[i].state == c.state {
			left += p.chunks[i].Size
		}
	}
	readers := int64(max(1, len(p.workers)-1))
	most := min(p.extent(Hash), max(left/(2*readers), p.measured().Unit/2))
	for i := c.index + 1; i < len(p.chunks); i++ {
		o := &p.chunks[i]
		bytes += o.Size
		ranges += len(o.ranges)
		if o.state != c.state || ranges > maxRanges || bytes > most {
			break
		}
		chunks = append(chunks, o)
	}
	return chunks
}

// find returns the first chunk in a state.
func (p *Plan) find(s state) *chunk {
	if p.counts[s] == 0 {
		return nil
	}
	for i := range p.chunks {
		if p.chunks[i].state == s {
			return &p.chunks[i]
		}
	}
	return nil
}

// backlog says whether the writer has enough to do for the next while.
func (p *Plan) backlog() bool {
	var bytes int64
	for i := range p.chunks {
		if p.chunks[i].state == differs {
			if bytes += p.chunks[i].Size; bytes >= 2*p.extent(Write) {
				return true
			}
		}
	}
	return false
}
