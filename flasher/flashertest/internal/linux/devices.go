package linux

import (
	"context"
	"io"
	"io/fs"
	"math/rand/v2"
	"sync"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// char is a character device.
type char struct {
	read  func(b []byte) (int, error)
	write error
}

func (d char) Read(_ context.Context, b []byte, _ int64) (int, error) { return d.read(b) }
func (d char) Write(_ context.Context, b []byte, _ int64) (int, error) {
	if d.write != nil {
		return 0, d.write
	}
	return len(b), nil
}
func (d char) Seekable() bool { return true }
func (d char) Size() int64    { return 0 }
func (d char) Close()         {}

// devices fills /dev.
func (s *System) devices() {
	f := s.k.FS
	const charDevice = fs.ModeDevice | fs.ModeCharDevice | 0o666
	put := func(name string, major, minor int, d kernel.Driver) {
		f.Put("/dev/"+name, f.Device(charDevice, major, minor, func(_ *kernel.Process, flags int) (kernel.Driver, error) {
			if flags&kernel.Direct != 0 {
				return nil, kernel.EINVAL
			}
			return d, nil
		}))
	}
	zero := func(b []byte) (int, error) { clear(b); return len(b), nil }
	put("null", 1, 3, char{read: func([]byte) (int, error) { return 0, io.EOF }})
	put("zero", 1, 5, char{read: zero})
	put("full", 1, 7, char{read: zero, write: kernel.ENOSPC})
	random := char{read: func(b []byte) (int, error) {
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		return len(b), nil
	}}
	put("random", 1, 8, random)
	put("urandom", 1, 9, random)
	put("console", 5, 1, s.k.TTY.Driver())
	put("ttyS0", 4, 64, s.k.TTY.Driver())
	put("ttyAMA0", 204, 64, s.k.TTY.Driver())
	f.Put("/dev/tty", f.Device(charDevice, 5, 0, func(*kernel.Process, int) (kernel.Driver, error) {
		if !s.k.TTY.Control() {
			return nil, kernel.ENXIO
		}
		return s.k.TTY.Driver(), nil
	}))
	f.Put("/dev/fd", f.Link("/proc/self/fd"))
	f.Put("/dev/stdin", f.Link("/proc/self/fd/0"))
	f.Put("/dev/stdout", f.Link("/proc/self/fd/1"))
	f.Put("/dev/stderr", f.Link("/proc/self/fd/2"))
	for i, d := range s.cfg.Disks {
		b := &blockDevice{s: s, disk: d, minor: i * 16}
		s.disks = append(s.disks, b)
		f.Put("/dev/"+d.Name, f.Device(fs.ModeDevice|0o660, 179, b.minor, b.open(0, d.Size())))
		b.partitions = partitions(d.Disk)
		b.nodes()
	}
}

// blockDevice is a disk with its partitions.
type blockDevice struct {
	s     *System
	disk  Disk
	minor int

	mu         sync.Mutex
	partitions []partition
}

// open opens a part of the disk.
func (b *blockDevice) open(start, size int64) func(*kernel.Process, int) (kernel.Driver, error) {
	return func(_ *kernel.Process, flags int) (kernel.Driver, error) {
		if flags&3 != kernel.ReadOnly && b.disk.ReadOnly() {
			return nil, kernel.EROFS
		}
		return &block{b: b, start: start, size: size, direct: flags&kernel.Direct != 0}, nil
	}
}

// block is an open block device.
type block struct {
	b           *blockDevice
	start, size int64
	direct      bool
}

func (d *block) Seekable() bool  { return true }
func (d *block) Size() int64     { return d.size }
func (d *block) Close()          {}
func (d *block) ReadOnly() bool  { return d.b.disk.ReadOnly() }
func (d *block) SectorSize() int { return 512 }
func (d *block) Sync() error     { return d.b.disk.Sync() }

// SetDirect is fcntl's: busybox's dd ends direct output before a part of a sector.
func (d *block) SetDirect(on bool) { d.direct = on }

// unaligned reports what direct I/O refuses.
func (d *block) unaligned(n int, off int64) bool { return d.direct && (n%512 != 0 || off%512 != 0) }

func (d *block) Read(_ context.Context, p []byte, off int64) (int, error) {
	if d.unaligned(len(p), off) {
		return 0, kernel.EINVAL
	}
	if off >= d.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), d.size-off)]
	n, err := d.b.disk.ReadAt(p, d.start+off)
	if err == io.EOF {
		err = nil
	}
	if err != nil {
		d.b.complain(d.start+off+int64(n), "0x0:(READ)")
		switch {
		case d.direct: // all or nothing
			n = 0
		case n > 0: // the next read starts at the bad place and says so
			err = nil
		}
	}
	return n, err
}

func (d *block) Write(ctx context.Context, p []byte, off int64) (int, error) {
	if d.unaligned(len(p), off) {
		return 0, kernel.EINVAL
	}
	if off >= d.size && len(p) > 0 {
		return 0, kernel.ENOSPC
	}
	short := false
	if over := off + int64(len(p)) - d.size; over > 0 {
		p, short = p[:int64(len(p))-over], true
	}
	total := 0
	for len(p) > 0 {
		if ctx.Err() != nil {
			return total, kernel.EINTR
		}
		n, err := d.b.disk.WriteAt(p[:min(len(p), 256<<10)], d.start+off)
		p, off, total = p[n:], off+int64(n), total+n
		if err != nil {
			d.b.complain(d.start+off, "0x1:(WRITE)")
			return total, err
		}
	}
	if short {
		return total, kernel.ENOSPC
	}
	return total, nil
}
