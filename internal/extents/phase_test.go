package extents_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/internal/extents"
)

// journal is the tasks that a board was given, in their order.
type journal struct {
	mu    sync.Mutex
	tasks []extents.Task
}

func (j *journal) add(t extents.Task) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tasks = append(j.tasks, t)
}

// lastWrite is the index of the last task that writes, -1 where there is none.
func (j *journal) lastWrite() int {
	for i, t := range slices.Backward(j.tasks) {
		if t.Verb == extents.Write || t.Verb == extents.Zero {
			return i
		}
	}
	return -1
}

// reads are the bytes that the tasks read.
func reads(tasks []extents.Task) (n int64) {
	for _, t := range tasks {
		if t.Verb == extents.Hash {
			n += t.Argument
		}
	}
	return n
}

// TestWhenItIsReadBack: by VerifyFull, what was written is read when all is written, and
// of a blank disk nothing before that but the probes; by VerifyWritten meanwhile.
func TestWhenItIsReadBack(t *testing.T) {
	const probes = 16 * 64 << 10
	image := noise(40*mib, mib, func(i int) bool { return i%5 < 2 })
	changed := bytes.Clone(image)
	for i := 5; i < 40; i += 20 {
		changed[i*mib+77]++
	}
	for _, tc := range []struct {
		name          string
		verify        extents.Verify
		disk          []byte
		before, after [2]int64 // the least and the most that is read until the last write, and after it
	}{
		{"full, blank", extents.VerifyFull, make([]byte, len(image)), [2]int64{0, probes}, [2]int64{40 * mib, 40 * mib}},
		{"full, two chunks changed", extents.VerifyFull, changed, [2]int64{10 * mib, 40*mib + probes}, [2]int64{2 * mib, 33 * mib}},
		{"written, blank", extents.VerifyWritten, make([]byte, len(image)), [2]int64{30 * mib, 40*mib + probes}, [2]int64{mib, 12 * mib}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, err := extents.New(extents.Config{Chunks: chunksOf(image, mib), Image: bytes.NewReader(image), Verify: tc.verify, MaxExtent: 2 * mib})
				if err != nil {
					t.Fatal(err)
				}
				var j journal
				m := &medium{disk: bytes.Clone(tc.disk), image: image, log: j.add}
				m.took = func(t extents.Task) {
					if t.Verb == extents.Write || t.Verb == extents.Zero {
						time.Sleep(time.Duration(t.Argument/mib) * 250 * time.Millisecond)
					} else {
						time.Sleep(time.Duration(t.Argument/mib) * 50 * time.Millisecond)
					}
				}
				if err := m.run(t, p); err != nil {
					t.Fatal(err)
				}
				if s := p.Stats(); s.Proved != s.Total || s.Unchanged+s.Written != s.Total || s.Presumed != 0 || !bytes.Equal(m.disk, image) {
					t.Errorf("%+v", s)
				}
				if n := reads(j.tasks); n > 40*mib+min(p.Stats().Written, 3*mib)+probes+2*mib {
					t.Errorf("%d bytes were read in all", n)
				}
				last := j.lastWrite()
				before, after := reads(j.tasks[:last]), reads(j.tasks[last:])
				if before < tc.before[0] || before > tc.before[1] || after < tc.after[0] || after > tc.after[1] {
					t.Errorf("%d bytes were read before the last write and %d after it, want %d and %d", before, after, tc.before, tc.after)
				}
			})
		})
	}
}

// TestBlankButForOneByte: a disk that seems blank is not believed to be.
func TestBlankButForOneByte(t *testing.T) {
	image := noise(40*mib, mib, func(i int) bool { return i%2 == 0 })
	disk := make([]byte, len(image))
	disk[33*mib+500_000] = 1
	p, err := extents.New(extents.Config{Chunks: chunksOf(image, mib), Image: bytes.NewReader(image)})
	if err != nil {
		t.Fatal(err)
	}
	var blank int64
	m := &medium{disk: disk, image: image, log: func(t extents.Task) {
		if t.Verb == extents.Write {
			blank = p.Stats().Presumed
		}
	}}
	if err := m.run(t, p); err != nil {
		t.Fatal(err)
	}
	s := p.Stats()
	if f := p.Findings(); !f.Blank || blank != 20*mib || s.Zeroed != mib || s.Written != 21*mib || s.Proved != 40*mib || !bytes.Equal(disk, image) {
		t.Errorf("%+v, %+v, %d bytes presumed; want one zero chunk written", f, s, blank)
	}
}

// TestOverwrittenLater: what was right when it was read, and was overwritten by what was
// written elsewhere later, is not reported as proved.
func TestOverwrittenLater(t *testing.T) {
	const half = 16 * mib
	image := noise(2*half, mib, func(int) bool { return true })
	older := bytes.Clone(image)
	older[half+3*mib] ^= 1
	for _, tc := range []struct {
		name   string
		verify extents.Verify
		disk   []byte
		says   string
	}{
		// What is written is read back after the last write: the first half is wrong.
		{"full, blank", extents.VerifyFull, make([]byte, 2*half), " of the image "},
		// It was read before that: pieces are read again.
		{"full, one chunk differs", extents.VerifyFull, older, "are not any more"},
		{"written, blank", extents.VerifyWritten, make([]byte, 2*half), "are not any more"},
		{"written, one chunk differs", extents.VerifyWritten, older, "are not any more"},
		{"none, blank", extents.VerifyNone, make([]byte, 2*half), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := extents.New(extents.Config{Chunks: chunksOf(image, mib), Image: bytes.NewReader(image), Verify: tc.verify, MaxExtent: 2 * mib})
			if err != nil {
				t.Fatal(err)
			}
			m := &medium{disk: bytes.Clone(tc.disk), image: image}
			// Both halves are the same memory.
			m.write = func(r extents.Range, b []byte) int {
				copy(m.disk[(r.Offset+half)%(2*half):], b)
				return 0
			}
			if tc.verify == extents.VerifyWritten { // the first half is read back before the second is written
				m.log = func(task extents.Task) {
					deadline := time.Now().Add(10 * time.Second)
					for task.Verb == extents.Write && covers(task, half) && p.Stats().Proved < half && time.Now().Before(deadline) {
						time.Sleep(time.Millisecond)
					}
				}
			}
			err = m.run(t, p)
			if tc.says == "" {
				if s := p.Stats(); err != nil || s.Written != s.Total {
					t.Errorf("%v, %+v", err, s)
				}
				return
			}
			if !errors.Is(err, extents.ErrVerify) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want ErrVerify that says %q", err, tc.says)
			}
		})
	}
}
