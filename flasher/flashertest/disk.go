package flashertest

import (
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/disk"
)

// Disk is the disk of a [Board], as somebody sees it who takes it out: without
// the faults that the board meets. It may be used concurrently, also while the
// board runs.
type Disk struct {
	disk *disk.Disk

	mu      sync.Mutex
	resetAt int64 // bytes written at which the board resets; 0 is never
	reset   func()
}

func newDisk(size int64, content []byte) (*Disk, error) {
	inner, err := disk.New(size)
	if err != nil {
		return nil, err
	}
	if _, err := inner.WriteAt(content, 0); err != nil {
		return nil, err
	}
	d := &Disk{disk: inner}
	inner.OnWrite(d.written)
	return d, nil
}

// Size returns the size of the disk in bytes.
func (d *Disk) Size() int64 { return d.disk.Size() }

// ReadAt reads what is on the medium.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) { return d.disk.ReadMedium(p, off) }

// SHA256 returns the digest, in hex, of the first n bytes.
func (d *Disk) SHA256(n int64) (string, error) {
	sum, err := d.disk.SHA256(n)
	if err != nil {
		return "", fmt.Errorf("flashertest: %w", err)
	}
	return hex.EncodeToString(sum[:]), nil
}

// Written returns how many bytes were written since the board was made, its first
// content included.
func (d *Disk) Written() int64 { return d.disk.Stats().Written }

// written is told of each write.
func (d *Disk) written(total int64) {
	d.mu.Lock()
	reset := d.reset
	if d.resetAt == 0 || total < d.resetAt || reset == nil {
		d.mu.Unlock()
		return
	}
	d.resetAt = 0
	d.mu.Unlock()
	reset()
}

// resetWith sets what resets the board while its kernel runs.
func (d *Disk) resetWith(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reset = f
}

// setFaults changes the disk's faults.
func (d *Disk) setFaults(f Faults) error {
	d.disk.Heal()
	if f.WriteErrorAt > 0 {
		d.disk.FailWrites(f.WriteErrorAt, 1)
	}
	if f.ReadErrorAt > 0 {
		d.disk.FailReads(f.ReadErrorAt, 1)
	}
	d.disk.SetReadOnly(f.ReadOnly)
	d.mu.Lock()
	d.resetAt = 0
	if f.ResetAtWritten > 0 {
		d.resetAt = d.Written() + f.ResetAtWritten
	}
	d.mu.Unlock()
	if err := d.disk.SetCapacity(f.Capacity); err != nil {
		return err
	}
	return d.disk.FlipBits(disk.Flips{At: f.FlipAt, Once: f.FlipOnce})
}
