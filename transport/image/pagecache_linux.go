package image

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// dropStep is how many bytes that were read are given back at once.
const dropStep = 8 << 20

// sequential reads a regular file from where it stands to its end. The kernel is
// told that it will, so that it reads further ahead. A file of more than half of
// the machine's memory leaves the page cache behind the reader: it would not be
// there for the next one anyway, and would only push out what others need. A
// smaller one stays, for the next flash.
func sequential(f *os.File, offset, size int64) io.Reader {
	return sequentialWith(f, offset, size > memory()/2)
}

func sequentialWith(f *os.File, offset int64, drop bool) io.Reader {
	raw, err := f.SyscallConn()
	if err != nil {
		return f
	}
	advise := func(off, n int64, advice int) {
		// Advice that is not taken costs speed only.
		raw.Control(func(fd uintptr) { unix.Fadvise(int(fd), off, n, advice) })
	}
	advise(0, 0, unix.FADV_SEQUENTIAL)
	if !drop {
		return f
	}
	return &dropBehind{f: f, advise: advise, at: offset, dropped: offset}
}

// memory is the size of the machine's memory in bytes.
func memory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 1 << 62
	}
	return int64(uint64(info.Totalram) * uint64(info.Unit))
}

// dropBehind gives back the pages of what was read.
type dropBehind struct {
	f           *os.File
	advise      func(off, n int64, advice int)
	at, dropped int64
}

func (d *dropBehind) Read(p []byte) (int, error) {
	n, err := d.f.Read(p)
	d.at += int64(n)
	if d.at-d.dropped >= dropStep || err == io.EOF {
		d.advise(d.dropped, d.at-d.dropped, unix.FADV_DONTNEED)
		d.dropped = d.at
	}
	return n, err
}
