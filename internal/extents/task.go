package extents

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Verb is what a worker is asked to do.
type Verb string

// The verbs of a [Task].
const (
	Probe Verb = "probe" // print the SHA-256 of Length bytes from each of Offsets
	Hash  Verb = "hash"  // print the SHA-256 of Count chunks of Length bytes from Offset
	Write Verb = "write" // fetch Length bytes and write them at Offset
	Zero  Verb = "zero"  // write Length zero bytes at Offset
	Wait  Verb = "wait"  // sleep for Offset seconds and ask again
	Quit  Verb = "quit"  // end with Offset as exit status
)

// Task is one thing to do. Its String is the line that the board's script reads.
type Task struct {
	ID             int64
	Verb           Verb
	Offset, Length int64
	Count          int     // of Hash
	Offsets        []int64 // of Probe
}

func (t Task) String() string {
	if t.Verb == Probe {
		return fmt.Sprintf("%d %s %s %d %d", t.ID, t.Verb, strings.Trim(strings.ReplaceAll(fmt.Sprint(t.Offsets), " ", ","), "[]"), t.Length, t.Count)
	}
	return fmt.Sprintf("%d %s %d %d %d", t.ID, t.Verb, t.Offset, t.Length, t.Count)
}

// worker is one loop of the board's script.
type worker struct {
	task   *Task // handed out, not reported yet
	chunks []*chunk
	probes []probe
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
			return Task{Verb: Wait, Offset: 1}
		case <-timer.C:
			return Task{Verb: Wait, Offset: 0}
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
		w.task = &Task{ID: p.id(), Verb: Quit, Offset: status}
		return
	default:
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
// one extent.
func (p *Plan) assignWrite(w *worker) {
	var t *Task
	for i := range p.chunks {
		c := &p.chunks[i]
		if t == nil {
			if c.state == differs {
				t = &Task{ID: p.id(), Verb: Write, Offset: c.Offset, Length: c.Size}
				if c.Zero {
					t.Verb = Zero
				}
				w.chunks = []*chunk{c}
			}
			continue
		}
		if c.state != differs || c.Offset != t.Offset+t.Length || c.Zero != (t.Verb == Zero) || t.Length+c.Size > p.extent(t.Verb) {
			break
		}
		t.Length += c.Size
		w.chunks = append(w.chunks, c)
	}
	if t == nil {
		return
	}
	for _, c := range w.chunks {
		p.set(c, writing)
	}
	w.task = t
}

// extent is how much one task of a kind may read or write: what the board does
// in about two seconds. Larger tasks cost the board fewer processes, smaller ones
// lose less when it is reset.
func (p *Plan) extent(v Verb) int64 {
	s := p.speeds[v]
	if s == nil {
		return min(16<<20, p.cfg.MaxExtent)
	}
	return min(max(int64(2*s.BytesPerSecond()), 4<<20), p.cfg.MaxExtent)
}

// assignRead chooses what is read next: first the probes, then enough
// comparisons to keep the writer busy, then what was written, then the rest.
func (p *Plan) assignRead(w *worker) {
	if len(p.probes) > 0 {
		w.task = p.nextProbe(w)
		return
	}
	var compare *chunk
	if p.decided {
		compare = p.find(func(c *chunk) bool { return c.state == unknown })
	}
	check := p.find(func(c *chunk) bool { return c.state == written })
	c := check
	if compare != nil && (check == nil || !p.backlog()) {
		c = compare
	}
	if c == nil {
		return
	}
	w.chunks = p.together(c)
	w.task = &Task{ID: p.id(), Verb: Hash, Offset: c.Offset, Length: c.Size, Count: len(w.chunks)}
	next := comparing
	if c.state == written {
		next = checking
	}
	for _, c := range w.chunks {
		p.set(c, next)
	}
}

// together returns c and the chunks behind it that are to be read for the same
// reason, up to one extent: every task costs the board a request and a few
// processes.
func (p *Plan) together(c *chunk) []*chunk {
	chunks := []*chunk{c}
	bytes := c.Size
	for i := c.index + 1; i < len(p.chunks); i++ {
		o := &p.chunks[i]
		bytes += o.Size
		if o.state != c.state || o.Size != c.Size || o.Offset != p.chunks[i-1].Offset+c.Size || bytes > p.extent(Hash) {
			break
		}
		chunks = append(chunks, o)
	}
	return chunks
}

func (p *Plan) find(want func(*chunk) bool) *chunk {
	for i := range p.chunks {
		if want(&p.chunks[i]) {
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
