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
	o, rest, ok := c.parse(args, "EFGqvincowxlhH", "em", nil)
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
