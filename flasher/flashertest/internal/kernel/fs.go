package kernel

import (
	"context"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Inode is a file of any kind. What is public is set before it is linked into a
// directory and not changed afterwards.
type Inode struct {
	Dev   [2]int // major and minor number of a device
	Ino   int
	Links func(p *Process) string // of a symbolic link: where it points
	// Target is what a link of /proc leads to, whatever has its name by now.
	Target *Inode

	// Program makes an executable file one of the simulation's own programs.
	Program func(p *Process) int
	// Opener opens what is not a plain file.
	Opener func(p *Process, flags int) (Driver, error)
	// Lookup and Names are the entries of a directory that changes by itself.
	Lookup func(p *Process, name string) *Inode
	Names  func(p *Process) []string

	fs       *FS
	mode     atomic.Uint32
	mu       sync.Mutex
	children map[string]*Inode
	data     []byte
	mtime    time.Time
	queue    *pipe
}

// Mode is the type and the permissions.
func (n *Inode) Mode() fs.FileMode { return fs.FileMode(n.mode.Load()) }

// SetMode changes them.
func (n *Inode) SetMode(m fs.FileMode) { n.mode.Store(uint32(m)) }

// ModTime is when the contents were changed.
func (n *Inode) ModTime() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mtime
}

// Touch sets the time of the last change to now.
func (n *Inode) Touch() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mtime = n.fs.k.Clock.Now()
}

// Size is the length of a regular file.
func (n *Inode) Size() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return int64(len(n.data))
}

// FS is a tree of files in memory.
type FS struct {
	k    *Kernel
	root *Inode

	mu      sync.Mutex
	used    int64
	limit   int64
	lastIno int
}

func newFS(k *Kernel) *FS {
	f := &FS{k: k, limit: 512 << 20}
	f.root = f.Directory()
	return f
}

// SetLimit bounds the bytes of all regular files; more is ENOSPC.
func (f *FS) SetLimit(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = n
}

// Limit and Used are the size of the file system and what is taken of it.
func (f *FS) Limit() (limit, used int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.limit, f.used
}

// take accounts for more bytes, or fewer.
func (f *FS) take(n int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n > 0 && f.used+n > f.limit {
		return false
	}
	f.used += n
	return true
}

func (f *FS) inode(mode fs.FileMode) *Inode {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastIno++
	n := &Inode{Ino: f.lastIno, fs: f, mtime: f.k.Clock.Now()}
	n.SetMode(mode)
	return n
}

// Directory makes an empty directory that is linked nowhere.
func (f *FS) Directory() *Inode {
	n := f.inode(fs.ModeDir | 0o755)
	n.children = map[string]*Inode{}
	return n
}

// Text makes a file whose contents are made at the moment of opening. write,
// where not nil, is called with what is written to it.
func (f *FS) Text(read func(p *Process) string, write func(p *Process, text string) error) *Inode {
	n := f.inode(0o444)
	if write != nil {
		n.SetMode(0o644)
	}
	n.Opener = func(p *Process, flags int) (Driver, error) {
		if flags&3 != ReadOnly && write == nil {
			return nil, EACCES
		}
		t := &textFile{p: p, write: write}
		if flags&3 != WriteOnly {
			t.text = read(p)
		}
		return t, nil
	}
	return n
}

// Link makes a symbolic link.
func (f *FS) Link(target string) *Inode {
	n := f.inode(fs.ModeSymlink | 0o777)
	n.Links = func(*Process) string { return target }
	return n
}

// Device makes a device node.
func (f *FS) Device(mode fs.FileMode, major, minor int, open func(p *Process, flags int) (Driver, error)) *Inode {
	n := f.inode(mode)
	n.Dev, n.Opener = [2]int{major, minor}, open
	return n
}

// Put links an inode at a path, making the directories on the way.
func (f *FS) Put(name string, n *Inode) {
	dir := f.root
	parts := strings.Split(strings.Trim(path.Clean(name), "/"), "/")
	for _, part := range parts[:len(parts)-1] {
		dir.mu.Lock()
		next := dir.children[part]
		if next == nil {
			next = f.Directory()
			dir.children[part] = next
		}
		dir.mu.Unlock()
		dir = next
	}
	dir.mu.Lock()
	defer dir.mu.Unlock()
	dir.children[parts[len(parts)-1]] = n
}

// PutFile is Put for a regular file.
func (f *FS) PutFile(name string, perm fs.FileMode, data string) {
	n := f.inode(perm)
	n.data = []byte(data)
	f.Put(name, n)
}

// child returns an entry of a directory.
func (n *Inode) child(p *Process, name string) *Inode {
	n.mu.Lock()
	c := n.children[name]
	n.mu.Unlock()
	if c == nil && n.Lookup != nil {
		c = n.Lookup(p, name)
	}
	return c
}

