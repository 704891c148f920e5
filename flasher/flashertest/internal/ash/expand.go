package ash

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// field is a word after expansion. A quoted byte is no pattern character.
type field struct {
	text   []byte
	quoted []bool
}

func (f *field) add(s string, quoted bool) {
	f.text = append(f.text, s...)
	for range len(s) {
		f.quoted = append(f.quoted, quoted)
	}
}

// expansion collects the fields that words expand to.
type expansion struct {
	s      *Shell
	split  bool // else everything is one field
	fields []field
	cur    *field // nil between fields
	blank  bool   // white space has ended the last field
	err    error
}

// errExpand says that the complaint was printed already, or that the shell is
// about to end.
var errExpand = errors.New("expansion failed")

func (e *expansion) field() *field {
	if e.cur == nil {
		e.cur = &field{}
	}
	e.blank = false
	return e.cur
}

func (e *expansion) flush() {
	if e.cur != nil {
		e.fields = append(e.fields, *e.cur)
		e.cur = nil
	}
}

// value adds the result of an unquoted expansion, cut at the characters of IFS.
func (e *expansion) value(v string) {
	ifs := " \t\n"
	if set := e.s.vars["IFS"]; set.set {
		ifs = set.value
	}
	if !e.split || ifs == "" {
		if v != "" {
			e.field().add(v, false)
		}
		return
	}
	for i := range len(v) {
		c := v[i]
		switch {
		case strings.IndexByte(ifs, c) < 0:
			e.field().add(v[i:i+1], false)
		case c == ' ' || c == '\t' || c == '\n':
			if e.cur != nil {
				e.flush()
				e.blank = true
			}
		case e.cur == nil && e.blank:
			e.blank = false
		default:
			e.field()
			e.flush()
		}
	}
}

func (e *expansion) put(v string, quoted bool) {
	if quoted {
		e.field().add(v, true)
	} else {
		e.value(v)
	}
}

func (e *expansion) word(w *syntax.Word) {
	if w == nil {
		return
	}
	for i, p := range w.Parts {
		if lit, ok := p.(*syntax.Lit); ok && i == 0 {
			if home, rest, ok := e.tilde(lit.Value); ok {
				e.field().add(home, true)
				e.literal(rest, false)
				continue
			}
		}
		e.part(p, false, false)
	}
}

// tilde expands ~ at the start of a word.
func (e *expansion) tilde(v string) (home, rest string, ok bool) {
	if v != "~" && !strings.HasPrefix(v, "~/") || !e.s.vars["HOME"].set {
		return "", "", false
	}
	return e.s.get("HOME"), v[1:], true
}

// literal adds text of the script itself. With loose set it is the word of
// ${x:-word}, which is split as a value is.
func (e *expansion) literal(v string, loose bool) {
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == '\\' && i+1 < len(v):
			if i++; v[i] != '\n' {
				e.field().add(v[i:i+1], true)
			}
		case loose:
			e.value(v[i : i+1])
		default:
			e.field().add(v[i:i+1], false)
		}
	}
}

// quotedLiteral adds text between double quotes, or of a here-document, where
// a backslash protects only what is in special.
func (e *expansion) quotedLiteral(v, special string) {
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' && i+1 < len(v) && strings.IndexByte(special, v[i+1]) >= 0 {
			if i++; v[i] != '\n' {
				b.WriteByte(v[i])
			}
			continue
		}
		b.WriteByte(v[i])
	}
	e.field().add(b.String(), true)
}

const (
	inQuotes   = "$`\"\\\n"
	inDocument = "$`\\\n"
)

