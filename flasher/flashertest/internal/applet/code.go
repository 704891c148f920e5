package applet

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

func codeTools() map[string]func(*call, []string) int {
	return map[string]func(*call, []string) int{"base64": base64Tool, "od": od, "hexdump": hexdump, "xxd": xxd}
}

func base64Tool(c *call, args []string) int {
	o, files, ok := c.parse(args, "d", "w", nil)
	if !ok {
		return 1
	}
	return c.each(files[:min(1, len(files))], cannotOpen, func(name string, r io.Reader) int {
		data, err := io.ReadAll(r)
		if err != nil {
			return c.fail("read error: %v", err)
		}
		if !o.has('d') {
			text := base64.StdEncoding.EncodeToString(data)
			width := 76
			if o.has('w') {
				fmt.Sscan(o['w'], &width)
			}
			w := bufio.NewWriter(c.out)
			defer w.Flush()
			for width > 0 && len(text) > width {
				w.WriteString(text[:width] + "\n")
				text = text[width:]
			}
			if text != "" || width == 0 {
				w.WriteString(text)
			}
			if width > 0 && len(data) > 0 {
				w.WriteString("\n")
			}
			return 0
		}
		clean := strings.Join(strings.Fields(string(data)), "")
		out, err := base64.StdEncoding.DecodeString(clean)
		if err != nil {
			if out, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(clean, "=")); err != nil {
				c.out.Write(out)
				return c.fail("truncated input")
			}
		}
		c.out.Write(out)
		return 0
	})
}

// od knows -An, -v, -tx1 and -c.
func od(c *call, args []string) int {
	o, files, ok := c.parse(args, "vc", "AtN", nil)
	if !ok {
		return 1
	}
	if o['t'] != "x1" && !o.has('c') {
		return c.fail("only -tx1 and -c are known to the simulated board")
	}
	return c.each(files, "%s: %v", func(name string, r io.Reader) int {
		w := bufio.NewWriter(c.out)
		defer w.Flush()
		buf := make([]byte, 16)
		var last []byte
		at, starred := int64(0), false
		limit := int64(1 << 62)
		if o.has('N') {
			limit, _ = size(o['N'], 0, 1<<62, kilo)
		}
		r = io.LimitReader(r, limit)
		for {
			n, err := io.ReadFull(r, buf)
			if n == 0 {
				if err != io.EOF {
					return c.fail("%s: %v", name, err)
				}
				if o['A'] != "n" {
					fmt.Fprintf(w, "%07o\n", at)
				}
				return 0
			}
			if !o.has('v') && n == 16 && bytes.Equal(last, buf) {
				if !starred {
					w.WriteString("*\n")
				}
				starred = true
				at += 16
				continue
			}
			starred = false
			last = bytes.Clone(buf[:n])
			if o['A'] != "n" {
				fmt.Fprintf(w, "%07o", at)
			}
			for _, b := range buf[:n] {
				if o.has('c') {
					w.WriteString(odChar(b))
				} else {
					fmt.Fprintf(w, " %02x", b)
				}
			}
			w.WriteString("\n")
			at += int64(n)
		}
	})
}

func odChar(b byte) string {
	if i := strings.IndexByte("\x00\a\b\f\n\r\t\v", b); i >= 0 {
		return "  \\" + "0abfnrtv"[i:i+1]
	}
	if b >= ' ' && b < 0x7f {
		return "   " + string(b)
	}
	return fmt.Sprintf(" %03o", b)
}

