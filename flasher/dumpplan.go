package flasher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dutflash/dutflash/internal/extents"
)

// What ends a dump for good when it has failed that often at one place.
const (
	maxPieceReads = 3
	maxPieceSends = 10
)

// ahead is how many pieces may be read before the one that w waits for.
const ahead = 3

// dumpPlan says which piece of a device is read and sent next. Each piece is
// proved by itself: the board's digest of what it read is that of what arrived.
type dumpPlan struct {
	start, end int64 // of the device, start at a whole MiB
	piece      int64 // bytes of a piece, whole MiB
	digest     extents.Digest
	zeroSum    string // of a piece of zeros

	mu      sync.Mutex
	change  chan struct{} // closed and replaced whenever something changes
	next    int64         // first that was never handed out
	again   []int64       // pieces to be read once more, ascending
	ready   map[int64][]byte
	pos     int64 // what is before it is written
	workers map[string]*dumpWorker
	ids     int64
	codec   codecChoice
	failed  map[int64]*[2]int // reads and sends that failed, by piece
	wire    int64
	zero    int64
	err     error
	ended   bool
}

// dumpWorker is one loop of the board's script.
type dumpWorker struct {
	task  *dumpTask
	begun time.Time
	at    int64  // its piece; -1 for none
	sum   string // the board's digest of it, "" before it is read
	size  int64
	data  []byte // what arrived, proved
}

// dumpTask is one thing for a worker to do.
type dumpTask struct {
	id   int64
	verb string // read, send, wait, quit
	a    string
	b    int64
}

func (t dumpTask) String() string { return fmt.Sprintf("%d %s %s %d", t.id, t.verb, t.a, t.b) }

func newDumpPlan(start, end, piece int64, d extents.Digest, codecs []string) *dumpPlan {
	p := &dumpPlan{
		start: start, end: end, piece: piece, digest: d, next: start, pos: start,
		zeroSum: d.Sum(make([]byte, piece)), change: make(chan struct{}),
		ready: map[int64][]byte{}, failed: map[int64]*[2]int{}, workers: map[string]*dumpWorker{},
		codec: newCodecChoice(codecs),
	}
	return p
}

// size returns the bytes of the piece at an offset.
func (p *dumpPlan) size(at int64) int64 { return min(p.piece, p.end-at) }

// wake tells everybody who waits that something changed.
func (p *dumpPlan) wake() {
	close(p.change)
	p.change = make(chan struct{})
}

// finish ends the plan; the first reason counts.
func (p *dumpPlan) finish(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end1(err)
}

func (p *dumpPlan) end1(err error) {
	if !p.ended {
		p.ended, p.err = true, err
		p.wake()
	}
}

// forget takes the pieces of a board that is lost back.
func (p *dumpPlan) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		p.giveBack(w)
	}
	clear(p.workers)
	p.wake()
}

func (p *dumpPlan) giveBack(w *dumpWorker) {
	if w.at >= 0 {
		p.again = append(p.again, w.at)
		slices.Sort(p.again)
	}
	*w = dumpWorker{at: -1}
}

// ask returns the next task of a worker; one that it has not reported is given
// again, because the answer got lost.
func (p *dumpPlan) ask(ctx context.Context, name string) dumpTask {
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	for {
		p.mu.Lock()
		w := p.workers[name]
		if w == nil {
			w = &dumpWorker{at: -1}
			p.workers[name] = w
		}
		if w.task == nil {
			p.assign(w)
		}
		task, change := w.task, p.change
		p.mu.Unlock()
		if task != nil {
			return *task
		}
		select {
		case <-change:
		case <-ctx.Done():
			return dumpTask{verb: "wait", a: "1"}
		case <-timer.C:
			return dumpTask{verb: "wait", a: "0"}
		}
	}
}

func (p *dumpPlan) assign(w *dumpWorker) {
	t := &dumpTask{}
	switch {
	case p.ended && p.err != nil:
		t.verb, t.a = "quit", "1"
	case p.ended || p.pos >= p.end:
		t.verb, t.a = "quit", "0"
	case w.at >= 0: // it has read a piece
		t.verb, t.a = "send", p.codec.next()
	default:
		at, ok := p.choose()
		if !ok {
			return
		}
		w.at = at
		t.verb, t.a, t.b = "read", strconv.FormatInt(at>>20, 10), (p.size(at)+1<<20-1)>>20
	}
	p.ids++
	t.id, w.task, w.begun = p.ids, t, time.Now()
}

// choose returns the piece that is read next, if there is one. While the codecs
// are measured only one piece is on its way, so that they do not disturb each
// other.
func (p *dumpPlan) choose() (int64, bool) {
	if p.codec.measuring() {
		for _, w := range p.workers {
			if w.at >= 0 {
				return 0, false
			}
		}
	}
	if len(p.again) > 0 {
		at := p.again[0]
		p.again = p.again[1:]
		return at, true
	}
	if p.next >= p.end || p.next >= p.pos+ahead*p.piece {
		return 0, false
	}
	at := p.next
	p.next += p.size(at)
	return at, true
}

