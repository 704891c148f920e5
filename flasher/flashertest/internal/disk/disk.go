// Package disk is a block device held in memory, for the simulated board: as
// large as one likes, because only pages that were written take memory, and with
// faults that can be switched on.
package disk

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
)

// What reads and writes fail with. Errors wrap one of them and name the offset.
var (
	ErrIO       = errors.New("input/output error")
	ErrReadOnly = errors.New("read-only device")
	ErrNoSpace  = errors.New("no space left on device")
)

const (
	pageSize   = 64 << 10
	sectorSize = 512
)

type page [pageSize]byte

// Disk is a block device. All methods may be called concurrently.
type Disk struct {
	mu     sync.RWMutex
	size   int64
	pages  map[int64]*page
	faults faults

	hookMu sync.Mutex // hooks run one after the other, without mu
	hook   func(total int64)

	written, read, syncs int64
}

// New returns a disk of size bytes, all zero. The size must be a positive
// multiple of 512.
func New(size int64) (*Disk, error) {
	if size <= 0 || size%sectorSize != 0 {
		return nil, fmt.Errorf("disk: size %d is not a positive multiple of %d", size, sectorSize)
	}
	return &Disk{size: size, pages: map[int64]*page{}}, nil
}

// Size returns the size that the disk claims to have.
func (d *Disk) Size() int64 { return d.size }

// Stats is what was done to a disk so far.
type Stats struct {
	Written int64 // bytes, also those that a fault has damaged
	Read    int64 // bytes
	Syncs   int64
	Held    int64 // bytes of memory in use
}

// Stats returns what was done so far.
func (d *Disk) Stats() Stats {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return Stats{Written: d.written, Read: d.read, Syncs: d.syncs, Held: int64(len(d.pages)) * pageSize}
}

// ReadAt is io.ReaderAt. A read that ends in a bad place returns the bytes
// before it and an error that wraps [ErrIO].
func (d *Disk) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("disk: read at %d: %w", off, ErrIO)
	}
	if off >= d.size {
		return 0, io.EOF
	}
	if over := off + int64(len(b)) - d.size; over > 0 {
		b = b[:int64(len(b))-over]
		err = io.EOF
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if stop, bad := d.faults.readStop(off, int64(len(b))); bad {
		b = b[:stop-off]
		err = fmt.Errorf("disk: read at %d: %w", stop, ErrIO)
	}
	d.read += int64(len(b))
	d.copyOut(b, off)
	return len(b), err
}

// copyOut reads without faults.
func (d *Disk) copyOut(b []byte, off int64) {
	for len(b) > 0 {
		at := d.faults.place(off)
		p, from := d.pages[at/pageSize], at%pageSize
		n := min(len(b), int(pageSize-from))
		if p == nil {
			clear(b[:n])
		} else {
			copy(b[:n], p[from:])
		}
		b, off = b[n:], off+int64(n)
	}
}

// WriteAt is io.WriterAt. A write that ends in a bad place stores the bytes
// before it and returns an error that wraps [ErrIO]; one past the end wraps
// [ErrNoSpace], any on a write-protected disk [ErrReadOnly].
//
// The function given to [Disk.OnWrite] is called after each piece of at most
// 64 KiB.
func (d *Disk) WriteAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("disk: write at %d: %w", off, ErrIO)
	}
	if off > d.size || off == d.size && len(b) > 0 {
		return 0, fmt.Errorf("disk: write at %d of %d: %w", off, d.size, ErrNoSpace)
	}
	var end error
	if over := off + int64(len(b)) - d.size; over > 0 {
		b = b[:int64(len(b))-over]
		end = fmt.Errorf("disk: write at %d of %d: %w", d.size, d.size, ErrNoSpace)
	}
	for len(b) > 0 {
		piece := b[:min(int64(len(b)), pageSize-off%pageSize)]
		did, total, err := d.writePiece(piece, off)
		n += did
		if did > 0 {
			d.callHook(total)
		}
		if err != nil {
			return n, err
		}
		b, off = b[did:], off+int64(did)
	}
	return n, end
}

// writePiece writes what lies within one page.
func (d *Disk) writePiece(b []byte, off int64) (n int, total int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults.readOnly {
		return 0, d.written, fmt.Errorf("disk: write at %d: %w", off, ErrReadOnly)
	}
	stop, bad := d.faults.writeStop(off, int64(len(b)))
	if bad {
		b = b[:stop-off]
		err = fmt.Errorf("disk: write at %d: %w", stop, ErrIO)
	}
	at := d.faults.place(off)
	p, from := d.pages[at/pageSize], at%pageSize
	flips := d.faults.flips(off, int64(len(b)))
	if p == nil && (len(flips) > 0 || !allZero(b)) {
		p = new(page)
		d.pages[at/pageSize] = p
	}
	if p != nil {
		copy(p[from:], b)
		for _, f := range flips {
			p[from+f-off] ^= 1 << (f % 8)
		}
	}
	d.written += int64(len(b))
	return len(b), d.written, err
}

// allZero compares each byte with the one before it, at the speed of bytes.Equal.
func allZero(b []byte) bool {
	return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

// OnWrite has f called after every piece of a write with the number of bytes
// written since the disk was made. f may call the disk's methods, but not write
// to it. nil takes the function away.
func (d *Disk) OnWrite(f func(total int64)) {
	d.hookMu.Lock()
	defer d.hookMu.Unlock()
	d.hook = f
}

func (d *Disk) callHook(total int64) {
	d.hookMu.Lock()
	f := d.hook
	d.hookMu.Unlock()
	if f != nil {
		f(total)
	}
}

// Sync counts; there is no cache in which a write could get lost.
func (d *Disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	return nil
}

// SHA256 returns the digest of the first n bytes as they are stored, without
// read faults.
func (d *Disk) SHA256(n int64) ([sha256.Size]byte, error) {
	if n < 0 || n > d.size {
		return [sha256.Size]byte{}, fmt.Errorf("disk: %d bytes of a disk of %d", n, d.size)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	h := sha256.New()
	buf := make([]byte, pageSize)
	for off := int64(0); off < n; off += pageSize {
		b := buf[:min(pageSize, n-off)]
		d.copyOut(b, off)
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// ReadMedium is ReadAt for somebody who has taken the disk out: without faults,
// and not counted.
func (d *Disk) ReadMedium(b []byte, off int64) (int, error) {
	if off < 0 || off > d.size {
		return 0, fmt.Errorf("disk: offset %d of a disk of %d", off, d.size)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	n := int(min(int64(len(b)), d.size-off))
	d.copyOut(b[:n], off)
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Snapshot returns a disk with the same contents, without faults and hook.
func (d *Disk) Snapshot() *Disk {
	d.mu.RLock()
	defer d.mu.RUnlock()
	pages := maps.Clone(d.pages)
	for i, p := range pages {
		c := *p
		pages[i] = &c
	}
	return &Disk{size: d.size, pages: pages}
}