// List returns a directory's names, sorted.
func (n *Inode) List(p *Process) []string {
	n.mu.Lock()
	names := slices.Collect(maps.Keys(n.children))
	n.mu.Unlock()
	if n.Names != nil {
		names = append(names, n.Names(p)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Abs makes a path absolute.
func (p *Process) Abs(name string) string {
	if !strings.HasPrefix(name, "/") {
		name = p.Cwd() + "/" + name
	}
	return name
}

// walk resolves a path. It returns the directory, the last name, the inode,
// which is nil where only the last name is missing, and the real path.
func (f *FS) walk(p *Process, name string, follow bool) (dir *Inode, last string, n *Inode, real string, err error) {
	if name == "" {
		return nil, "", nil, "", ENOENT
	}
	mustDir := strings.HasSuffix(name, "/")
	links := 0
	type level struct {
		n    *Inode
		name string
	}
	stack := []level{{f.root, ""}}
	if p != nil {
		name = p.Abs(name)
	}
	todo := strings.Split(name, "/")
	for i := 0; i < len(todo); i++ {
		part := todo[i]
		rest := slices.ContainsFunc(todo[i+1:], func(s string) bool { return s != "" })
		cur := stack[len(stack)-1].n
		switch part {
		case "", ".":
			continue
		case "..":
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
			}
			continue
		}
		if !cur.Mode().IsDir() {
			return nil, "", nil, "", ENOTDIR
		}
		c := cur.child(p, part)
		if c == nil {
			if rest {
				return nil, "", nil, "", ENOENT
			}
			real = ""
			for _, l := range stack[1:] {
				real += "/" + l.name
			}
			return cur, part, nil, real + "/" + part, nil
		}
		if c.Mode()&fs.ModeSymlink != 0 && (rest || follow || mustDir) {
			if links++; links > 20 {
				return nil, "", nil, "", ELOOP
			}
			if c.Target != nil {
				stack = append(stack, level{c.Target, part})
				continue
			}
			target := c.Links(p)
			if c.Opener != nil { // a link of /proc that leads to what has no name
				stack = append(stack, level{c, part})
				continue
			}
			if strings.HasPrefix(target, "/") {
				stack = stack[:1]
			}
			todo = append(strings.Split(target, "/"), todo[i+1:]...)
			i = -1
			continue
		}
		stack = append(stack, level{c, part})
	}
	top := stack[len(stack)-1]
	real = ""
	for _, l := range stack[1:] {
		real += "/" + l.name
	}
	if real == "" {
		real = "/"
	}
	if mustDir && !top.n.Mode().IsDir() {
		return nil, "", nil, "", ENOTDIR
	}
	if len(stack) > 1 {
		dir = stack[len(stack)-2].n
	}
	return dir, top.name, top.n, real, nil
}

// Find returns the inode at an absolute path, or nil.
func (f *FS) Find(name string) *Inode {
	_, _, n, _, err := f.walk(nil, name, true)
	if err != nil {
		return nil
	}
	return n
}

// Stat returns a file's inode, of the file behind links where follow is set.
func (f *FS) Stat(p *Process, name string, follow bool) (*Inode, error) {
	_, _, n, _, err := f.walk(p, name, follow)
	if err == nil && n == nil {
		err = ENOENT
	}
	return n, err
}

// Real returns a path without links, as `readlink -f` does; the last part need
// not exist.
func (f *FS) Real(p *Process, name string) (string, error) {
	_, _, _, real, err := f.walk(p, name, true)
	return real, err
}

// Open opens a file.
func (f *FS) Open(p *Process, name string, flags int, perm fs.FileMode) (*File, error) {
	dir, last, n, real, err := f.walk(p, name, true)
	if err != nil {
		return nil, err
	}
	if n == nil {
		if flags&Create == 0 {
			return nil, ENOENT
		}
		if dir.Lookup != nil || dir.fs == nil || dir.Mode()&0o200 == 0 {
			return nil, EACCES
		}
		n = f.inode(perm &^ 0o022)
		dir.mu.Lock()
		dir.children[last] = n
		dir.mu.Unlock()
	} else if flags&Exclusive != 0 && flags&Create != 0 {
		return nil, EEXIST
	}
	switch {
	case n.Mode().IsDir():
		if flags&3 != ReadOnly {
			return nil, EISDIR
		}
		return newFile(real, n, directory{}, flags), nil
	case n.Opener != nil:
		d, err := n.Opener(p, flags)
		if err != nil {
			return nil, asErrno(err)
		}
		return newFile(real, n, d, flags), nil
	case n.Mode()&fs.ModeNamedPipe != 0:
		n.mu.Lock()
		if n.queue == nil {
			n.queue = newPipe()
		}
		q := n.queue
		n.mu.Unlock()
		d, err := q.openFIFO(p.Context(), flags)
		if err != nil {
			return nil, err
		}
		return newFile(real, n, d, flags), nil
	}
	d := &memory{n: n}
	if flags&Truncate != 0 && flags&3 != ReadOnly {
		d.truncate(0)
	}
	return newFile(real, n, d, flags), nil
}

// directory is an open directory, which cannot be read as a file.
type directory struct{}

func (directory) Read(context.Context, []byte, int64) (int, error)  { return 0, EISDIR }
func (directory) Write(context.Context, []byte, int64) (int, error) { return 0, EISDIR }
func (directory) Seekable() bool                                    { return false }
func (directory) Size() int64                                       { return 0 }
func (directory) Close()                                            {}
