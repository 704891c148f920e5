package ash

import (
	"slices"
	"strings"
)

// match reports whether all of str fits the pattern.
func (f field) match(str string) bool {
	p, q := f.text, f.quoted
	for len(p) > 0 {
		c := p[0]
		switch {
		case q[0] || strings.IndexByte("*?[", c) < 0:
			if str == "" || str[0] != c {
				return false
			}
		case c == '*':
			for len(p) > 0 && p[0] == '*' && !q[0] {
				p, q = p[1:], q[1:]
			}
			if len(p) == 0 {
				return true
			}
			rest := field{p, q}
			for i := 0; i <= len(str); i++ {
				if rest.match(str[i:]) {
					return true
				}
			}
			return false
		case c == '?':
			if str == "" {
				return false
			}
		default:
			n, fits, ok := bracket(p, q, str)
			if !ok { // no closing bracket: it is a character
				if str == "" || str[0] != '[' {
					return false
				}
				break
			}
			if !fits {
				return false
			}
			p, q, str = p[n:], q[n:], str[1:]
			continue
		}
		p, q, str = p[1:], q[1:], str[1:]
	}
	return str == ""
}

// bracket matches one [...] against the start of str; n is its length.
func bracket(p []byte, q []bool, str string) (n int, fits, ok bool) {
	i := 1
	not := i < len(p) && (p[i] == '!' || p[i] == '^') && !q[i]
	if not {
		i++
	}
	for first := i; i < len(p); i++ {
		if p[i] == ']' && !q[i] && i > first {
			return i + 1, str != "" && fits != not, true
		}
		if p[i] == '[' && !q[i] && i+1 < len(p) && p[i+1] == ':' {
			if end := strings.Index(string(p[i:]), ":]"); end > 0 {
				if str != "" && Class(string(p[i+2:i+end]), str[0]) {
					fits = true
				}
				i += end + 1
				continue
			}
		}
		lo, hi := p[i], p[i]
		if i+2 < len(p) && p[i+1] == '-' && !q[i+1] && p[i+2] != ']' {
			hi = p[i+2]
			i += 2
		}
		if str != "" && str[0] >= lo && str[0] <= hi {
			fits = true
		}
	}
	return 0, false, false
}

// Class says whether a byte is in one of the character classes of POSIX, in the
// C locale; none is in a class of another name.
func Class(name string, b byte) bool {
	upper, lower, digit := b >= 'A' && b <= 'Z', b >= 'a' && b <= 'z', b >= '0' && b <= '9'
	graph := b > ' ' && b < 0x7f
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
	case "xdigit":
		return digit || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
	case "space":
		return b == ' ' || b >= 9 && b <= 13
	case "blank":
		return b == ' ' || b == '\t'
	case "punct":
		return graph && !upper && !lower && !digit
	case "graph":
		return graph
	case "print":
		return graph || b == ' '
	case "cntrl":
		return b < ' ' || b == 0x7f
	}
	return false
}

func (f field) pattern() bool {
	for i, c := range f.text {
		if !f.quoted[i] && strings.IndexByte("*?[", c) >= 0 {
			return true
		}
	}
	return false
}

// glob returns the files that a field fits, nil where it is no pattern or fits
// none.
func (s *Shell) glob(f field) []string {
	if s.noGlob || !f.pattern() {
		return nil
	}
	found := []string{""}
	text, quoted := f.text, f.quoted
	for len(text) > 0 {
		n := slices.Index(text, '/')
		if n == 0 {
			for i := range found {
				found[i] += "/"
			}
			text, quoted = text[1:], quoted[1:]
			continue
		}
		if n < 0 {
			n = len(text)
		}
		part := field{text[:n], quoted[:n]}
		text, quoted = text[n:], quoted[n:]
		var next []string
		for _, base := range found {
			if !part.pattern() {
				path := base + string(part.text)
				if _, err := s.p.K.FS.Stat(s.p, path, len(text) > 0); err == nil {
					next = append(next, path)
				}
				continue
			}
			dir := base
			if dir == "" {
				dir = "."
			}
			in, err := s.p.K.FS.Stat(s.p, dir, true)
			if err != nil || !in.Mode().IsDir() {
				continue
			}
			for _, name := range in.List(s.p) {
				if strings.HasPrefix(name, ".") && part.text[0] != '.' || !part.match(name) {
					continue
				}
				if len(text) > 0 {
					if d, err := s.p.K.FS.Stat(s.p, base+name, true); err != nil || !d.Mode().IsDir() {
						continue
					}
				}
				next = append(next, base+name)
			}
		}
		found = next
	}
	if len(found) == 0 {
		return nil
	}
	return found
}