// report says how a worker's task ended. A report on another task than its
// present one is a repetition.
func (p *dumpPlan) report(name string, id int64, status int, said string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workers[name]
	if w == nil || w.task == nil || w.task.id != id {
		return
	}
	task := w.task
	w.task = nil
	switch task.verb {
	case "read":
		p.haveRead(w, status, said)
	case "send":
		p.haveSent(w, task.a, status)
	}
	p.wake()
}

func (p *dumpPlan) haveRead(w *dumpWorker, status int, said string) {
	sum, size, _ := strings.Cut(said, ",")
	n, err := strconv.ParseInt(size, 10, 64)
	switch {
	case status != 0 || err != nil || n < p.size(w.at) || len(sum) != len(p.zeroSum):
		if c := p.count(w.at); c[0] >= maxPieceReads {
			p.end1(fmt.Errorf("%w: %d bytes at offset %d, %d times (exit status %d, %q)", ErrDeviceRead, p.size(w.at), w.at, c[0]+1, status, said))
		} else {
			c[0]++
		}
		p.giveBack(w)
	case n == p.piece && sum == p.zeroSum:
		p.zero += p.size(w.at)
		p.complete(w, nil)
	default:
		w.sum, w.size = sum, n
	}
}

func (p *dumpPlan) haveSent(w *dumpWorker, codec string, status int) {
	if w.data != nil { // also where only the answer got lost
		p.codec.took(codec, w.size, time.Since(w.begun))
		p.complete(w, w.data)
		return
	}
	if c := p.count(w.at); c[1] >= maxPieceSends {
		p.end1(fmt.Errorf("%w: %d bytes from offset %d, %d times (exit status %d)", ErrDumpTransfer, p.size(w.at), w.at, c[1]+1, status))
	} else {
		c[1]++
	}
	// Compressed that way it does not arrive: another way may.
	p.codec.failed(codec)
}

func (p *dumpPlan) count(at int64) *[2]int {
	if p.failed[at] == nil {
		p.failed[at] = &[2]int{}
	}
	return p.failed[at]
}

// complete hands a proved piece to the writer; nil is zeros.
func (p *dumpPlan) complete(w *dumpWorker, data []byte) {
	p.ready[w.at] = data
	*w = dumpWorker{at: -1}
}

// errWrongPiece says that what arrived is not what the board read.
var errWrongPiece = errors.New("what arrived is not what the board read")

// receive takes what a worker sends and proves it.
func (p *dumpPlan) receive(name string, body io.Reader) error {
	p.mu.Lock()
	w := p.workers[name]
	if w == nil || w.task == nil || w.task.verb != "send" {
		p.mu.Unlock()
		return errors.New("nothing was asked for")
	}
	id, codec, sum, size := w.task.id, w.task.a, w.sum, w.size
	p.mu.Unlock()
	unpacked, err := unpack(codec, &wireCounter{body, p})
	if err != nil {
		return err
	}
	defer unpacked.Close()
	var b bytes.Buffer
	b.Grow(int(size) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(unpacked, size+1)); err != nil {
		return err
	}
	if int64(b.Len()) != size || p.digest.Sum(b.Bytes()) != sum {
		return fmt.Errorf("%w: %d bytes", errWrongPiece, b.Len())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.task != nil && w.task.id == id {
		w.data = b.Bytes()
	}
	return nil
}

// wireCounter counts what crosses the network.
type wireCounter struct {
	r io.Reader
	p *dumpPlan
}

func (c *wireCounter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.p.mu.Lock()
	c.p.wire += int64(n)
	c.p.mu.Unlock()
	return n, err
}

// wait returns the piece at pos when it is proved; nil, io.EOF at the end.
func (p *dumpPlan) wait(ctx context.Context) ([]byte, error) {
	for {
		p.mu.Lock()
		data, ok := p.ready[p.pos]
		at, size, change, ended, err := p.pos, p.size(p.pos), p.change, p.ended, p.err
		p.mu.Unlock()
		switch {
		case ended && err != nil:
			return nil, err
		case at >= p.end:
			return nil, io.EOF
		case ok && data == nil:
			return make([]byte, size), nil
		case ok:
			return data[:size], nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// written says that the piece at pos is out of the house.
func (p *dumpPlan) written() {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.ready, p.pos)
	delete(p.failed, p.pos)
	p.pos += p.size(p.pos)
	p.wake()
}

// state is what a watcher looks at.
func (p *dumpPlan) state() (pos, wire, zero int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pos, p.wire, p.zero
}
