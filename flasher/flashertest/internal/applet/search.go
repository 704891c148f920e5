package applet

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/ash"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// basic makes a Go regular expression of a POSIX basic one.
func basic(re string) string {
	var b strings.Builder
	for i := 0; i < len(re); i++ {
		switch ch := re[i]; {
		case ch == '\\' && i+1 < len(re):
			i++
			switch {
			case strings.IndexByte("(){}|+?", re[i]) >= 0:
				b.WriteByte(re[i])
			case re[i] == '<' || re[i] == '>':
				b.WriteString(`\b`)
			default:
				b.WriteString(`\` + string(re[i]))
			}
		case ch == '[':
			end := bracketEnd(re, i)
			b.WriteString(strings.ReplaceAll(re[i:end], `\`, `\\`))
			i = end - 1
		case ch == '*' && (i == 0 || re[i-1] == '(' || i == 1 && re[0] == '^'):
			b.WriteString(`\*`)
		case strings.IndexByte("(){}|+?", ch) >= 0:
			b.WriteString(`\` + string(ch))
		case ch == '^' && i > 0 && re[i-1] != '(' && re[i-1] != '|':
			b.WriteString(`\^`)
		case ch == '$' && i < len(re)-1 && !strings.HasPrefix(re[i+1:], `\)`) && !strings.HasPrefix(re[i+1:], `\|`):
			b.WriteString(`\$`)
		default:
			b.WriteByte(ch)
		}
	}
	return b.String()
}

func bracketEnd(re string, i int) int {
	j := i + 1
	if j < len(re) && re[j] == '^' {
		j++
	}
	if j < len(re) && re[j] == ']' {
		j++
	}
	for ; j < len(re); j++ {
		if strings.HasPrefix(re[j:], "[:") {
			if k := strings.Index(re[j:], ":]"); k > 0 {
				j += k + 1
				continue
			}
		}
		if re[j] == ']' {
			return j + 1
		}
	}
	return len(re)
}

func grep(c *call, args []string) int {
	o, rest, ok := c.parse(args, "EFGqvincowxlhHsr", "em", nil)
	if !ok {
		return 2
	}
	if !o.has('e') {
		if len(rest) == 0 {
			usage(c)
			return 2
		}
		o['e'] = rest[0]
		rest = rest[1:]
	}
	var exprs []string
	for pat := range strings.SplitSeq(o['e'], "\n") {
		switch {
		case o.has('F') || c.name() == "fgrep":
			pat = regexp.QuoteMeta(pat)
		case !o.has('E') && c.name() != "egrep":
			pat = basic(pat)
		}
		if o.has('w') {
			pat = `\b(?:` + pat + `)\b`
		}
		if o.has('x') {
			pat = `^(?:` + pat + `)$`
		}
		exprs = append(exprs, "(?:"+pat+")")
	}
	flags := ""
	if o.has('i') {
		flags = "(?i)"
	}
	re, err := regexp.Compile(flags + strings.Join(exprs, "|"))
	if err != nil {
		c.fail("bad regex '%s': %v", o['e'], err)
		return 2
	}
	limit := -1
	if o.has('m') {
		limit, _ = strconv.Atoi(o['m'])
	}
	found := false
	names := (len(rest) > 1 || o.has('H')) && !o.has('h')
	bw := bufio.NewWriter(c.out)
	status := c.each(rest, "%s: %v", func(name string, r io.Reader) int {
		br := bufio.NewReader(r)
		count := 0
		prefix := ""
		if names {
			prefix = name + ":"
		}
		for n := 1; limit < 0 || count < limit; n++ {
			line, err := br.ReadBytes('\n')
			if len(line) == 0 && err != nil {
				break
			}
			text := bytes.TrimSuffix(line, []byte("\n"))
			if re.Match(text) == o.has('v') {
				continue
			}
			found = true
			count++
			at := prefix
			if o.has('n') {
				at += fmt.Sprint(n) + ":"
			}
			switch {
			case o.has('q'):
				return 0
			case o.has('l'):
				fmt.Fprintln(bw, name)
				return 0
			case o.has('c'):
			case o.has('o'):
				for _, m := range re.FindAll(text, -1) {
					if len(m) == 0 {
						continue
					}
					fmt.Fprintf(bw, "%s%s\n", at, m)
				}
			default:
				fmt.Fprintf(bw, "%s%s\n", at, text)
			}
		}
		if o.has('c') && !o.has('q') {
			fmt.Fprintf(bw, "%s%d\n", prefix, count)
		}
		return 0
	})
	bw.Flush()
	switch {
	case status != 0 && !(found && o.has('q')):
		return 2
	case found:
		return 0
	}
	return 1
}

// ranges reads "1,3-5,7-".
func ranges(list string) ([][2]int, bool) {
	var out [][2]int
	for part := range strings.SplitSeq(list, ",") {
		from, to, dash := strings.Cut(part, "-")
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		switch {
		case !dash:
			b, err2 = a, nil
		case to == "" && from != "":
			b, err2 = 1<<30, nil
		case from == "":
			a, err1 = 1, nil
		}
		if err1 != nil || err2 != nil || a < 1 || b < a {
			return nil, false
		}
		out = append(out, [2]int{a, b})
	}
	slices.SortFunc(out, func(x, y [2]int) int { return x[0] - y[0] })
	return out, true
}

func cut(c *call, args []string) int {
	o, files, ok := c.parse(args, "sn", "bcfd", nil)
	if !ok {
		return 1
	}
	kind := byte('f')
	for _, k := range []byte("bcf") {
		if o.has(k) {
			kind = k
		}
	}
	list, good := ranges(o[kind])
	if !good {
		return c.fail("invalid range %s", o[kind])
	}
	delim := "\t"
	if o.has('d') {
		delim = o['d']
	}
	return c.each(files, "%s: %v", func(name string, r io.Reader) int {
		br, bw := bufio.NewReader(r), bufio.NewWriter(c.out)
		defer bw.Flush()
		for {
			line, err := br.ReadString('\n')
			if line == "" && err != nil {
				return 0
			}
			line = strings.TrimSuffix(line, "\n")
			parts, sep := strings.Split(line, delim), delim
			if kind != 'f' {
				parts, sep = nil, ""
				for i := range len(line) {
					parts = append(parts, line[i:i+1])
				}
			} else if len(parts) == 1 {
				if !o.has('s') {
					fmt.Fprintln(bw, line)
				}
				continue
			}
			var chosen []string
			for _, rg := range list {
				for i := rg[0]; i <= min(rg[1], len(parts)); i++ {
					chosen = append(chosen, parts[i-1])
				}
			}
			fmt.Fprintln(bw, strings.Join(chosen, sep))
		}
	})
}

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

func xargs(c *call, args []string) int {
	n := 0
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch {
		case args[0] == "-n" && len(args) > 1:
			n, _ = strconv.Atoi(args[1])
			args = args[2:]
		case args[0] == "-r":
			args = args[1:]
		default:
			return c.fail("invalid option -- '%s'", strings.TrimLeft(args[0], "-"))
		}
	}
	if len(args) == 0 {
		args = []string{"echo"}
	}
	data, err := io.ReadAll(c.in)
	if err != nil {
		return 1
	}
	words := strings.Fields(string(data))
	if n <= 0 {
		n = max(len(words), 1)
	}
	status := 0
	for first := true; first || len(words) > 0; first = false {
		m := min(n, len(words))
		if st := c.run(slices.Concat(args, words[:m])); st != 0 {
			status = 123
			if st == 127 {
				return 127
			}
		}
		words = words[m:]
	}
	return status
}

// run runs another program with this one's descriptors and waits for it.
func (c *call) run(args []string) int {
	child := c.Fork()
	child.Args = args
	path := args[0]
	if !strings.Contains(path, "/") {
		for dir := range strings.SplitSeq(c.Env["PATH"]+":/sbin:/usr/sbin:/bin:/usr/bin", ":") {
			if n, err := c.K.FS.Stat(c.Process, dir+"/"+path, true); err == nil && n.Mode&0o111 != 0 {
				path = dir + "/" + path
				break
			}
		}
	}
	program, err := ash.Program(child, path)
	if err != nil {
		child.Exit(127)
		c.fail("can't execute '%s': %v", args[0], err)
		return 127
	}
	c.K.Go(func() { child.Exit(program(child)) })
	select {
	case <-child.Done():
	case <-c.Dying():
		child.Signal(kernel.SIGTERM)
		<-child.Done()
	}
	status, _ := child.Status()
	return status
}
