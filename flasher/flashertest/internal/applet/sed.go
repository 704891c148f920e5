package applet

import (
	"bufio"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// sedCommand is one command of a sed script.
type sedCommand struct {
	from, to *sedAddress
	not      bool
	verb     byte
	re       *regexp.Regexp
	text     string // of s, a, i, c, and the two sets of y
	global   bool
	print    bool
	nth      int
	active   bool
}

type sedAddress struct {
	line int
	last bool
	re   *regexp.Regexp
}

// sed knows the commands s p d q = n y a i c with addresses.
func sed(c *call, args []string) int {
	o, rest, ok := c.parse(args, "nEr", "e", nil)
	if !ok {
		return 1
	}
	if !o.has('e') {
		if len(rest) == 0 {
			return usage(c)
		}
		o['e'], rest = rest[0], rest[1:]
	}
	script, why := parseSed(o['e'], o.has('E') || o.has('r'))
	if why != "" {
		return c.fail("%s", why)
	}
	var lines []string
	status := c.each(rest, "%s: %v", func(name string, r io.Reader) int {
		data, err := io.ReadAll(r)
		if err == kernel.EINTR {
			return 1
		}
		if err != nil {
			return c.fail("read error: %v", err)
		}
		if len(data) > 0 {
			lines = append(lines, strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n")...)
			if data[len(data)-1] == '\n' {
				lines[len(lines)-1] += "\n"
			}
		}
		return 0
	})
	w := bufio.NewWriter(c.out)
	defer w.Flush()
	for i, line := range lines {
		text, end := strings.CutSuffix(line, "\n")
		if !end && i < len(lines)-1 {
			end = true
		}
		quit, after, deleted := false, "", false
		put := func(s string) {
			w.WriteString(s)
			if end {
				w.WriteString("\n")
			}
		}
		for j := range script {
			cmd := &script[j]
			if cmd.selects(i+1, i == len(lines)-1, text) == cmd.not {
				continue
			}
			switch cmd.verb {
			case 's':
				var done bool
				if text, done = cmd.substitute(text); done && cmd.print {
					put(text)
				}
			case 'p':
				put(text)
			case 'd':
				deleted = true
			case 'q':
				quit = true
			case '=':
				w.WriteString(strconv.Itoa(i+1) + "\n")
			case 'a':
				after += cmd.text + "\n"
			case 'i':
				w.WriteString(cmd.text + "\n")
			case 'c':
				w.WriteString(cmd.text + "\n")
				deleted = true
			}
			if deleted || quit {
				break
			}
		}
		if !deleted && !o.has('n') {
			put(text)
		}
		w.WriteString(after)
		if quit {
			break
		}
	}
	return status
}

func (cmd *sedCommand) selects(line int, last bool, text string) bool {
	fits := func(a *sedAddress) bool {
		return a.line == line && a.line > 0 || a.last && last || a.re != nil && a.re.MatchString(text)
	}
	switch {
	case cmd.from == nil:
		return true
	case cmd.to == nil:
		return fits(cmd.from)
	case cmd.active:
		cmd.active = !fits(cmd.to) && (cmd.to.line == 0 || line < cmd.to.line)
		return true
	case fits(cmd.from):
		cmd.active = cmd.to.line == 0 || cmd.to.line > line
		return true
	}
	return false
}

func (cmd *sedCommand) substitute(text string) (string, bool) {
	var b strings.Builder
	at, n, done := 0, 0, false
	for _, m := range cmd.re.FindAllStringSubmatchIndex(text, -1) {
		if n++; n < cmd.nth {
			continue
		}
		b.WriteString(text[at:m[0]])
		for i := 0; i < len(cmd.text); i++ {
			switch ch := cmd.text[i]; {
			case ch == '&':
				b.WriteString(text[m[0]:m[1]])
			case ch == '\\' && i+1 < len(cmd.text):
				i++
				switch d := cmd.text[i]; {
				case d >= '0' && d <= '9':
					if g := 2 * int(d-'0'); g < len(m) && m[g] >= 0 {
						b.WriteString(text[m[g]:m[g+1]])
					}
				case d == 'n':
					b.WriteByte('\n')
				case d == 't':
					b.WriteByte('\t')
				default:
					b.WriteByte(d)
				}
			default:
				b.WriteByte(ch)
			}
		}
		at, done = m[1], true
		if !cmd.global {
			break
		}
	}
	return b.String() + text[at:], done
}

// parseSed reads a script; why says what is wrong with it.
func parseSed(s string, extended bool) (script []sedCommand, why string) {
	expr := func(re string) *regexp.Regexp {
		if !extended {
			re = basic(re)
		}
		r, err := regexp.Compile(re)
		if err != nil {
			why = "bad regex '" + re + "'"
		}
		return r
	}
	// until takes the text up to the delimiter, which a backslash protects.
	until := func(d byte) string {
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '\\' && i+1 < len(s):
				if i++; s[i] != d {
					b.WriteByte('\\')
				}
				b.WriteByte(s[i])
			case s[i] == d:
				s = s[i+1:]
				return b.String()
			default:
				b.WriteByte(s[i])
			}
		}
		why = "unmatched '" + string(d) + "'"
		s = ""
		return b.String()
	}
	address := func() *sedAddress {
		i := 0
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		switch {
		case i > 0:
			n, _ := strconv.Atoi(s[:i])
			s = s[i:]
			return &sedAddress{line: n}
		case strings.HasPrefix(s, "$"):
			s = s[1:]
			return &sedAddress{last: true}
		case strings.HasPrefix(s, "/"):
			s = s[1:]
			return &sedAddress{re: expr(until('/'))}
		}
		return nil
	}
	for why == "" {
		if s = strings.TrimLeft(s, " \t\n;"); s == "" {
			return script, why
		}
		cmd := sedCommand{nth: 1}
		if cmd.from = address(); cmd.from != nil && strings.HasPrefix(s, ",") {
			s = s[1:]
			if cmd.to = address(); cmd.to == nil {
				return nil, "no address after comma"
			}
		}
		s = strings.TrimLeft(s, " ")
		if strings.HasPrefix(s, "!") {
			cmd.not = true
			s = s[1:]
		}
		if s == "" {
			return nil, "missing command"
		}
		cmd.verb, s = s[0], s[1:]
		switch cmd.verb {
		case 'p', 'd', 'q', '=':
		case 'a', 'i', 'c':
			text, rest, _ := strings.Cut(strings.TrimLeft(strings.TrimPrefix(strings.TrimLeft(s, " "), "\\"), "\n "), "\n")
			cmd.text, s = text, rest
		case 's':
			if s == "" {
				return nil, "bad format in substitution expression"
			}
			d := s[0]
			s = s[1:]
			cmd.re = expr(until(d))
			cmd.text = until(d)
			for s != "" && strings.IndexByte("gpiI0123456789", s[0]) >= 0 {
				switch ch := s[0]; ch {
				case 'g':
					cmd.global = true
				case 'p':
					cmd.print = true
				case 'i', 'I':
					if cmd.re != nil {
						cmd.re = regexp.MustCompile("(?i)" + cmd.re.String())
					}
				default:
					cmd.nth = int(ch - '0')
				}
				s = s[1:]
			}
		default:
			return nil, "unsupported command " + string(cmd.verb)
		}
		script = append(script, cmd)
	}
	return nil, why
}
