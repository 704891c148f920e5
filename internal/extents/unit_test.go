package extents_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/internal/extents"
)

const unitChunk = 256 << 10

// slow makes a board of a medium on which every digest costs 100 ms besides the 10 ms
// that each chunk takes, and counts the digests. Time is synctest's.
func (m *medium) slow(digests *atomic.Int64) {
	m.took = func(t extents.Task) {
		if t.Verb == extents.Hash {
			digests.Add(int64(len(t.Units)))
			time.Sleep(time.Duration(len(t.Units))*100*time.Millisecond + time.Duration(t.Argument/unitChunk)*10*time.Millisecond)
		}
	}
}

// TestUnits: on a board on which a digest costs much, several chunks have one, and
// still nothing is written that is there, and nothing wrong goes unnoticed.
func TestUnits(t *testing.T) {
	const chunks = 120
	image := noise(chunks*unitChunk, unitChunk, func(int) bool { return true })
	changed := bytes.Clone(image)
	changed[70*unitChunk+9]++
	for _, tc := range []struct {
		name    string
		disk    []byte
		write   func(times int, b []byte)
		bad     int64
		written int64
		most    int // digests
		err     error
	}{
		{name: "identical", disk: image, most: chunks / 3},
		{name: "one chunk differs", disk: changed, written: unitChunk, most: chunks},
		{name: "blank", disk: make([]byte, len(image)), written: chunks * unitChunk, most: chunks / 2},
		{name: "cannot be read until written", disk: image, bad: 70*unitChunk + 5, written: unitChunk, most: 2 * chunks},
		{name: "written wrong once", disk: make([]byte, len(image)), written: (chunks + 1) * unitChunk, most: 2 * chunks,
			write: func(n int, b []byte) {
				if n == 1 {
					b[0] ^= 1
				}
			}},
		{name: "written wrong always", disk: make([]byte, len(image)), most: 2 * chunks, err: extents.ErrVerify,
			write: func(_ int, b []byte) { b[0] ^= 1 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, err := extents.New(extents.Config{Chunks: chunksOf(image, unitChunk), Image: bytes.NewReader(image), MaxExtent: 8 * unitChunk})
				if err != nil {
					t.Fatal(err)
				}
				m := &medium{disk: bytes.Clone(tc.disk), image: image}
				m.bad.Store(tc.bad)
				times := 0
				var digests atomic.Int64
				m.slow(&digests)
				m.write = func(r extents.Range, b []byte) int {
					const place = 70*unitChunk + 100
					if tc.write != nil && r.Offset <= place && place < r.Offset+r.Length {
						times++
						tc.write(times, b[place-r.Offset:])
					}
					return 0
				}
				err = m.run(t, p)
				if !errors.Is(err, tc.err) {
					t.Fatalf("got %v, want %v", err, tc.err)
				}
				if err != nil {
					if !strings.Contains(err.Error(), fmt.Sprintf("%d bytes at offset %d:", unitChunk, 70*unitChunk)) {
						t.Errorf("%v; want the chunk that is wrong", err)
					}
					return
				}
				if !bytes.Equal(m.disk, image) {
					t.Error("success, and the disk is wrong")
				}
				s := p.Stats()
				if s.Written != tc.written || s.Proved != int64(len(image)) {
					t.Errorf("%+v, want %d bytes written", s, tc.written)
				}
				if m := p.Measured(); m.DigestCost < 90*time.Millisecond || m.DigestCost > 120*time.Millisecond || m.Unit < 4*unitChunk {
					t.Errorf("measured %+v", m)
				}
				if n := int(digests.Load()); n > tc.most {
					t.Errorf("%d digests for %d chunks, want at most %d", n, chunks, tc.most)
				}
			})
		})
	}
}
