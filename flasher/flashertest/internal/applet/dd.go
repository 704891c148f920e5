package applet

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// copier is a running dd.
type copier struct {
	c                                *call
	in, out                          *kernel.File
	inName, outName                  string
	ibs, obs                         int64
	count, skip, seek                int64
	limited                          bool
	iflag, oflag, conv               map[string]bool
	status                           string
	fullIn, partIn, fullOut, partOut int64
	bytes                            int64
}

var ddWords = map[string]string{
	"iflag": "skip_bytes count_bytes fullblock direct", "oflag": "seek_bytes append direct", "conv": "notrunc sync noerror fsync swab",
}

var ddSuffixes = map[string]int64{
	"": 1, "c": 1, "w": 2, "b": 512, "kB": 1e3, "kD": 1e3, "k": 1 << 10, "K": 1 << 10, "MB": 1e6, "MD": 1e6, "M": 1 << 20, "GB": 1e9, "GD": 1e9, "G": 1 << 30,
}

func size(text string, from, to int64, suffixes map[string]int64) (int64, error) {
	i := 0
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		i++
	}
	n, err := strconv.ParseInt(text[:i], 10, 64)
	factor, ok := suffixes[text[i:]]
	if err != nil || !ok {
		return 0, fmt.Errorf("invalid number '%s'", text)
	}
	if n > (1<<63-1)/factor || n*factor < from || n*factor > to {
		return 0, fmt.Errorf("number %s is not in %d..%d range", text, from, to)
	}
	return n * factor, nil
}

func (m *Machine) dd(c *call, args []string) int {
	d := &copier{c: c, ibs: 512, obs: 512, iflag: map[string]bool{}, oflag: map[string]bool{}, conv: map[string]bool{}}
	for _, arg := range args {
		if arg == "--" {
			continue
		}
		key, value, ok := strings.Cut(arg, "=")
		const top = 1<<63 - 1
		var err error
		switch {
		case !ok:
			return usage(c)
		case key == "if":
			d.inName = value
		case key == "of":
			d.outName = value
		case key == "bs":
			d.ibs, err = size(value, 1, top, ddSuffixes)
			d.obs = d.ibs
		case key == "ibs":
			d.ibs, err = size(value, 1, top, ddSuffixes)
		case key == "obs":
			d.obs, err = size(value, 1, top, ddSuffixes)
		case key == "count":
			d.count, err = size(value, 0, top, ddSuffixes)
			d.limited = true
		case key == "skip" || key == "iseek":
			d.skip, err = size(value, 0, top, ddSuffixes)
		case key == "seek" || key == "oseek":
			d.seek, err = size(value, 0, top, ddSuffixes)
		case key == "status":
			if d.status = value; value != "none" && value != "noxfer" {
				return c.fail("invalid argument '%s' to 'status'", value)
			}
		case ddWords[key] != "":
			set := map[string]map[string]bool{"iflag": d.iflag, "oflag": d.oflag, "conv": d.conv}[key]
			for word := range strings.SplitSeq(value, ",") {
				if !strings.Contains(" "+ddWords[key]+" ", " "+word+" ") || word == "direct" && m.NoDirectIO {
					return c.fail("invalid argument '%s' to '%s'", word, key)
				}
				set[word] = true
			}
		default:
			return usage(c)
		}
		if err != nil {
			return c.fail("%v", err)
		}
	}
	return d.run()
}

// usage is what busybox prints when it does not understand the arguments.
func usage(c *call) int {
	fmt.Fprintf(c.err, "BusyBox v1.35.0 (simulated) multi-call binary.\n\nUsage: %s [ARG]...\n", c.name())
	return 1
}

func (d *copier) run() int {
	c := d.c
	d.in, d.out = c.FDs.Get(0), c.FDs.Get(1)
	if d.inName != "" {
		flags := kernel.ReadOnly
		if d.iflag["direct"] {
			flags |= kernel.Direct
		}
		f, err := c.K.FS.Open(c.Process, d.inName, flags, 0)
		if err != nil {
			return c.fail(cannotOpen, d.inName, err)
		}
		c.FDs.Set(0, f) // busybox does so too: /proc/PID/fdinfo/0 tells how far it is
		d.in = f
	} else {
		d.inName = "standard input"
	}
	factor := d.obs
	if d.oflag["seek_bytes"] {
		factor = 1
	}
	if d.outName != "" {
		flags := kernel.ReadWrite | kernel.Create
		if d.oflag["append"] {
			flags |= kernel.Append
		}
		if d.oflag["direct"] {
			flags |= kernel.Direct
		}
		if !d.conv["notrunc"] && d.seek == 0 {
			flags |= kernel.Truncate
		}
		f, err := c.K.FS.Open(c.Process, d.outName, flags, 0o666)
		if err == kernel.EACCES || err == kernel.EISDIR {
			f, err = c.K.FS.Open(c.Process, d.outName, flags&^kernel.ReadWrite|kernel.WriteOnly, 0o666)
		}
		if err != nil {
			return c.fail(cannotOpen, d.outName, err)
		}
		c.FDs.Set(1, f)
		d.out = f
		if d.seek > 0 && !d.conv["notrunc"] {
			f.Truncate(d.seek * factor)
		}
	} else {
		d.outName = "standard output"
	}
	if d.in == nil || d.out == nil {
		return c.fail("%s: %v", d.inName, kernel.EBADF)
	}
	if status := d.position(factor); status != 0 {
		return status
	}
	began := time.Now()
	status := d.loop()
	if status == 0 && d.conv["fsync"] {
		if s, ok := d.out.Driver().(interface{ Sync() error }); ok && s.Sync() != nil {
			status = c.fail("%s: %v", d.outName, kernel.EIO)
		}
	}
	if _, killed := c.Status(); killed == 0 && !c.Killed() && d.status != "none" {
		d.report(time.Since(began))
	}
	return status
}

