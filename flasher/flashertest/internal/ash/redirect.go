package ash

import (
	"errors"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// redirect applies redirections to the shell itself. undo takes them back.
func (s *Shell) redirect(redirs []*syntax.Redirect) (undo func(), ok bool) {
	type saved struct {
		fd int
		f  *kernel.File
	}
	var old []saved
	undo = func() {
		for i := len(old) - 1; i >= 0; i-- {
			s.p.FDs.Set(old[i].fd, old[i].f)
		}
	}
	for _, r := range redirs {
		fd := redirected(r)
		f := s.p.FDs.Get(fd)
		if f != nil {
			f.Retain()
		}
		old = append(old, saved{fd, f})
		if !s.apply(r, s.p) {
			return undo, false
		}
	}
	return undo, true
}

// redirected is the descriptor that a redirection is about.
func redirected(r *syntax.Redirect) int {
	if r.N != nil {
		if n, err := strconv.Atoi(r.N.Value); err == nil {
			return n
		}
	}
	switch r.Op {
	case syntax.RdrOut, syntax.AppOut, syntax.DplOut, syntax.ClbOut:
		return 1
	}
	return 0
}

// apply does one redirection in p, which is the shell or a child of it.
func (s *Shell) apply(r *syntax.Redirect, p *kernel.Process) bool {
	fd := redirected(r)
	var flags int
	switch r.Op {
	case syntax.RdrOut, syntax.ClbOut:
		flags = kernel.WriteOnly | kernel.Create | kernel.Truncate
	case syntax.AppOut:
		flags = kernel.WriteOnly | kernel.Create | kernel.Append
	case syntax.RdrIn:
		flags = kernel.ReadOnly
	case syntax.RdrInOut:
		flags = kernel.ReadWrite | kernel.Create
	case syntax.DplIn, syntax.DplOut:
		return s.duplicate(r, fd, p)
	case syntax.Hdoc, syntax.DashHdoc:
		return s.hereDocument(r, fd, p)
	default:
		s.fail(2, "syntax error: unexpected redirection")
		return false
	}
	name, ok := s.literal(r.Word)
	if !ok {
		return false
	}
	f, err := p.K.FS.Open(p, name, flags, 0o666)
	if err != nil {
		verb, why := "open", err.Error()
		if flags&kernel.Create != 0 {
			verb = "create"
		}
		switch {
		case errors.Is(err, kernel.ENOENT) && verb == "create":
			why = "nonexistent directory"
		case errors.Is(err, kernel.ENOENT):
			why = "no such file"
		}
		s.errorf("can't %s %s: %s", verb, name, why)
		return false
	}
	p.FDs.Set(fd, f)
	return true
}

func (s *Shell) duplicate(r *syntax.Redirect, fd int, p *kernel.Process) bool {
	word, ok := s.literal(r.Word)
	if !ok {
		return false
	}
	if word == "-" {
		p.FDs.Set(fd, nil)
		return true
	}
	n, err := strconv.Atoi(word)
	if err != nil {
		s.fail(2, "syntax error: bad fd number")
		return false
	}
	f := p.FDs.Get(n)
	if f == nil {
		s.errorf("%d: %v", n, kernel.EBADF)
		return false
	}
	if n != fd {
		p.FDs.Set(fd, f.Retain())
	}
	return true
}

func (s *Shell) hereDocument(r *syntax.Redirect, fd int, p *kernel.Process) bool {
	var text string
	if r.Hdoc != nil {
		body := r.Hdoc
		if r.Op == syntax.DashHdoc {
			body = withoutTabs(body)
		}
		var err error
		if quotedWord(r.Word) {
			for _, part := range body.Parts {
				if lit, ok := part.(*syntax.Lit); ok {
					text += lit.Value
				}
			}
		} else {
			text, err = s.document(body)
		}
		if !s.expanded(err) {
			return false
		}
	}
	rd, w := kernel.Pipe()
	p.FDs.Set(fd, rd)
	// A child like busybox's writes what the pipe does not hold.
	writer := p.Fork()
	for _, open := range writer.FDs.List() {
		writer.FDs.Set(open, nil)
	}
	writer.FDs.Set(1, w)
	p.K.Go(func() {
		writer.Stream(1).Write([]byte(text))
		writer.Exit(0)
	})
	return true
}

// quotedWord reports whether any of a word is quoted.
func quotedWord(w *syntax.Word) bool {
	for _, part := range w.Parts {
		if lit, ok := part.(*syntax.Lit); !ok || strings.Contains(lit.Value, `\`) {
			return true
		}
	}
	return false
}

// withoutTabs takes the leading tabs off each line.
func withoutTabs(w *syntax.Word) *syntax.Word {
	out := &syntax.Word{}
	start := true
	for _, part := range w.Parts {
		lit, ok := part.(*syntax.Lit)
		if !ok {
			out.Parts = append(out.Parts, part)
			start = false
			continue
		}
		lines := strings.SplitAfter(lit.Value, "\n")
		for i, line := range lines {
			if i > 0 || start {
				lines[i] = strings.TrimLeft(line, "\t")
			}
		}
		out.Parts = append(out.Parts, &syntax.Lit{Value: strings.Join(lines, "")})
		start = strings.HasSuffix(lit.Value, "\n")
	}
	return out
}
