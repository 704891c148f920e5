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

func (m *Machine) textTools() map[string]func(*call, []string) int {
	return map[string]func(*call, []string) int{
		"dd": m.dd, "cat": cat, "head": head, "tail": tail, "wc": wc, "tr": tr, "cut": cut, "grep": grep, "egrep": grep, "fgrep": grep, "sed": sed,
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
	many := len(files) > 1 && !o.has('q') || o.has('v')
	status := c.each(files, cannotOpen, func(name string, r io.Reader) int {
		if opened++; many {
			if opened > 1 {
				c.printf("\n")
			}
			c.printf("==> %s <==\n", name)
		}
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
	o, files, ok := c.parse(args, "clw", "", nil)
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
