package console

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"

	expect "github.com/Netflix/go-expect"
)

// scanner looks for the shortest prefix of the unconsumed stream at which its
// condition holds.
type scanner interface {
	// restart makes from the beginning of the stream.
	restart(from int64)
	// scan looks at what it has not seen yet, up to stream offset upto, and
	// returns where the shortest matching prefix ends, or -1. With final
	// nothing follows upto.
	scan(w *window, upto int64, final bool) int64
	// locate finds the match within the visible part of a matching prefix, as
	// regexp.FindSubmatchIndex gives it; nil where it does not lie there.
	locate(visible []byte) []int
}

// textScanner looks for a fixed text.
type textScanner struct {
	text []byte
	from int64 // where a match may begin
}

func (s *textScanner) restart(from int64) { s.from = from }

func (s *textScanner) scan(w *window, upto int64, _ bool) int64 {
	s.from = max(s.from, w.start)
	if upto-s.from < int64(len(s.text)) {
		return -1
	}
	if i := bytes.Index(w.live()[s.from-w.start:upto-w.start], s.text); i >= 0 {
		return s.from + int64(i+len(s.text))
	}
	s.from = upto - int64(len(s.text)) + 1
	return -1
}

func (s *textScanner) locate(visible []byte) []int {
	return []int{len(visible) - len(s.text), len(visible)}
}

// regexpScanner looks for a regexp. A Regexp does not tell whether it was made
// by Compile or CompilePOSIX, which understand ^ and $ differently: where that
// makes a difference both readings run until they differ, and the Regexp itself
// decides.
type regexpScanner struct {
	re       *regexp.Regexp
	readings []*reading
}

// reading is one understanding of a regexp, and how far it has got.
type reading struct {
	auto *automaton
	at   *dstate
	pos  int64
}

// newRegexpScanner returns nil where the program of the regexp is of a kind
// that we cannot build.
func newRegexpScanner(re *regexp.Regexp) *regexpScanner {
	perl := newAutomaton(re.String(), syntax.Perl)
	posix := newAutomaton(re.String(), syntax.POSIX)
	s := &regexpScanner{re: re}
	if perl != nil {
		s.readings = append(s.readings, &reading{auto: perl})
	}
	if posix != nil && (perl == nil || posix.prog.String() != perl.prog.String()) {
		s.readings = append(s.readings, &reading{auto: posix})
	}
	if len(s.readings) == 0 {
		return nil
	}
	return s
}

func (s *regexpScanner) restart(from int64) {
	for _, r := range s.readings {
		r.at, r.pos = r.auto.start, from
	}
}

func (s *regexpScanner) scan(w *window, upto int64, final bool) int64 {
	end := s.readings[0].scan(w, upto, final)
	if len(s.readings) == 1 {
		return end
	}
	other := s.readings[1].scan(w, upto, final)
	if end == other {
		return end
	}
	first, early := 0, end
	if end < 0 || other >= 0 && other < end {
		first, early = 1, other
	}
	visible, _ := w.visible(early)
	if !s.re.Match(visible) {
		first = 1 - first
		early = max(end, other)
		if end < 0 || other < 0 {
			early = -1
		}
	}
	s.readings = s.readings[first : first+1]
	return early
}

func (s *regexpScanner) locate(visible []byte) []int { return s.re.FindSubmatchIndex(visible) }

// scan goes on through the stream rune by rune. A prefix never ends within a
// UTF-8 sequence; what is no UTF-8 is read byte by byte, as package regexp
// does.
func (s *reading) scan(w *window, upto int64, final bool) int64 {
	if s.at.matched {
		return s.pos
	}
	s.pos = max(s.pos, w.start)
	p := w.live()[s.pos-w.start : upto-w.start]
	at := s.at
	i := 0
	for i < len(p) {
		r, n, slot := rune(p[i]), 1, int(p[i])
		if r >= utf8.RuneSelf {
			if !final && !utf8.FullRune(p[i:]) {
				break
			}
			if r, n = utf8.DecodeRune(p[i:]); r == utf8.RuneError {
				slot = otherByte
			} else {
				slot = -1
			}
		}
		i += n
		if slot >= 0 && at.next[slot] != nil {
			at = at.next[slot]
		} else {
			at = s.auto.step(at, r, slot)
		}
		if at.matched {
			break
		}
	}
	s.at, s.pos = at, s.pos+int64(i)
	if at.matched {
		return s.pos
	}
	return -1
}

// allScanner looks for several conditions in any order.
type allScanner struct {
	parts []scanner
	ends  []int64 // where each was found; -1 while it was not
}

func (s *allScanner) restart(from int64) {
	s.ends = make([]int64, len(s.parts))
	for i, part := range s.parts {
		s.ends[i] = -1
		part.restart(from)
	}
}

func (s *allScanner) scan(w *window, upto int64, final bool) int64 {
	last := w.start
	for i, part := range s.parts {
		if s.ends[i] < 0 {
			s.ends[i] = part.scan(w, upto, final)
		}
		if s.ends[i] < 0 {
			last = -1
		} else if last >= 0 {
			last = max(last, s.ends[i])
		}
	}
	return last
}

func (s *allScanner) locate(visible []byte) []int { return []int{0, len(visible)} }

// customScanner asks a matcher that we know nothing about. fresh gives a
// matcher that has seen nothing.
type customScanner struct {
	fresh  func() expect.Matcher
	window *window
	seen   int64 // the prefix up to here does not match
	asked  bool
}

func (s *customScanner) restart(from int64) { s.seen, s.asked = from, false }

func (s *customScanner) scan(w *window, upto int64, _ bool) int64 {
	s.window = w
	s.seen = max(s.seen, w.start)
	for s.seen < upto || !s.asked {
		// In steps of half a window, so that what matches within one is seen
		// whole.
		end := min(upto, s.seen+int64(w.limit/2))
		s.asked = true
		if !s.matches(w, end) {
			s.seen = end
			continue
		}
		low, high := s.seen, end // the answer is in [low, high]
		for low < high {
			if mid := low + (high-low)/2; s.matches(w, mid) {
				high = mid
			} else {
				low = mid + 1
			}
		}
		return high
	}
	return -1
}

func (s *customScanner) matches(w *window, end int64) bool {
	return s.fresh().Match(w.buffer(end))
}

// ended asks about the port's end, after all output, as go-expect does.
func (s *customScanner) ended(err error) bool {
	m := s.fresh()
	return m.Match(s.window.buffer(s.window.end())) || m.Match(err)
}

func (s *customScanner) locate(visible []byte) []int { return []int{0, len(visible)} }
