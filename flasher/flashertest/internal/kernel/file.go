package kernel

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/disk"
)

// Driver is what is behind an open file. Streams ignore the offset.
type Driver interface {
	// Read and Write end early when ctx ends.
	Read(ctx context.Context, b []byte, off int64) (int, error)
	Write(ctx context.Context, b []byte, off int64) (int, error)
	// Seekable says whether offsets mean something, and Size where the end is.
	Seekable() bool
	Size() int64
	// Close is called when the last descriptor is closed.
	Close()
}

// Flags of Open, as in the host's package os.
const (
	ReadOnly  = 0
	WriteOnly = 1
	ReadWrite = 2
	Append    = 1 << iota << 8
	Create
	Truncate
	Exclusive
	Direct // past the page cache: whole sectors only
)

// File is an open file. It may be used concurrently.
type File struct {
	Path  string
	Inode *Inode
	d     Driver
	flags int
	refs  atomic.Int32
	mu    sync.Mutex
	pos   int64
}

func newFile(path string, n *Inode, d Driver, flags int) *File {
	f := &File{Path: path, Inode: n, d: d, flags: flags}
	f.refs.Store(1)
	return f
}

// Retain adds a reference, Release drops one and closes the file with the last.
func (f *File) Retain() *File { f.refs.Add(1); return f }

// Release drops a reference.
func (f *File) Release() {
	if f.refs.Add(-1) == 0 {
		f.d.Close()
	}
}

// Read reads for p.
func (f *File) Read(p *Process, b []byte) (int, error) {
	if f.flags&3 == WriteOnly {
		return 0, EBADF
	}
	if err := p.Check(); err != nil {
		return 0, err
	}
	if !f.d.Seekable() {
		n, err := f.d.Read(p.Context(), b, 0)
		return n, asErrno(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.d.Read(p.Context(), b, f.pos)
	f.pos += int64(n)
	return n, asErrno(err)
}

// Write writes all of b for p, unless an error stops it.
func (f *File) Write(p *Process, b []byte) (int, error) {
	if f.flags&3 == ReadOnly {
		return 0, EBADF
	}
	if err := p.Check(); err != nil {
		return 0, err
	}
	if !f.d.Seekable() {
		n, err := f.d.Write(p.Context(), b, 0)
		err = asErrno(err)
		if err == EPIPE {
			p.Signal(SIGPIPE)
		}
		return n, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flags&Append != 0 {
		f.pos = f.d.Size()
	}
	n, err := f.d.Write(p.Context(), b, f.pos)
	f.pos += int64(n)
	return n, asErrno(err)
}

// Seek moves the position and returns it. Pipes and terminals give ESPIPE.
func (f *File) Seek(off int64, whence int) (int64, error) {
	if !f.d.Seekable() {
		return 0, ESPIPE
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		off += f.pos
	case io.SeekEnd:
		off += f.d.Size()
	}
	if off < 0 {
		return 0, EINVAL
	}
	f.pos = off
	return off, nil
}

// Pos is the position, 0 for a stream.
func (f *File) Pos() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pos
}

// Flags are those of Open.
func (f *File) Flags() int { return f.flags }

// Driver returns what is behind the file.
func (f *File) Driver() Driver { return f.d }

// Truncate cuts a regular file at n bytes; other files ignore it.
func (f *File) Truncate(n int64) {
	if d, ok := f.d.(*memory); ok {
		d.truncate(n)
	}
}

// asErrno makes an Errno of what a driver returns; io.EOF stays.
func asErrno(err error) error {
	var e Errno
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return EINTR
	case errors.Is(err, disk.ErrNoSpace):
		return ENOSPC
	case errors.Is(err, disk.ErrReadOnly):
		return EPERM
	}
	return EIO
}

// Table is a process's file descriptors.
type Table struct {
	mu    sync.Mutex
	files map[int]*File
}

func newTable() *Table { return &Table{files: map[int]*File{}} }

// Get returns an open file, or nil.
func (t *Table) Get(fd int) *File {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.files[fd]
}

// Set makes fd refer to f, whose reference it takes over; nil closes fd.
func (t *Table) Set(fd int, f *File) {
	t.mu.Lock()
	old := t.files[fd]
	if f == nil {
		delete(t.files, fd)
	} else {
		t.files[fd] = f
	}
	t.mu.Unlock()
	if old != nil {
		old.Release()
	}
}

// List returns the open descriptors.
func (t *Table) List() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.files))
}

func (t *Table) clone() *Table {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &Table{files: maps.Clone(t.files)}
	for _, f := range c.files {
		f.Retain()
	}
	return c
}

func (t *Table) closeAll() {
	for _, fd := range t.List() {
		t.Set(fd, nil)
	}
}

// stream is a descriptor of a process as an io.ReadWriter.
type stream struct {
	p  *Process
	fd int
}

// Stream returns descriptor fd of p as reader and writer.
func (p *Process) Stream(fd int) io.ReadWriter { return stream{p, fd} }

func (s stream) Read(b []byte) (int, error) {
	f := s.p.FDs.Get(s.fd)
	if f == nil {
		return 0, EBADF
	}
	return f.Read(s.p, b)
}

func (s stream) Write(b []byte) (int, error) {
	f := s.p.FDs.Get(s.fd)
	if f == nil {
		return 0, EBADF
	}
	return f.Write(s.p, b)
}
