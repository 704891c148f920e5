package extents

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What ends a plan.
var (
	// ErrVerify: a chunk was written twice and read back wrong twice.
	ErrVerify = errors.New("the device does not hold what was written")
	// ErrWrite: the device refused a write at the same place twice.
	ErrWrite = errors.New("the device refuses to be written")
	// ErrRead: the device could not be read at the same place twice after it
	// was written.
	ErrRead = errors.New("the device cannot be read")
	// ErrTransfer: the board could not fetch the same extent many times.
	ErrTransfer = errors.New("the board cannot fetch the image")
	// ErrImage: the image has other bytes than those that the chunks' digests
	// are of.
	ErrImage = errors.New("the image changed since it was prepared")
)

// maxTransfers is how often one extent is fetched before the network is given up.
const maxTransfers = 10

// deviceFailed is the status that the script gives a write that the device
// refused (EX_IOERR of sysexits.h).
const deviceFailed = 74

// interrupted stands for the status of a chunk that was not tried because one
// before it failed.
const interrupted = -1

// maxAttempts is how often one place of the device is tried.
const maxAttempts = 2

// Report says how a task ended; digests are those of a Hash task's units, in hex, each
// with a comma behind it. An ID that is not the worker's present task is a
// repetition and changes nothing.
func (p *Plan) Report(name string, id int64, status int, digests string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workers[name]
	if w == nil || w.task == nil || w.task.ID != id {
		return
	}
	task, chunks, units, probes, again := w.task, w.chunks, w.units, w.probes, w.again
	took := time.Since(w.since)
	*w = worker{}
	if status == 0 && len(probes) == 0 && !again && task.Argument > 0 && task.Verb != Wait && task.Verb != Quit {
		s := p.speeds[task.Verb]
		if s == nil {
			s = &Speed{}
			p.speeds[task.Verb] = s
		}
		s.Bytes += task.Argument
		s.Elapsed += took
	}
	switch {
	case len(probes) > 0:
		p.probing += took
		p.probed(probes, strings.Split(digests, ","))
	case again:
		p.readAgain(units, status, strings.Split(digests, ","))
	case task.Verb == Time:
		p.timed(digests)
	case task.Verb == Hash:
		sums := strings.Split(digests, ",")
		for i, u := range units {
			if i < len(sums) && sums[i] != "" {
				p.hashedUnit(u, 0, sums[i])
			} else {
				p.hashedUnit(u, status, "")
				status = interrupted // the first that is missing is the one that failed
			}
		}
	case task.Verb == Write, task.Verb == Zero:
		p.wrote(task, chunks, status)
	}
	p.advance()
	p.wake()
}

// hashed takes the digest of a chunk that was compared or read back, and the one that
// it is to have, "" where the status is not 0.
func (p *Plan) hashed(c *chunk, by Digest, status int, digest, want string) {
	back := unknown
	if c.state == checking {
		back = written
	}
	if status == interrupted {
		p.set(c, back)
		return
	}
	if status != 0 || len(digest) != len(want) {
		c.unread++
		if c.unread >= maxAttempts && back == unknown {
			// Sectors that cannot be read are often mended by writing them.
			c.unread = 0
			p.set(c, differs)
			return
		}
		if c.unread >= maxAttempts {
			p.finish(fmt.Errorf("%w: %s, twice (exit status %d)", ErrRead, c.where(), status))
			return
		}
		p.set(c, back)
		return
	}
	switch {
	case back == unknown:
		p.compared(c, digest == want)
	case digest == want:
		p.right(c)
	default:
		p.doubt = true
		if c.wrong++; c.wrong >= maxAttempts {
			p.finish(fmt.Errorf("%w: %s: %s of the device is %s, of the image %s; written twice",
				ErrVerify, c.where(), by.Name(), digest, want))
			return
		}
		p.set(c, differs)
	}
}

// compared notes whether the device had the chunk.
func (p *Plan) compared(c *chunk, same bool) {
	if same {
		p.right(c)
	} else {
		p.differed = true
		p.set(c, differs)
	}
}

// wrote takes the end of a write. Its chunks are to be read back next.
func (p *Plan) wrote(t *Task, chunks []*chunk, status int) {
	p.writes++
	if status != 0 {
		first := chunks[0]
		count, limit, reason := &first.refused, maxAttempts, ErrWrite
		if t.Verb == Write && status != deviceFailed {
			count, limit, reason = &first.unfetched, maxTransfers, ErrTransfer
		}
		for _, c := range chunks {
			p.set(c, differs)
		}
		if *count++; *count >= limit {
			p.finish(fmt.Errorf("%w: %d bytes at offset %d, %d times (exit status %d)", reason, t.Argument, first.Offset, limit, status))
		}
		return
	}
	next := written
	if p.cfg.Verify == VerifyNone {
		next = proved
	}
	for _, c := range chunks {
		p.set(c, next)
		p.stats.Written += c.Size
		if c.Zero {
			p.stats.Zeroed += c.Size
		}
	}
}
