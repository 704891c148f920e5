// Package extents decides, chunk by chunk, what a board has to read, write and
// read again until its block device holds an image, and proves that it does.
//
// The board runs a small script with a few workers; each asks for a task,
// carries it out and reports. Everything that needs thought is here, on the
// host: which chunks the board has already, which are sent, which are zero and
// need no transfer, what is read back, and when a failure is final.
//
// A run has two phases, and the script is run once for each. In the first the board
// gets what it lacks. In the second, when all of that is flushed, it reads back what
// was written, which is the proof of that. A chunk that the board was found to have
// was read past its page cache in this run, which is its proof; see also again.go.
package extents

import (
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
	"time"
)

// Chunk is one piece of the image.
type Chunk struct {
	Offset, Size int64
	// Zero says that all bytes are zero; they are written without transfer.
	Zero bool
	// SHA256 is the digest of the chunk's bytes, also when they are zero.
	SHA256 [sha256.Size]byte
}

// Verify says what is read back, and when.
type Verify int

const (
	// VerifyFull reads back what was written when all of it is flushed. Where the
	// disk seems to be blank, the zero chunks are read then too, and not before, so
	// that every byte is read once, after the last write.
	VerifyFull Verify = iota
	// VerifyWritten reads back what was written as soon as it is flushed, while
	// other chunks are written still.
	VerifyWritten
	// VerifyNone believes the board about what it wrote.
	VerifyNone
)

// Config is what a Plan is made from.
type Config struct {
	// Chunks are ascending and do not overlap. What lies between them is
	// neither read nor written. Offsets are multiples of 512; chunks at
	// multiples of 1 MiB are the fastest. Small ones that follow each other are
	// compared, written and read back together.
	Chunks []Chunk
	// Image holds the bytes of the chunks.
	Image  io.ReaderAt
	Verify Verify
	// WriteAll skips the comparison: every chunk is written.
	WriteAll bool
	// Written says that every chunk was written by another way: the first phase is
	// over, and what the second finds wrong is written again.
	Written bool
	// Digest is the one that the board has; without a program it is [SHA256]. For
	// another the image is read once more, and its SHA-256 compared on the way.
	Digest Digest
	// Other, where it has a program, is one that the board has as well. Where it has
	// files in memory, it times both while it reads, and goes on with Other if that is
	// clearly quicker.
	Other Digest
	// MaxExtent bounds what one task reads or writes; 0 is 64 MiB. Tasks are
	// smaller where the board takes longer than about two seconds for that.
	MaxExtent int64
}

// state is where a chunk stands.
type state uint8

const (
	unknown   state = iota // nobody has looked at the device
	presumed               // to be there, because the disk seems blank; unknown in the second phase
	comparing              // a reader computes its digest
	differs                // to be written
	writing                // a writer has it
	written                // to be read back
	checking               // a reader reads it back
	proved                 // on the device for certain, or believed with VerifyNone
)

// class separates chunks with data from zero chunks: a blank disk has all of
// one and none of the other.
type class uint8

const (
	data class = iota
	zero
	classes
)

type chunk struct {
	Chunk          // Offset is where it begins, Size are its bytes without gaps
	given  []Chunk // what it consists of
	ranges []Range // and where that is
	index  int     // in the plan
	state  state
	// seen is how many writes had ended when it was last read.
	seen int
	// How often it could not be read, was refused by the device, could not
	// be fetched, and was read back wrong.
	unread, refused, unfetched, wrong int
}

func (c *chunk) class() class {
	if c.Zero {
		return zero
	}
	return data
}

// Stats are byte counts of a Plan. Presumed, Unchanged, Written and what is left add
// up to Total; what had to be written again counts again.
type Stats struct {
	Total     int64 // bytes of all chunks
	Presumed  int64 // zeros that the second phase looks for, because the disk seems blank
	Unchanged int64 // found on the device, not written
	Written   int64 // written, proved or not yet
	Zeroed    int64 // the part of Written that was zeros
	Proved    int64 // read back or found, digest equal
	Sent      int64 // bytes handed to the network for the board
}

