package console

import (
	"slices"
	"strings"
)

// mask stands for a secret.
const mask = "***"

// shortestLine is the least length of a line of a secret with several lines
// that is a secret in its own right; a lone brace is not.
const shortestLine = 4

// secrets is an immutable set of strings to hide.
type secrets struct {
	all   []string // longest first
	first [256]bool
}

// with returns the set with one more secret. A secret with several lines is
// hidden line by line too, because a terminal turns its line ends into others.
func (s *secrets) with(secret string) *secrets {
	next := &secrets{}
	if s != nil {
		next.all = slices.Clone(s.all)
	}
	add := func(one string) {
		if one != "" && !slices.Contains(next.all, one) {
			next.all = append(next.all, one)
		}
	}
	add(secret)
	// A regexp that waits for it is shown in errors.
	add(QuoteMeta(secret))
	if lines := strings.FieldsFunc(secret, func(r rune) bool { return r == '\r' || r == '\n' }); len(lines) > 0 && lines[0] != secret {
		for _, line := range lines {
			if len(line) >= shortestLine {
				add(line)
			}
		}
	}
	slices.SortStableFunc(next.all, func(a, b string) int { return len(b) - len(a) })
	for _, one := range next.all {
		next.first[one[0]] = true
	}
	return next
}

func (s *secrets) empty() bool { return s == nil || len(s.all) == 0 }

// at tells what stands at the beginning of b: the length of the longest secret
// there, or 0; undecided is true when a longer one may follow.
func (s *secrets) at(b []byte) (n int, undecided bool) {
	for _, one := range s.all {
		if len(one) > len(b) {
			if one[:len(b)] == string(b) {
				return 0, true
			}
			continue
		}
		if one == string(b[:len(one)]) {
			return len(one), false
		}
	}
	return 0, false
}

// replace hides the secrets in a text that is complete. What may be the
// beginning of a secret, cut off at the end, is hidden too when it is more
// than a quarter of it.
func (s *secrets) replace(text string) string {
	if s.empty() {
		return text
	}
	r := redactor{secrets: s}
	out := r.write(nil, []byte(text))
	for len(r.held) > 0 {
		if s.telling(r.held) {
			return string(append(out, mask...))
		}
		// Too little to be worth hiding; but a shorter secret may begin
		// within it.
		out = r.release(out)
	}
	return string(out)
}

// telling reports whether held, the beginning of a secret, gives away more
// than a quarter of it.
func (s *secrets) telling(held []byte) bool {
	for _, one := range s.all {
		if len(one) > len(held) && one[:len(held)] == string(held) && 4*len(held) > len(one) {
			return true
		}
	}
	return false
}

// redactor hides secrets in a stream. Its output does not depend on how the
// stream is cut: bytes that may be the beginning of a secret are held until
// that is decided.
type redactor struct {
	secrets *secrets
	held    []byte
}

// write appends to dst what can be shown after p has come.
func (r *redactor) write(dst, p []byte) []byte {
	if r.secrets.empty() && len(r.held) == 0 {
		return append(dst, p...)
	}
	b := p
	if len(r.held) > 0 {
		b = append(r.held, p...)
		r.held = nil
	}
	if r.secrets.empty() {
		return append(dst, b...)
	}
	from := 0
	for i := 0; i < len(b); {
		if !r.secrets.first[b[i]] {
			i++
			continue
		}
		n, undecided := r.secrets.at(b[i:])
		if undecided {
			r.held = append([]byte(nil), b[i:]...)
			return append(dst, b[from:i]...)
		}
		if n == 0 {
			i++
			continue
		}
		dst = append(append(dst, b[from:i]...), mask...)
		i += n
		from = i
	}
	return append(dst, b[from:]...)
}

// release gives up waiting for the rest of what is held: where a shorter
// secret stands there it is hidden, otherwise one byte goes out and the rest is
// looked at again.
func (r *redactor) release(dst []byte) []byte {
	if len(r.held) == 0 {
		return dst
	}
	b := r.held
	r.held = nil
	for _, one := range r.secrets.all {
		if len(one) <= len(b) && one == string(b[:len(one)]) {
			return r.write(append(dst, mask...), b[len(one):])
		}
	}
	return r.write(append(dst, b[0]), b[1:])
}

// flush ends the stream.
func (r *redactor) flush(dst []byte) []byte {
	for len(r.held) > 0 {
		if r.secrets.telling(r.held) {
			r.held = nil
			return append(dst, mask...)
		}
		dst = r.release(dst)
	}
	return dst
}
