package bootloader

import (
	"fmt"
	"slices"
	"strings"
)

// piece is a simple command of a list and what joins it to the one before.
type piece struct {
	join string // ";", "&&" or "||"
	text string
}

// split cuts a line into simple commands, with regard to quotes. As in U-Boot's
// hush, a single quote counts inside double quotes too, and inside single quotes
// nothing does.
func split(line string) (pieces []piece, ok bool) {
	begin, join := 0, ";"
	cut := func(end int, next string) {
		pieces = append(pieces, piece{join, line[begin:end]})
		begin, join = end+len(next), next
	}
	single, double := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'':
			single = !single
		case single:
		case c == '\\':
			i++
		case c == '"':
			double = !double
		case double:
		case c == ';':
			cut(i, ";")
		case strings.HasPrefix(line[i:], "&&"), strings.HasPrefix(line[i:], "||"):
			cut(i, line[i:i+2])
			i++
		}
	}
	pieces = append(pieces, piece{join, line[begin:]})
	return pieces, !single && !double
}

// words makes the words of a simple command: quotes go, variables are put in, and
// those outside quotes are split at blanks. Backslashes go last of all, and so
// also where they came out of quotes or of a variable.
func (m *machine) words(text string) []string {
	var words []string
	var word strings.Builder
	begun, single, double := false, false, false
	end := func() {
		if begun {
			words = append(words, unescape(word.String()))
			word.Reset()
			begun = false
		}
	}
	put := func(s string) {
		word.WriteString(s)
		begun = true
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'':
			single, begun = !single, true
		case single:
			put(string(c))
		case c == '\\' && i+1 < len(text):
			i++
			if double { // it stays, and takes the meaning from what is behind it
				put(`\\`)
				if text[i] != '\\' {
					put(text[i : i+1])
					break
				}
			}
			put(text[i-1 : i+1])
		case c == '$':
			value, n := m.variable(text[i:])
			i += n - 1
			if double {
				put(value)
				break
			}
			for j, field := range strings.Fields(value) {
				if j > 0 {
					end()
				}
				put(field)
			}
		case c == '"':
			double, begun = !double, true
		case !double && (c == ' ' || c == '\t'):
			end()
		default:
			put(string(c))
		}
	}
	end()
	return words
}

// unescape takes backslashes off.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// variable reads $name, ${name} or $? at the beginning of text, and returns the
// value and how long the reference is.
func (m *machine) variable(text string) (value string, n int) {
	rest := text[1:]
	switch {
	case strings.HasPrefix(rest, "?"):
		return fmt.Sprint(m.stat), 2
	case strings.HasPrefix(rest, "{"):
		name, _, ok := strings.Cut(rest[1:], "}")
		if !ok {
			return text, len(text)
		}
		return m.env[name], len(name) + 3
	}
	name := rest
	if i := strings.IndexFunc(rest, func(r rune) bool { return r != '_' && !alphanumeric(r) }); i >= 0 {
		name = rest[:i]
	}
	if name == "" {
		return "$", 1
	}
	return m.env[name], len(name) + 1
}

func alphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// execute runs a typed line, or the last one again for an empty one, unless it had a
// command that may not be repeated.
func (m *machine) execute(line string) {
	m.interrupted, m.once = false, false
	if strings.TrimSpace(line) == "" {
		line = m.last
	}
	m.list(line)
	if m.last = line; m.once {
		m.last = ""
	}
}

// open says that a line has an if or a quotation that does not end, so that hush asks
// for more.
func open(line string) bool {
	pieces, ok := split(line)
	depth := 0
	for _, p := range pieces {
		for _, word := range strings.Fields(p.text) {
			if word == "if" {
				depth++
			} else if word == "fi" {
				depth--
			} else if word != "then" && word != "else" {
				break
			}
		}
	}
	return !ok || depth > 0
}

// list runs commands joined by ";", "&&" and "||", and those of an if.
func (m *machine) list(line string) {
	pieces, ok := split(line)
	if !ok {
		m.print("syntax error\n")
		m.stat = 1
		return
	}
	var ifs []bool // whether the part that was reached of each if is run
	for _, p := range pieces {
		if m.end != nil || m.interrupted || m.ctx.Err() != nil {
			return
		}
		if p.join == "&&" && m.stat != 0 || p.join == "||" && m.stat == 0 {
			continue
		}
		text := strings.TrimSpace(p.text)
		if ifs, text, ok = m.reserved(ifs, text); !ok {
			m.print("syntax error\n")
			m.stat = 1
			return
		}
		if words := m.words(text); len(words) > 0 && !slices.Contains(ifs, false) {
			m.stat = m.command(words)
		}
	}
}

// reserved takes the reserved words at the beginning of a command. ok is false for
// one that has no if.
func (m *machine) reserved(ifs []bool, text string) (now []bool, rest string, ok bool) {
	for {
		word, rest, _ := strings.Cut(text, " ")
		top := len(ifs) - 1
		switch {
		case word == "if":
			ifs = append(ifs, true)
		case word != "then" && word != "else" && word != "fi":
			return ifs, text, true
		case top < 0:
			return ifs, text, false
		case word == "then":
			ifs[top] = m.stat == 0
		case word == "else":
			ifs[top] = !ifs[top]
		default:
			ifs = ifs[:top]
		}
		text = strings.TrimSpace(rest)
	}
}
