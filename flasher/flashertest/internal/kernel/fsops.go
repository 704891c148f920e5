package kernel

import (
	"context"
	"io"
	"io/fs"
	"strings"
)

// Make makes a directory or a FIFO.
func (f *FS) Make(p *Process, name string, mode fs.FileMode) error {
	if trimmed := strings.TrimRight(name, "/"); trimmed != "" {
		name = trimmed
	}
	dir, last, n, _, err := f.walk(p, name, false)
	switch {
	case err != nil:
		return err
	case n != nil:
		return EEXIST
	case dir.children == nil || dir.Lookup != nil || dir.Mode()&0o200 == 0:
		return EACCES
	}
	if mode.IsDir() {
		n = f.Directory()
		n.SetMode(mode)
	} else {
		n = f.inode(mode)
	}
	dir.mu.Lock()
	defer dir.mu.Unlock()
	dir.children[last] = n
	return nil
}

// Symlink makes a symbolic link.
func (f *FS) Symlink(p *Process, target, name string) error {
	dir, last, n, _, err := f.walk(p, name, false)
	switch {
	case err != nil:
		return err
	case n != nil:
		return EEXIST
	case dir.children == nil || dir.Lookup != nil:
		return EACCES
	}
	n = f.Link(target)
	dir.mu.Lock()
	defer dir.mu.Unlock()
	dir.children[last] = n
	return nil
}

// Remove removes a file, or an empty directory where dirs is set.
func (f *FS) Remove(p *Process, name string, dirs bool) error {
	dir, last, n, _, err := f.walk(p, name, false)
	switch {
	case err != nil:
		return err
	case n == nil:
		return ENOENT
	case dir == nil:
		return EBUSY
	case n.Mode().IsDir() && !dirs:
		return EISDIR
	case n.Mode().IsDir() && len(n.List(p)) > 0:
		return ENOTEMPTY
	}
	dir.mu.Lock()
	defer dir.mu.Unlock()
	if dir.children[last] != n {
		return EPERM
	}
	delete(dir.children, last)
	if n.Mode().IsRegular() {
		f.take(-n.Size())
	}
	return nil
}

// Rename moves a file.
func (f *FS) Rename(p *Process, from, to string) error {
	fromDir, fromName, n, _, err := f.walk(p, from, false)
	if err != nil {
		return err
	}
	if n == nil {
		return ENOENT
	}
	toDir, toName, old, _, err := f.walk(p, to, false)
	switch {
	case err != nil:
		return err
	case fromDir == nil || toDir == nil || toDir.children == nil || toDir.Lookup != nil:
		return EACCES
	case old == n:
		return nil
	case old != nil && old.Mode().IsDir():
		return EISDIR
	}
	fromDir.mu.Lock()
	if fromDir.children[fromName] != n {
		fromDir.mu.Unlock()
		return EPERM
	}
	delete(fromDir.children, fromName)
	fromDir.mu.Unlock()
	toDir.mu.Lock()
	defer toDir.mu.Unlock()
	toDir.children[toName] = n
	if old != nil && old.Mode().IsRegular() {
		f.take(-old.Size())
	}
	return nil
}

// Chmod sets the permissions of a file.
func (f *FS) Chmod(p *Process, name string, perm fs.FileMode) error {
	n, err := f.Stat(p, name, true)
	if err != nil {
		return err
	}
	n.SetMode(n.Mode()&^fs.ModePerm | perm.Perm())
	return nil
}

// memory is an open regular file.
type memory struct{ n *Inode }

func (m *memory) Seekable() bool { return true }
func (m *memory) Close()         {}
func (m *memory) Size() int64    { return m.n.Size() }

func (m *memory) Read(_ context.Context, b []byte, off int64) (int, error) {
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	if off >= int64(len(m.n.data)) {
		return 0, io.EOF
	}
	return copy(b, m.n.data[off:]), nil
}

func (m *memory) Write(_ context.Context, b []byte, off int64) (int, error) {
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	end := off + int64(len(b))
	if more := end - int64(len(m.n.data)); more > 0 {
		if !m.n.fs.take(more) {
			return 0, ENOSPC
		}
		if off == int64(len(m.n.data)) {
			m.n.data = append(m.n.data, b...)
		} else {
			m.n.data = append(m.n.data, make([]byte, more)...)
		}
	}
	m.n.mtime = m.n.fs.k.Clock.Now()
	return copy(m.n.data[off:], b), nil
}

func (m *memory) truncate(size int64) {
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	have := int64(len(m.n.data))
	if !m.n.fs.take(size - have) {
		return
	}
	if size <= have {
		m.n.data = m.n.data[:size:size]
	} else {
		m.n.data = append(m.n.data, make([]byte, size-have)...)
	}
	m.n.mtime = m.n.fs.k.Clock.Now()
}

// textFile is an open file of /proc or /sys.
type textFile struct {
	p     *Process
	text  string
	write func(p *Process, text string) error
}

func (t *textFile) Seekable() bool { return true }
func (t *textFile) Close()         {}
func (t *textFile) Size() int64    { return 0 }

func (t *textFile) Read(_ context.Context, b []byte, off int64) (int, error) {
	if off >= int64(len(t.text)) {
		return 0, io.EOF
	}
	return copy(b, t.text[off:]), nil
}

func (t *textFile) Write(_ context.Context, b []byte, _ int64) (int, error) {
	if t.write == nil {
		return 0, EACCES
	}
	if err := t.write(t.p, string(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