// part expands one part of a word.
func (e *expansion) part(p syntax.WordPart, quoted, loose bool) {
	if e.err != nil {
		return
	}
	switch p := p.(type) {
	case *syntax.Lit:
		if quoted {
			e.quotedLiteral(p.Value, inQuotes)
		} else {
			e.literal(p.Value, loose)
		}
	case *syntax.SglQuoted:
		e.field().add(p.Value, true)
	case *syntax.DblQuoted:
		// "$@" without parameters is no field at all.
		if only, ok := onlyParams(p); !ok || len(e.s.params) > 0 {
			e.field()
		} else if !only {
			e.field()
		}
		for _, q := range p.Parts {
			e.part(q, true, false)
		}
	case *syntax.ParamExp:
		e.parameter(p, quoted)
	case *syntax.CmdSubst:
		out := e.s.substitute(p)
		if e.s.stopped() {
			e.err = errExpand
			return
		}
		e.put(out, quoted)
	case *syntax.ArithmExp:
		n, err := e.s.arithmetic(p.X)
		if err != nil {
			e.err = err
			return
		}
		e.put(fmt.Sprint(n), quoted)
	default:
		e.err = errors.New("syntax error: bad substitution")
	}
}

// onlyParams reports whether a quotation has $@ in it, and nothing else.
func onlyParams(q *syntax.DblQuoted) (only, ok bool) {
	for _, p := range q.Parts {
		if pe, is := p.(*syntax.ParamExp); is && pe.Param.Value == "@" && pe.Exp == nil && !pe.Length {
			ok = true
		}
	}
	return ok && len(q.Parts) == 1, ok
}

// one expands a word to one field, which may be a pattern.
func (s *Shell) one(w *syntax.Word) (field, error) {
	e := expansion{s: s}
	e.word(w)
	return *e.field(), e.err
}

// text expands a word to a string.
func (s *Shell) text(w *syntax.Word) (string, error) {
	f, err := s.one(w)
	return string(f.text), err
}

// literal is text that complains.
func (s *Shell) literal(w *syntax.Word) (string, bool) {
	v, err := s.text(w)
	return v, s.expanded(err)
}

// document expands the body of a here-document.
func (s *Shell) document(w *syntax.Word) (string, error) {
	e := expansion{s: s}
	for _, p := range w.Parts {
		if lit, ok := p.(*syntax.Lit); ok {
			e.quotedLiteral(lit.Value, inDocument)
			continue
		}
		e.part(p, true, false)
	}
	return string(e.field().text), e.err
}

// words expands the words of a command.
func (s *Shell) words(list []*syntax.Word) ([]string, bool) {
	e := expansion{s: s, split: true}
	for _, w := range list {
		e.word(w)
		e.flush()
		e.blank = false
	}
	if !s.expanded(e.err) {
		return nil, false
	}
	var out []string
	for _, f := range e.fields {
		if matches := s.glob(f); matches != nil {
			out = append(out, matches...)
		} else {
			out = append(out, string(f.text))
		}
	}
	return out, true
}

// expanded complains about a word that cannot be expanded.
func (s *Shell) expanded(err error) bool {
	switch {
	case err == nil:
		return !s.stopped()
	case s.stopped(), err == errExpand:
	default:
		s.fail(2, "%v", err)
	}
	return false
}

// substitute runs $(...) in a subshell and returns what it prints.
func (s *Shell) substitute(cs *syntax.CmdSubst) string {
	r, w := kernel.Pipe()
	defer r.Release()
	child := s.p.Fork()
	child.FDs.Set(1, w)
	c := s.subshell(child)
	s.p.K.Go(func() {
		if len(cs.Stmts) == 1 && !cs.Stmts[0].Background {
			child.Exit(c.only(cs.Stmts[0]))
			return
		}
		c.stmts(cs.Stmts)
		child.Exit(c.finish())
	})
	var out strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(s.p, buf)
		out.Write(buf[:n])
		if err != nil { // the end, or the shell is interrupted
			if err != io.EOF && s.interrupted() {
				s.flow = aborting
			}
			break
		}
	}
	s.subst = s.await(child)
	s.status = s.subst
	return strings.TrimRight(strings.ReplaceAll(out.String(), "\x00", ""), "\n")
}
