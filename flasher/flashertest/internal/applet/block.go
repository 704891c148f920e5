package applet

import (
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// Block is what the driver of a block device can do beyond reading and writing.
type Block interface {
	kernel.Driver
	ReadOnly() bool
	SectorSize() int
}

func (m *Machine) blockdev(c *call, args []string) int {
	if len(args) < 2 {
		return usage(c)
	}
	name := args[len(args)-1]
	f, err := c.K.FS.Open(c.Process, name, kernel.ReadOnly, 0)
	if err != nil {
		return c.fail(cannotOpen, name, err)
	}
	defer f.Release()
	b, ok := f.Driver().(Block)
	if !ok {
		return c.fail("%s: %v", name, kernel.ENOTTY)
	}
	switch args[0] {
	case "--getsize64":
		c.printf("%d\n", b.Size())
	case "--getsz", "--getsize":
		c.printf("%d\n", b.Size()/512)
	case "--getss", "--getpbsz":
		c.printf("%d\n", b.SectorSize())
	case "--getbsz":
		c.printf("4096\n")
	case "--getro":
		ro := 0
		if b.ReadOnly() {
			ro = 1
		}
		c.printf("%d\n", ro)
	case "--flushbufs":
	case "--rereadpt":
		return m.rescan(c, f.Path)
	default:
		return usage(c)
	}
	return 0
}

func (m *Machine) partprobe(c *call, args []string) int {
	for _, name := range args {
		if st := m.rescan(c, name); st != 0 {
			return st
		}
	}
	return 0
}

func (m *Machine) rescan(c *call, name string) int {
	if m.Rescan == nil {
		return 0
	}
	if err := m.Rescan(strings.TrimPrefix(name, "/dev/")); err != nil {
		return c.fail("%s: %v", name, err)
	}
	return 0
}

// blkdiscard makes a range zero, as most eMMC do.
func blkdiscard(c *call, args []string) int {
	o, names, ok := c.parse(args, "f", "ol", nil)
	if !ok || len(names) != 1 {
		return usage(c)
	}
	f, err := c.K.FS.Open(c.Process, names[0], kernel.WriteOnly, 0)
	if err != nil {
		return c.fail(cannotOpen, names[0], err)
	}
	defer f.Release()
	if f.Inode.Mode().Type() != fs.ModeDevice {
		return c.fail("%s: %v", names[0], kernel.ENOTTY)
	}
	off, _ := strconv.ParseInt(o['o'], 10, 64)
	n := f.Driver().Size() - off
	if o.has('l') {
		n, _ = strconv.ParseInt(o['l'], 10, 64)
	}
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return c.fail("%s: %v", names[0], err)
	}
	zero := make([]byte, 1<<20)
	for n > 0 {
		m, err := f.Write(c.Process, zero[:min(n, int64(len(zero)))])
		if err != nil {
			return c.fail("%s: %v", names[0], err)
		}
		n -= int64(m)
	}
	return 0
}