// position skips input and seeks in the output.
func (d *copier) position(factor int64) int {
	c := d.c
	if d.skip > 0 {
		n := d.skip * d.ibs
		if d.iflag["skip_bytes"] {
			n = d.skip
		}
		if _, err := d.in.Seek(n, io.SeekCurrent); err != nil {
			left := io.LimitReader(reader{c.Process, d.in}, n)
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, left, make([]byte, min(d.ibs, 1<<20))); err != nil {
				return c.fail("%s: %v", d.inName, err)
			}
		}
	}
	if d.seek > 0 {
		if _, err := d.out.Seek(d.seek*factor, io.SeekCurrent); err != nil {
			return c.fail("%s: %v", d.outName, err)
		}
	}
	return 0
}

func (d *copier) loop() int {
	c := d.c
	if d.ibs > 1<<30 || d.obs > 1<<30 {
		return c.fail("out of memory")
	}
	in := make([]byte, d.ibs)
	gather := d.ibs != d.obs
	var pending []byte
	if gather {
		pending = make([]byte, 0, d.obs)
	}
	left := d.count
	byBytes := d.iflag["count_bytes"]
	for !d.limited || left > 0 {
		want := in
		if d.limited && byBytes {
			want = in[:min(int64(len(in)), left)]
		}
		n, err := d.read(want)
		if n == 0 && err == io.EOF {
			break
		}
		if err != nil && err != io.EOF {
			if c.Killed() {
				return 1
			}
			c.fail("%s: %v", d.inName, err)
			if !d.conv["noerror"] {
				d.status = "none" // busybox ends here without a word
				return d.finish(pending, 1)
			}
			if _, err := d.in.Seek(d.ibs, io.SeekCurrent); err != nil {
				return d.finish(pending, 1)
			}
			n = 0
			if !d.conv["sync"] {
				left--
				continue
			}
		}
		if d.limited {
			if byBytes {
				left -= int64(n)
			} else {
				left--
			}
		}
		if int64(n) == d.ibs {
			d.fullIn++
		} else {
			d.partIn++
			if d.conv["sync"] {
				clear(in[n:])
				n = len(in)
			}
		}
		block := in[:n]
		if d.conv["swab"] {
			for i := 0; i+1 < len(block); i += 2 {
				block[i], block[i+1] = block[i+1], block[i]
			}
		}
		if !gather {
			if !d.write(block) {
				return 1
			}
			continue
		}
		for len(block) > 0 {
			m := copy(pending[len(pending):cap(pending)], block)
			pending, block = pending[:len(pending)+m], block[m:]
			if len(pending) == cap(pending) {
				if !d.write(pending) {
					return 1
				}
				pending = pending[:0]
			}
		}
	}
	return d.finish(pending, 0)
}

func (d *copier) finish(pending []byte, status int) int {
	if len(pending) > 0 && !d.write(pending) {
		return 1
	}
	return status
}

// read reads one block; without fullblock it takes what one read gives.
func (d *copier) read(b []byte) (int, error) {
	n, err := d.in.Read(d.c.Process, b)
	for d.iflag["fullblock"] && err == nil && n < len(b) {
		var m int
		m, err = d.in.Read(d.c.Process, b[n:])
		n += m
	}
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (d *copier) write(b []byte) bool {
	if dio, ok := d.out.Driver().(interface{ SetDirect(bool) }); ok && len(b)%512 != 0 {
		dio.SetDirect(false)
	}
	n, err := d.out.Write(d.c.Process, b)
	d.bytes += int64(n)
	if err == nil {
		if int64(n) == d.obs {
			d.fullOut++
		} else {
			d.partOut++
		}
		return true
	}
	if n > 0 {
		d.partOut++
	}
	if !d.c.Killed() {
		d.c.fail("error writing '%s': %v", d.outName, err)
	}
	return false
}

func (d *copier) report(took time.Duration) {
	fmt.Fprintf(d.c.err, "%d+%d records in\n%d+%d records out\n", d.fullIn, d.partIn, d.fullOut, d.partOut)
	if d.status == "noxfer" {
		return
	}
	seconds := max(took.Seconds(), 1e-6)
	fmt.Fprintf(d.c.err, "%d bytes (%s) copied, %f seconds, %s/s\n", d.bytes, human(float64(d.bytes)), seconds, human(float64(d.bytes)/seconds))
}

// human is a number of bytes as busybox abbreviates it.
func human(n float64) string {
	units := []string{"B", "KB", "MB", "GB", "TB"}
	i := 0
	for n >= 1024 && i < len(units)-1 {
		n /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%dB", int64(n))
	}
	return fmt.Sprintf("%.1f%s", n, units[i])
}
