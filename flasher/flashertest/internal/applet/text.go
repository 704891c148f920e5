package applet

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

func textTools() map[string]func(*call, []string) int {
	return map[string]func(*call, []string) int{
		"dd": dd, "cat": cat, "head": head, "tail": tail, "wc": wc, "tr": tr, "cut": cut, "grep": grep, "egrep": grep, "fgrep": grep, "sed": sed,
		"seq": seq, "tee": tee, "yes": yes, "sort": sortLines, "uniq": uniq, "cmp": cmp, "xargs": xargs,
	}
}

var kilo = map[string]int64{"": 1, "b": 512, "k": 1 << 10, "K": 1 << 10, "m": 1 << 20, "M": 1 << 20, "g": 1 << 30, "G": 1 << 30}

func cat(c *call, args []string) int {
	_, files, ok := c.parse(args, "u", "", nil)
	if !ok {
		return 1
	}
	return c.each(files, cannotOpen, func(name string, r io.Reader) int {
		_, rerr, werr := c.copy(c.out, r)
		switch {
		case c.Killed():
			return 1
		case rerr != nil:
			return c.fail("read error: %v", rerr)
		case werr != nil:
			return c.fail("write error: %v", werr)
		}
		return 0
	})
}

func head(c *call, args []string) int {
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0][1] >= '0' && args[0][1] <= '9' {
		args = append([]string{"-n", args[0][1:]}, args[1:]...)
	}
	o, files, ok := c.parse(args, "qv", "nc", nil)
	if !ok {
		return 1
	}
	text, bytewise := "10", o.has('c')
	if o.has('n') {
		text = o['n']
	}
	if bytewise {
		text = o['c']
	}
	if strings.HasPrefix(text, "-") {
		return c.fail("a negative count is not known to the simulated board")
	}
	n, err := size(text, 0, 1<<63-1, kilo)
	if err != nil {
		return c.fail("invalid number '%s'", text)
	}
	many := len(files) > 1 && !o.has('q')
	first := true
	return c.each(files, "%s: %v", func(name string, r io.Reader) int {
		if many || o.has('v') {
			if !first {
				c.printf("\n")
			}
			c.printf("==> %s <==\n", name)
			first = false
		}
		if bytewise {
			// Not a byte more may be read: the next reader of a pipe gets the rest.
			_, rerr, werr := c.copy(c.out, io.LimitReader(r, n))
			if err := cmpErr(rerr, werr); err != nil && !c.Killed() {
				return c.fail("%s: %v", name, err)
			}
			return 0
		}
		br, bw := bufio.NewReader(r), bufio.NewWriter(c.out)
		for range n {
			line, err := br.ReadString('\n')
			bw.WriteString(line)
			if err != nil {
				break
			}
		}
		bw.Flush()
		return 0
	})
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func tail(c *call, args []string) int {
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0][1] >= '0' && args[0][1] <= '9' {
		args = append([]string{"-n", args[0][1:]}, args[1:]...)
	}
	o, files, ok := c.parse(args, "qv", "nc", nil)
	if !ok {
		return 1
	}
	text := "10"
	if o.has('n') {
		text = o['n']
	}
	if o.has('c') {
		text = o['c']
	}
	fromStart := strings.HasPrefix(text, "+")
	n, err := size(strings.TrimLeft(text, "+-"), 0, 1<<62, kilo)
	if err != nil {
		return c.fail("invalid number '%s'", text)
	}
	opened := 0
	status := c.each(files, cannotOpen, func(name string, r io.Reader) int {
		opened++
		data, err := io.ReadAll(r)
		if err != nil {
			return c.fail("%s: %v", name, err)
		}
		var from int
		switch lines := bytes.SplitAfter(data, []byte("\n")); {
		case o.has('c') && fromStart:
			from = min(max(int(n)-1, 0), len(data))
		case o.has('c'):
			from = max(len(data)-int(n), 0)
		default:
			if len(lines[len(lines)-1]) == 0 {
				lines = lines[:len(lines)-1]
			}
			skip := max(len(lines)-int(n), 0)
			if fromStart {
				skip = min(max(int(n)-1, 0), len(lines))
			}
			for _, l := range lines[:skip] {
				from += len(l)
			}
		}
		c.out.Write(data[from:])
		return 0
	})
	if opened == 0 {
		return c.fail("no files")
	}
	return status
}

func wc(c *call, args []string) int {
	o, files, ok := c.parse(args, "clwmL", "", nil)
	if !ok {
		return 1
	}
	show := func(lines, words, chars int64, name string) {
		var fields []string
		for _, f := range []struct {
			flag byte
			n    int64
		}{{'l', lines}, {'w', words}, {'c', chars}} {
			if len(o) == 0 || o.has(f.flag) {
				fields = append(fields, fmt.Sprint(f.n))
			}
		}
		if len(fields) > 1 || len(files) > 1 {
			for i := range fields {
				fields[i] = fmt.Sprintf("%9s", fields[i])
			}
		}
		line := strings.Join(fields, " ")
		if name != "-" {
			line += " " + name
		}
		c.printf("%s\n", line)
	}
	var all [3]int64
	status := c.each(files, "%s: %v", func(name string, r io.Reader) int {
		var lines, words, chars int64
		inWord := false
		buf := make([]byte, copySize)
		for {
			n, err := r.Read(buf)
			for _, b := range buf[:n] {
				chars++
				if b == '\n' {
					lines++
				}
				space := b == ' ' || b >= 9 && b <= 13
				if !space && !inWord {
					words++
				}
				inWord = !space
			}
			if err != nil {
				break
			}
		}
		show(lines, words, chars, name)
		all[0], all[1], all[2] = all[0]+lines, all[1]+words, all[2]+chars
		return 0
	})
	if len(files) > 1 {
		show(all[0], all[1], all[2], "total")
	}
	return status
}