// Plan is the state of one run on one device. It may be used by several
// workers at once.
type Plan struct {
	cfg Config

	mu      sync.Mutex
	chunks  []chunk
	counts  [proved + 1]int
	probes  [classes][]probe // not looked at yet
	decided bool             // the probes are back
	found   Findings
	probing time.Duration // the probes took
	// A comparison found a difference, and something was read back wrong.
	differed, doubt bool
	paused          bool // the first phase is over
	readingBack     bool // the second has begun
	writes          int  // that ended, well or not
	again           again
	digest          Digest // for what is digested from now on
	used            []string
	timing          timing
	speeds          map[Verb]*Speed
	workers         map[string]*worker
	nextID          int64
	stats           Stats
	err             error
	change          chan struct{} // closed and replaced whenever something changes
	done            chan struct{}
}

// New returns a Plan for the chunks.
func New(cfg Config) (*Plan, error) {
	if cfg.MaxExtent == 0 {
		cfg.MaxExtent = 64 << 20
	}
	if cfg.Digest.Program == "" {
		cfg.Digest = SHA256
	}
	p := &Plan{
		cfg: cfg, digest: cfg.Digest, timing: timing{due: cfg.Other.Program != ""},
		workers: map[string]*worker{}, speeds: map[Verb]*Speed{},
		change: make(chan struct{}), done: make(chan struct{}),
	}
	var end int64
	for i, c := range cfg.Chunks {
		if c.Offset < end || c.Offset%512 != 0 || c.Size <= 0 {
			return nil, fmt.Errorf("chunk %d (offset %d, size %d) does not follow the one before, which ends at %d, in whole sectors of 512 bytes", i, c.Offset, c.Size, end)
		}
		end = c.Offset + c.Size
		p.stats.Total += c.Size
	}
	if end == 0 {
		return nil, fmt.Errorf("the image has no chunks")
	}
	p.chunks = gather(cfg.Chunks)
	p.counts[unknown] = len(p.chunks)
	if cfg.Written {
		p.decide(written)
		p.paused = true
		return p, nil
	}
	if cfg.WriteAll {
		p.decide(differs)
		return p, nil
	}
	return p, p.chooseProbes()
}

// decide brings all chunks into a state without a look at the device.
func (p *Plan) decide(s state) {
	for i := range p.chunks {
		p.set(&p.chunks[i], s)
	}
	p.decided = true
}

// set moves a chunk to another state.
func (p *Plan) set(c *chunk, s state) {
	p.counts[c.state]--
	p.counts[s]++
	c.state = s
}

// Stats returns the byte counts so far.
func (p *Plan) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Speed is what the board needed for all tasks of one kind, with its requests and
// processes.
type Speed struct {
	Bytes   int64
	Elapsed time.Duration
}

// BytesPerSecond is 0 where nothing was done.
func (s Speed) BytesPerSecond() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Bytes) / s.Elapsed.Seconds()
}

// Speed returns how fast the board carried out the tasks of a kind so far.
func (p *Plan) Speed(v Verb) Speed {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.speeds[v]; s != nil {
		return *s
	}
	return Speed{}
}

// Done is closed when every chunk is proved, or when the plan has failed.
func (p *Plan) Done() <-chan struct{} { return p.done }

// Err returns why the plan failed, once Done is closed; nil after success.
func (p *Plan) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Fail ends the plan from outside; the workers are told to quit.
func (p *Plan) Fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish(err)
}

// Written says that the first phase is over: all is written, or found, that the board
// is to have, as far as is known without reading it back.
func (p *Plan) Written() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.paused
}

// ReadBack begins the second phase, for which the script is run again. It returns
// false where nothing is to be read back any more: the plan is done, or the first phase
// is not.
func (p *Plan) ReadBack() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return false
	default:
	}
	if !p.paused || p.readingBack {
		return false
	}
	p.readingBack = true
	p.workers = map[string]*worker{}
	p.timing.busy = false
	p.stats.Presumed = 0
	for i := range p.chunks {
		if c := &p.chunks[i]; c.state == presumed {
			p.set(c, unknown)
		}
	}
	return true
}

// advance ends the plan, or its first phase, when everything of it is done.
func (p *Plan) advance() {
	switch n := &p.counts; {
	case n[proved] == len(p.chunks) && !p.owesAgain():
		p.paused = true
		p.finish(nil)
	case !p.readingBack && p.decided && n[unknown]+n[comparing]+n[differs]+n[writing]+n[checking] == 0:
		p.paused = true
	}
}

// finish ends the plan once.
func (p *Plan) finish(err error) {
	select {
	case <-p.done:
	default:
		p.err = err
		close(p.done)
		p.wake()
	}
}

// wake tells everybody who waits that something changed.
func (p *Plan) wake() {
	close(p.change)
	p.change = make(chan struct{})
}
