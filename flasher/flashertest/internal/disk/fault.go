package disk

import (
	"fmt"
	"slices"
)

// faults are what is wrong with a disk.
type faults struct {
	readOnly  bool
	unplugged bool
	capacity  int64 // bytes that are really there; 0 is all
	badRead   []span
	badWrite  []span
	flip      Flips
	flipped   map[int64]bool // places that were spoilt once
}

// span is a range of bytes, from inclusive to end.
type span struct{ from, end int64 }

// Flips are bits that change on their way to the medium: the write succeeds,
// and reads give the changed byte. One bit of the byte changes.
type Flips struct {
	At    []int64 // offsets of the bytes
	Every int64   // and each byte whose offset is a multiple of Every behind First; 0 is none
	First int64   // the first of those
	// Once spoils a place only when it is written for the first time, so that
	// writing it again mends it.
	Once bool
}

// SetReadOnly makes the disk refuse writes, or take them again.
func (d *Disk) SetReadOnly(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.readOnly = on
}

// ReadOnly reports whether the disk refuses writes.
func (d *Disk) ReadOnly() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.faults.readOnly
}

// FailWrites makes writes of the n bytes from off fail, from the beginning of
// their sector on. Several calls add up.
func (d *Disk) FailWrites(off, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.badWrite = append(d.faults.badWrite, sectors(off, n))
}

// FailReads makes reads of the n bytes from off fail, from the beginning of
// their sector on. Several calls add up.
func (d *Disk) FailReads(off, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.badRead = append(d.faults.badRead, sectors(off, n))
}

func sectors(off, n int64) span {
	end := (off + n + sectorSize - 1) / sectorSize * sectorSize
	return span{off / sectorSize * sectorSize, end}
}

// FlipBits spoils writes silently, in place of what an earlier call has asked
// for. What is on the medium already stays.
func (d *Disk) FlipBits(f Flips) error {
	if f.Every < 0 || f.First < 0 || slices.ContainsFunc(f.At, func(at int64) bool { return at < 0 }) {
		return fmt.Errorf("disk: negative offset in %+v", f)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f.At = slices.Sorted(slices.Values(f.At))
	d.faults.flip, d.faults.flipped = f, map[int64]bool{}
	return nil
}

// SetCapacity makes a disk that claims more than it has: what lies behind the
// first n bytes wraps around and falls on its beginning, as on a forged card. It
// is rounded down to 64 KiB; 0 makes the disk honest again.
func (d *Disk) SetCapacity(n int64) error {
	if n != 0 && n < pageSize || n > d.size {
		return fmt.Errorf("disk: capacity %d is not between %d and %d", n, pageSize, d.size)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.capacity = n / pageSize * pageSize
	return nil
}

// Unplug makes every further read and write fail with [ErrIO], until Plug; the
// contents stay.
func (d *Disk) Unplug() { d.setPlugged(false) }

// Plug ends Unplug.
func (d *Disk) Plug() { d.setPlugged(true) }

func (d *Disk) setPlugged(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.unplugged = !on
}

// Heal takes all faults away. What they have done to the contents stays.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = faults{}
}

// place is where an offset really lies.
func (f *faults) place(off int64) int64 {
	if f.capacity > 0 {
		return off % f.capacity
	}
	return off
}

func (f *faults) readStop(off, n int64) (int64, bool)  { return f.stop(f.badRead, off, n) }
func (f *faults) writeStop(off, n int64) (int64, bool) { return f.stop(f.badWrite, off, n) }

// stop returns the first offset of a range that cannot be done.
func (f *faults) stop(bad []span, off, n int64) (at int64, found bool) {
	if f.unplugged {
		return off, true
	}
	for _, s := range bad {
		if s.from < off+n && off < s.end {
			if from := max(s.from, off); !found || from < at {
				at, found = from, true
			}
		}
	}
	return at, found
}

// flips returns the offsets of a write that are to be spoilt, and notes them.
func (f *faults) flips(off, n int64) []int64 {
	var out []int64
	add := func(at int64) {
		if f.flip.Once && f.flipped[at] {
			return
		}
		if f.flip.Once {
			f.flipped[at] = true
		}
		out = append(out, at)
	}
	i, _ := slices.BinarySearch(f.flip.At, off)
	for ; i < len(f.flip.At) && f.flip.At[i] < off+n; i++ {
		add(f.flip.At[i])
	}
	if every := f.flip.Every; every > 0 {
		at := f.flip.First
		if at < off {
			at += (off - at + every - 1) / every * every
		}
		for ; at < off+n; at += every {
			if _, listed := slices.BinarySearch(f.flip.At, at); !listed {
				add(at)
			}
		}
	}
	return out
}