// trSet expands ranges, classes and escapes.
func trSet(s string) []byte {
	var out []byte
	for i := 0; i < len(s); i++ {
		b := s[i]
		if b == '[' && i+1 < len(s) && s[i+1] == ':' {
			if name, rest, ok := strings.Cut(s[i+2:], ":]"); ok {
				for ch := range 256 {
					if trClass(name, byte(ch)) {
						out = append(out, byte(ch))
					}
				}
				i = len(s) - len(rest) - 1
				continue
			}
		}
		if b == '\\' && i+1 < len(s) {
			i++
			if j := strings.IndexByte(`abfnrtv\`, s[i]); j >= 0 {
				b = "\a\b\f\n\r\t\v\\"[j]
			} else if s[i] >= '0' && s[i] <= '7' {
				n := 1
				for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
					n++
				}
				v, _ := strconv.ParseUint(s[i:i+n], 8, 16)
				b = byte(v)
				i += n - 1
			} else {
				b = s[i]
			}
		}
		if i+2 < len(s) && s[i+1] == '-' && s[i+2] >= b {
			for ch := int(b); ch <= int(s[i+2]); ch++ {
				out = append(out, byte(ch))
			}
			i += 2
			continue
		}
		out = append(out, b)
	}
	return out
}

func trClass(name string, b byte) bool {
	upper, lower, digit := b >= 'A' && b <= 'Z', b >= 'a' && b <= 'z', b >= '0' && b <= '9'
	switch name {
	case "upper":
		return upper
	case "lower":
		return lower
	case "alpha":
		return upper || lower
	case "digit":
		return digit
	case "alnum":
		return upper || lower || digit
	case "space":
		return b == ' ' || b >= 9 && b <= 13
	case "xdigit":
		return digit || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
	case "print":
		return b >= ' ' && b < 0x7f
	case "cntrl":
		return b < ' ' || b == 0x7f
	}
	return false
}

func tr(c *call, args []string) int {
	o, sets, ok := c.parse(args, "cdsC", "", nil)
	if !ok || len(sets) == 0 || len(sets) == 1 && !o.has('d') && !o.has('s') {
		return usage(c)
	}
	from := trSet(sets[0])
	var member, squeeze [256]bool
	for _, b := range from {
		member[b] = true
	}
	if o.has('c') || o.has('C') {
		from = nil
		for i := range member {
			if member[i] = !member[i]; member[i] {
				from = append(from, byte(i))
			}
		}
	}
	var to [256]byte
	for i := range to {
		to[i] = byte(i)
	}
	last := from
	if len(sets) > 1 {
		last = trSet(sets[1])
		for i, b := range from {
			if len(last) > 0 && !o.has('d') {
				to[b] = last[min(i, len(last)-1)]
			}
		}
	}
	if o.has('s') {
		for _, b := range last {
			squeeze[b] = true
		}
	}
	buf := make([]byte, copySize)
	before := -1
	for {
		n, err := c.in.Read(buf)
		out := buf[:0]
		for _, b := range buf[:n] {
			if o.has('d') && member[b] {
				continue
			}
			if b = to[b]; squeeze[b] && before == int(b) {
				continue
			}
			before = int(b)
			out = append(out, b)
		}
		if _, werr := c.out.Write(out); werr != nil {
			return 1
		}
		if err != nil {
			return 0
		}
	}
}

func tee(c *call, args []string) int {
	o, files, ok := c.parse(args, "ai", "", nil)
	if !ok {
		return 1
	}
	status := 0
	outs := []io.Writer{c.out}
	for _, name := range files {
		flags := kernel.WriteOnly | kernel.Create | kernel.Truncate
		if o.has('a') {
			flags = kernel.WriteOnly | kernel.Create | kernel.Append
		}
		f, err := c.K.FS.Open(c.Process, name, flags, 0o666)
		if err != nil {
			status = c.fail("%s: %v", name, err)
			continue
		}
		defer f.Release()
		outs = append(outs, writer{c.Process, f})
	}
	if _, _, err := c.copy(io.MultiWriter(outs...), c.in); err != nil {
		return c.fail("%v", err)
	}
	return status
}

func yes(c *call, args []string) int {
	word := "y"
	if len(args) > 0 {
		word = strings.Join(args, " ")
	}
	block := strings.Repeat(word+"\n", 1+4096/(len(word)+1))
	for {
		if _, err := io.WriteString(c.out, block); err != nil {
			return 1
		}
	}
}

func seq(c *call, args []string) int {
	o, args, ok := c.parse(args, "w", "s", nil)
	if !ok {
		return 1
	}
	n := []int64{1, 1, 1}
	if len(args) < 1 || len(args) > 3 {
		return usage(c)
	}
	for i, a := range args {
		v, err := strconv.ParseInt(a, 10, 64)
		if err != nil {
			return c.fail("invalid number '%s'", a)
		}
		switch {
		case i == len(args)-1:
			n[2] = v
		case i == 0:
			n[0] = v
		default:
			n[1] = v
		}
	}
	sep := "\n"
	if o.has('s') {
		sep = o['s']
	}
	w := bufio.NewWriter(c.out)
	defer w.Flush()
	for v, first := n[0], true; n[1] > 0 && v <= n[2] || n[1] < 0 && v >= n[2]; v, first = v+n[1], false {
		if !first {
			w.WriteString(sep)
		}
		if _, err := fmt.Fprint(w, v); err != nil {
			return 1
		}
	}
	w.WriteString("\n")
	return 0
}