// hexdump knows -C and -e '1/1 "%02x"'.
func hexdump(c *call, args []string) int {
	o, files, ok := c.parse(args, "Cv", "en", nil)
	if !ok {
		return 1
	}
	plain := o['e'] == `1/1 "%02x"`
	if !plain && !o.has('C') {
		return c.fail("only -C and -e '1/1 \"%%02x\"' are known to the simulated board")
	}
	return c.each(files, "%s: %v", func(name string, r io.Reader) int {
		w := bufio.NewWriter(c.out)
		defer w.Flush()
		if o.has('n') {
			n, _ := size(o['n'], 0, 1<<62, kilo)
			r = io.LimitReader(r, n)
		}
		buf := make([]byte, 16)
		var last []byte
		at, starred := int64(0), false
		for {
			n, err := io.ReadFull(r, buf)
			if n == 0 {
				if err != io.EOF {
					return c.fail("%s: %v", name, err)
				}
				if !plain && at > 0 {
					fmt.Fprintf(w, "%08x\n", at)
				}
				return 0
			}
			switch {
			case plain:
				fmt.Fprintf(w, "%x", buf[:n])
			case !o.has('v') && n == 16 && bytes.Equal(last, buf):
				if !starred {
					w.WriteString("*\n")
				}
				starred = true
			default:
				starred = false
				last = bytes.Clone(buf[:n])
				fmt.Fprintf(w, "%08x  ", at)
				text := ""
				for i := range 16 {
					if i == 8 {
						w.WriteString(" ")
					}
					if i >= n {
						w.WriteString("   ")
						continue
					}
					fmt.Fprintf(w, "%02x ", buf[i])
					if buf[i] >= ' ' && buf[i] < 0x7f {
						text += string(buf[i])
					} else {
						text += "."
					}
				}
				fmt.Fprintf(w, " |%s|\n", text)
			}
			at += int64(n)
		}
	})
}

// xxd knows -p.
func xxd(c *call, args []string) int {
	o, files, ok := c.parse(args, "p", "", nil)
	if !ok || !o.has('p') {
		return c.fail("only -p is known to the simulated board")
	}
	return c.each(files, "%s: %v", func(_ string, r io.Reader) int {
		buf := make([]byte, 30)
		for {
			n, err := io.ReadFull(r, buf)
			if n > 0 {
				c.printf("%x\n", buf[:n])
			}
			if err != nil {
				return 0
			}
		}
	})
}

func packTools() map[string]func(*call, []string) int {
	t := map[string]func(*call, []string) int{}
	for name, open := range map[string]func(io.Reader) (io.Reader, error){
		"gzip gunzip zcat":    func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"xz unxz xzcat":       func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) },
		"bzip2 bunzip2 bzcat": func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil },
		"lzma unlzma lzcat":   func(r io.Reader) (io.Reader, error) { return lzma.NewReader(r) },
		"zstd unzstd zstdcat": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) },
	} {
		for i, n := range strings.Fields(name) {
			t[n] = unpack(n, open, i == 0)
		}
	}
	return t
}

// packStream compresses standard input with gzip or zstd; the level makes no
// difference.
func packStream(c *call, name string, files bool) int {
	var w io.WriteCloser
	var err error
	switch name {
	case "gzip":
		w, err = gzip.NewWriterLevel(c.out, gzip.BestSpeed)
	case "zstd":
		w, err = zstd.NewWriter(c.out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	default:
		return c.fail("compressing is not known to the simulated board")
	}
	if err != nil || files {
		return c.fail("only standard input is known to the simulated board")
	}
	_, rerr, werr := c.copy(w, c.in)
	if werr == nil {
		werr = w.Close()
	}
	switch {
	case c.Killed():
		return 1
	case werr != nil:
		return c.fail("write error: %v", werr)
	case rerr != nil:
		return c.fail("read error: %v", rerr)
	}
	return 0
}

// unpack decompresses standard input, or files, to standard output.
func unpack(name string, open func(io.Reader) (io.Reader, error), needsFlag bool) func(*call, []string) int {
	return func(c *call, args []string) int {
		o, files, ok := c.parse(args, "dcf123456789", "T", nil)
		if !ok {
			return 1
		}
		if needsFlag && !o.has('d') {
			return packStream(c, name, len(files) > 0)
		}
		if len(files) > 0 && !o.has('c') && !strings.HasSuffix(name, "cat") {
			return c.fail("only to standard output is known to the simulated board")
		}
		return c.each(files, "%s: %v", func(_ string, r io.Reader) int {
			z, err := open(bufio.NewReaderSize(r, copySize))
			if err != nil {
				if err == io.EOF {
					return c.fail("short read")
				}
				return c.fail("invalid magic")
			}
			_, rerr, werr := c.copy(c.out, z)
			switch {
			case c.Killed():
				return 1
			case werr != nil && werr != kernel.EPIPE:
				return c.fail("write error: %v", werr)
			case werr != nil:
				return 1
			case rerr == io.ErrUnexpectedEOF:
				return c.fail("short read")
			case rerr != nil:
				return c.fail("corrupted data")
			}
			return 0
		})
	}
}
