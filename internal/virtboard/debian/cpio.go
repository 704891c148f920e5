package debian

import (
	"fmt"
	"io"
	"path"
)

// File types of a cpio entry, as in stat's st_mode.
const (
	typeDir     = 0o040000
	typeRegular = 0o100000
	typeLink    = 0o120000
	typeChar    = 0o020000
)

// cpioWriter writes a cpio archive in the "newc" format, which is what the
// kernel unpacks an initramfs from (Documentation/driver-api/early-userspace/
// buffer-format.rst). Everything belongs to root and has no time, so that the
// same input gives the same bytes.
type cpioWriter struct {
	w     io.Writer
	inode int
	dirs  map[string]bool
	err   error
}

func newCPIO(w io.Writer) *cpioWriter {
	return &cpioWriter{w: w, dirs: map[string]bool{".": true, "/": true}}
}

// entry writes one entry; major and minor are those of a device.
func (c *cpioWriter) entry(name string, mode, major, minor int, data []byte) {
	c.inode++
	links := 1
	if mode&typeDir != 0 && mode&typeRegular != typeRegular {
		links = 2
	}
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		c.inode, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name)+1, 0, name)
	c.write([]byte(head))
	c.write(make([]byte, -len(head)&3))
	c.write(data)
	c.write(make([]byte, -len(data)&3))
}

func (c *cpioWriter) write(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
}

// dir writes a directory and those above it, once each.
func (c *cpioWriter) dir(name string) {
	if c.dirs[name] {
		return
	}
	c.dirs[name] = true
	c.dir(path.Dir(name))
	c.entry(name, typeDir|0o755, 0, 0, nil)
}

func (c *cpioWriter) file(name string, perm int, data []byte) {
	c.dir(path.Dir(name))
	c.entry(name, typeRegular|perm, 0, 0, data)
}

func (c *cpioWriter) symlink(name, target string) {
	c.dir(path.Dir(name))
	c.entry(name, typeLink|0o777, 0, 0, []byte(target))
}

// char writes a character device.
func (c *cpioWriter) char(name string, perm, major, minor int) {
	c.dir(path.Dir(name))
	c.entry(name, typeChar|perm, major, minor, nil)
}

// close ends the archive and returns the first error of all.
func (c *cpioWriter) close() error {
	c.entry("TRAILER!!!", 0, 0, 0, nil)
	return c.err
}
