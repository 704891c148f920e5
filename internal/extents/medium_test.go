package extents_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/extents"
)

// medium is a disk in memory and a board that works on it, task by task.
type medium struct {
	mu    sync.RWMutex // guards disk
	disk  []byte
	image []byte
	// write, where set, may spoil a write or refuse it with a status.
	write   func(r extents.Range, b []byte) (status int)
	newHash func() hash.Hash // nil is SHA-256
	// log, where set, is told of each task before it is done.
	log func(t extents.Task)
	// took, where set, takes the time that a board would take.
	took func(t extents.Task)
	// bad, where not 0, is a place that cannot be read until it is written.
	bad atomic.Int64
}

// run plays both phases.
func (m *medium) run(t *testing.T, p *extents.Plan) error {
	t.Helper()
	m.phase(t, p)
	if p.Err() == nil && !p.Written() {
		t.Error("the first phase ended before all was written")
	}
	if p.ReadBack() {
		m.phase(t, p)
	}
	select {
	case <-p.Done():
	default:
		t.Errorf("the workers quit, and the plan is not done: %+v", p.Stats())
	}
	return p.Err()
}

// phase plays all workers, one task each in turn, until they are told to quit.
func (m *medium) phase(t *testing.T, p *extents.Plan) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan int)
	for _, name := range []string{"reader", "reader2", "writer"} {
		go func() {
			for {
				task := p.Ask(ctx, name)
				if task.Verb == extents.Quit || ctx.Err() != nil {
					ended <- int(task.Argument)
					return
				}
				if m.log != nil {
					m.log(task)
				}
				status, sums := m.do(task), m.hash(task)
				if m.took != nil {
					m.took(task)
				}
				if task.Verb == extents.Hash && m.bad.Load() > 0 && covers(task, m.bad.Load()) {
					status = 1
				}
				p.Report(name, task.ID, status, sums)
			}
		}()
	}
	<-ended
	<-ended
	<-ended
	if ctx.Err() != nil {
		t.Fatal("the plan did not end")
	}
}

// covers says whether a task reads or writes the byte at an offset.
func covers(t extents.Task, at int64) bool {
	for _, u := range t.Units {
		for _, r := range u {
			if at >= r.Offset && at < r.Offset+r.Length {
				return true
			}
		}
	}
	return false
}

func (m *medium) hash(t extents.Task) string {
	sums := ""
	for _, u := range t.Units {
		if at := m.bad.Load(); at > 0 && covers(extents.Task{Units: [][]extents.Range{u}}, at) {
			return sums // those before it were printed
		}
		h := sha256.New()
		if m.newHash != nil {
			h = m.newHash()
		}
		m.mu.RLock()
		for _, r := range u {
			h.Write(m.disk[r.Offset : r.Offset+r.Length])
		}
		m.mu.RUnlock()
		sums += fmt.Sprintf("%x,", h.Sum(nil))
	}
	return sums
}

func (m *medium) do(t extents.Task) int {
	if t.Verb != extents.Write && t.Verb != extents.Zero {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range t.Units[0] {
		b := make([]byte, r.Length)
		if t.Verb == extents.Write {
			copy(b, m.image[r.Offset:])
		}
		if m.write != nil {
			if status := m.write(r, b); status != 0 {
				return status
			}
		}
		copy(m.disk[r.Offset:], b)
	}
	if at := m.bad.Load(); covers(t, at) {
		m.bad.Store(0)
	}
	return 0
}
