package applet

import (
	"bufio"
	"io"
	"slices"
	"strconv"
	"strings"
)

func sortLines(c *call, args []string) int {
	o, files, ok := c.parse(args, "nru", "", nil)
	if !ok {
		return 1
	}
	var lines []string
	status := c.each(files, "%s: %v", func(name string, r io.Reader) int {
		data, err := io.ReadAll(r)
		if err != nil {
			return c.fail("%s: %v", name, err)
		}
		if text := strings.TrimSuffix(string(data), "\n"); text != "" || len(data) > 0 {
			lines = append(lines, strings.Split(text, "\n")...)
		}
		return 0
	})
	number := func(s string) float64 {
		s = strings.TrimLeft(s, " ")
		i := 0
		for i < len(s) && strings.IndexByte("-.0123456789", s[i]) >= 0 {
			i++
		}
		v, _ := strconv.ParseFloat(s[:i], 64)
		return v
	}
	slices.SortStableFunc(lines, func(a, b string) int {
		r := strings.Compare(a, b)
		if o.has('n') {
			if x, y := number(a), number(b); x != y {
				r = 1
				if x < y {
					r = -1
				}
			}
		}
		if o.has('r') {
			r = -r
		}
		return r
	})
	if o.has('u') {
		lines = slices.Compact(lines)
	}
	for _, l := range lines {
		c.printf("%s\n", l)
	}
	return status
}

func uniq(c *call, args []string) int {
	o, files, ok := c.parse(args, "cdu", "", nil)
	if !ok {
		return 1
	}
	return c.each(files[:min(1, len(files))], "%s: %v", func(name string, r io.Reader) int {
		sc := bufio.NewScanner(r)
		last, n := "", 0
		flush := func() {
			switch {
			case n == 0 || o.has('d') && n == 1 || o.has('u') && n > 1:
			case o.has('c'):
				c.printf("%7d %s\n", n, last)
			default:
				c.printf("%s\n", last)
			}
		}
		for sc.Scan() {
			if n > 0 && sc.Text() == last {
				n++
				continue
			}
			flush()
			last, n = sc.Text(), 1
		}
		flush()
		return 0
	})
}

func cmp(c *call, args []string) int {
	o, files, ok := c.parse(args, "s", "n", nil)
	if !ok || len(files) < 2 {
		usage(c)
		return 2
	}
	limit := int64(-1)
	if o.has('n') {
		limit, _ = size(o['n'], 0, 1<<62, kilo)
	}
	var in [2]*bufio.Reader
	for i := range in {
		r, done, err := c.open(files[i])
		if err != nil {
			c.fail("%s: %v", files[i], err)
			return 2
		}
		defer done()
		in[i] = bufio.NewReaderSize(r, copySize)
	}
	line := 1
	for at := int64(1); limit < 0 || at <= limit; at++ {
		a, err1 := in[0].ReadByte()
		b, err2 := in[1].ReadByte()
		switch {
		case err1 != nil && err2 != nil:
			return 0
		case err1 != nil || err2 != nil:
			if short := files[0]; !o.has('s') {
				if err2 != nil {
					short = files[1]
				}
				c.fail("EOF on %s", short)
			}
			return 1
		case a != b:
			if !o.has('s') {
				c.printf("%s %s differ: char %d, line %d\n", files[0], files[1], at, line)
			}
			return 1
		case a == '\n':
			line++
		}
	}
	return 0
}
