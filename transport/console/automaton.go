package console

import (
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// automaton finds the shortest prefix of a stream that a regexp matches, in
// linear time and without going back: package regexp can only say whether a
// text that is complete matches, so that with it every new byte would mean
// another look at the whole window. It runs all alternatives of the compiled
// program at once and remembers the sets of them that it has met (a lazily
// built deterministic automaton with a bounded cache).
type automaton struct {
	prog   *syntax.Prog
	states map[string]*dstate
	start  *dstate
	none   *transitions // shared by states without a table; never written to
	onEmit []bool       // scratch: which instructions a closure has visited
	stack  []uint32
	key    []byte
}

// maxStates bounds the cache; beyond it the cache starts anew.
const maxStates = 512

// otherByte is the slot of utf8.RuneError, which is what binary noise is read
// as; it follows the slots of ASCII.
const otherByte = utf8.RuneSelf

// dstate is what is known about a match after a prefix of the stream.
type dstate struct {
	insts   []uint32 // instructions to go on with, before empty-width assertions
	prev    rune     // stands for the class of the last rune; -1 at the beginning
	matched bool     // the prefix matches
	seen    bool     // somebody has gone on from here before
	next    *transitions
}

// transitions tells where each rune of the table leads; nil where that is not
// known yet.
type transitions [utf8.RuneSelf + 1]*dstate

// newAutomaton compiles expr with the given flags; nil where it cannot.
func newAutomaton(expr string, flags syntax.Flags) *automaton {
	re, err := syntax.Parse(expr, flags)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil
	}
	a := &automaton{prog: prog, none: new(transitions), onEmit: make([]bool, len(prog.Inst))}
	a.reset()
	return a
}

// reset empties the cache. The transitions of its states go too, so that the
// one state that somebody still holds does not keep all others alive.
func (a *automaton) reset() {
	for _, s := range a.states {
		s.next = a.none
	}
	a.states = make(map[string]*dstate)
	a.start = a.state([]uint32{uint32(a.prog.Start)}, -1, false)
}

// class maps a rune to one that stands for all with the same effect on the
// assertion that follows: a newline, a word character, or neither.
func class(r rune) rune {
	switch {
	case r == '\n':
		return '\n'
	case syntax.IsWordChar(r):
		return 'a'
	}
	return ' '
}

// state returns the state for a set of instructions. matched says that the
// prefix is known to match already.
func (a *automaton) state(insts []uint32, prev rune, matched bool) *dstate {
	slices.Sort(insts)
	insts = slices.Compact(insts)
	a.key = append(a.key[:0], byte(prev), 0)
	if matched {
		a.key[1] = 1
	}
	for _, pc := range insts {
		a.key = append(a.key, byte(pc), byte(pc>>8), byte(pc>>16), byte(pc>>24))
	}
	if s := a.states[string(a.key)]; s != nil {
		return s
	}
	s := &dstate{insts: slices.Clone(insts), prev: prev, matched: matched, next: a.none}
	if !matched {
		// The prefix may be all there is: assertions see the end of the text.
		_, s.matched = a.closure(s, -1)
	}
	if len(a.states) >= maxStates {
		key := string(a.key)
		a.reset()
		a.states[key] = s
		return s
	}
	a.states[string(a.key)] = s
	return s
}

// closure follows what consumes nothing, between s.prev and r (-1 for the end
// of the text). It returns the instructions that consume a rune, and whether
// the end of the regexp is reached.
func (a *automaton) closure(s *dstate, r rune) (consuming []uint32, match bool) {
	clear(a.onEmit)
	flags := syntax.EmptyOpContext(s.prev, r)
	a.stack = append(a.stack[:0], s.insts...)
	for len(a.stack) > 0 {
		pc := a.stack[len(a.stack)-1]
		a.stack = a.stack[:len(a.stack)-1]
		if a.onEmit[pc] {
			continue
		}
		a.onEmit[pc] = true
		switch in := &a.prog.Inst[pc]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			a.stack = append(a.stack, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			a.stack = append(a.stack, in.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^flags == 0 {
				a.stack = append(a.stack, in.Out)
			}
		case syntax.InstMatch:
			match = true
		case syntax.InstFail:
		default:
			consuming = append(consuming, pc)
		}
	}
	return consuming, match
}

// step goes on from s with one rune; slot is where in the table the answer is
// remembered, or -1.
func (a *automaton) step(s *dstate, r rune, slot int) *dstate {
	consuming, match := a.closure(s, r)
	// A match may begin anywhere.
	insts := []uint32{uint32(a.prog.Start)}
	for _, pc := range consuming {
		if in := &a.prog.Inst[pc]; in.MatchRune(r) {
			insts = append(insts, in.Out)
		}
	}
	next := a.state(insts, class(r), match)
	// A table is only worth its memory for a state that is met again.
	if slot >= 0 && s.seen {
		if s.next == a.none {
			s.next = new(transitions)
		}
		s.next[slot] = next
	}
	s.seen = true
	return next
}
