package ash

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

func (s *Shell) stmts(list []*syntax.Stmt) {
	for _, st := range list {
		if s.stopped() {
			return
		}
		s.stmt(st)
	}
}

func (s *Shell) stmt(st *syntax.Stmt) {
	s.p.Check()
	if s.interrupted() {
		s.flow = aborting
	}
	s.runTraps()
	if s.stopped() || s.noExec {
		return
	}
	s.line = s.base + int(st.Pos().Line())
	if st.Background {
		s.background(st)
		return
	}
	if st.Negated {
		s.tested++
	}
	if _, simple := st.Cmd.(*syntax.CallExpr); simple || st.Cmd == nil {
		s.simple(st)
	} else {
		s.compound(st)
	}
	s.runTraps()
	if st.Negated {
		s.tested--
		if s.status == 0 {
			s.status = 1
		} else {
			s.status = 0
		}
		return
	}
	if b, ok := st.Cmd.(*syntax.BinaryCmd); ok && b.Op != syntax.Pipe {
		return // its last command has been looked at
	}
	if s.errExit && s.status != 0 && s.tested == 0 && s.flow == onward {
		s.flow = exiting
	}
}

// compound runs everything but simple commands, with its redirections.
func (s *Shell) compound(st *syntax.Stmt) {
	if len(st.Redirs) > 0 {
		undo, ok := s.redirect(st.Redirs)
		defer undo()
		if !ok {
			if s.flow == onward {
				s.status = 1
			}
			return
		}
	}
	switch c := st.Cmd.(type) {
	case *syntax.Block:
		s.stmts(c.Stmts)
	case *syntax.Subshell:
		s.status = s.fork(func(c2 *Shell) { c2.stmts(c.Stmts) }, st)
	case *syntax.BinaryCmd:
		s.binary(c, st)
	case *syntax.IfClause:
		s.ifClause(c)
	case *syntax.WhileClause:
		s.whileClause(c)
	case *syntax.ForClause:
		s.forClause(c)
	case *syntax.CaseClause:
		s.caseClause(c)
	case *syntax.FuncDecl:
		s.funcs[c.Name.Value] = c.Body
		s.status = 0
	default:
		s.fail(2, "syntax error: this kind of command is not known to the simulated shell")
	}
}

func (s *Shell) binary(c *syntax.BinaryCmd, st *syntax.Stmt) {
	switch c.Op {
	case syntax.AndStmt, syntax.OrStmt:
		s.tested++
		s.stmt(c.X)
		s.tested--
		if !s.stopped() && (s.status == 0) == (c.Op == syntax.AndStmt) {
			s.stmt(c.Y)
		}
	case syntax.Pipe:
		s.pipeline(flatten(st))
	default:
		s.fail(2, "syntax error: unexpected \"%s\"", c.Op)
	}
}

// flatten returns the commands of a pipeline.
func flatten(st *syntax.Stmt) []*syntax.Stmt {
	b, ok := st.Cmd.(*syntax.BinaryCmd)
	if !ok || b.Op != syntax.Pipe {
		return []*syntax.Stmt{st}
	}
	out := []*syntax.Stmt{}
	for _, side := range []*syntax.Stmt{b.X, b.Y} {
		if side.Negated || len(side.Redirs) > 0 {
			out = append(out, side)
		} else {
			out = append(out, flatten(side)...)
		}
	}
	return out
}

// condition runs commands whose failure is an answer.
func (s *Shell) condition(list []*syntax.Stmt) bool {
	s.tested++
	s.stmts(list)
	s.tested--
	return s.status == 0
}

func (s *Shell) ifClause(c *syntax.IfClause) {
	for ; c != nil; c = c.Else {
		if len(c.Cond) == 0 { // else
			s.stmts(c.Then)
			return
		}
		yes := s.condition(c.Cond)
		if s.stopped() {
			return
		}
		if yes {
			s.stmts(c.Then)
			return
		}
	}
	s.status = 0
}

// looped deals with break and continue; it reports whether the loop ends.
func (s *Shell) looped() bool {
	switch {
	case s.dead():
		return true
	case s.flow == breaking || s.flow == continuing:
		if s.levels--; s.levels > 0 {
			return true
		}
		was := s.flow
		s.flow = onward
		return was == breaking
	}
	return s.flow != onward
}

func (s *Shell) whileClause(c *syntax.WhileClause) {
	s.loops++
	defer func() { s.loops-- }()
	status := 0
	for {
		if s.p.Check(); s.dead() {
			return
		}
		go_ := s.condition(c.Cond) != c.Until
		if s.flow != onward {
			if s.looped() {
				return
			}
			continue
		}
		if !go_ || s.dead() {
			s.status = status
			return
		}
		s.stmts(c.Do)
		status = s.status
		if s.looped() {
			return
		}
	}
}

func (s *Shell) forClause(c *syntax.ForClause) {
	it, ok := c.Loop.(*syntax.WordIter)
	if !ok {
		s.fail(2, "syntax error: bad for loop variable")
		return
	}
	items := s.params
	if it.InPos.IsValid() {
		if items, ok = s.words(it.Items); !ok {
			return
		}
	}
	s.loops++
	defer func() { s.loops-- }()
	s.status = 0
	for _, item := range items {
		if !s.set(it.Name.Value, item) {
			return
		}
		s.stmts(c.Do)
		if s.looped() {
			return
		}
	}
}

func (s *Shell) caseClause(c *syntax.CaseClause) {
	word, ok := s.literal(c.Word)
	if !ok {
		return
	}
	for _, item := range c.Items {
		for _, w := range item.Patterns {
			pat, err := s.one(w)
			if !s.expanded(err) {
				return
			}
			if pat.match(word) {
				s.status = 0
				s.stmts(item.Stmts)
				return
			}
		}
	}
	s.status = 0
}

// set assigns and complains where it cannot.
func (s *Shell) set(name, value string) bool {
	if err := s.assign(name, value); err != nil {
		s.fail(2, "%v", err)
		return false
	}
	return true
}

// simple runs assignments, a function, a builtin or a program.
func (s *Shell) simple(st *syntax.Stmt) {
	call, _ := st.Cmd.(*syntax.CallExpr)
	if call == nil {
		call = &syntax.CallExpr{}
	}
	s.subst = 0
	replace := s.replace
	s.replace = false
	args, ok := s.words(call.Args)
	if !ok {
		return
	}
	if len(args) == 0 {
		undo, ok := s.redirect(st.Redirs)
		undo()
		if !ok {
			if s.flow == onward {
				s.status = 1
			}
			return
		}
		for _, a := range call.Assigns {
			v, ok := s.literal(a.Value)
			if !ok || !s.set(a.Name.Value, v) {
				return
			}
		}
		s.status = s.subst
		return
	}
	s.call(args, call.Assigns, st.Redirs, replace)
}

// special builtins keep their assignments, and an error in them is fatal.
const special = " . : break continue eval exec exit export readonly return set shift times trap unset "

// call runs a function, a builtin or a program; a program takes the shell's
// place where replace is set.
func (s *Shell) call(args []string, assigns []*syntax.Assign, redirs []*syntax.Redirect, replace bool) {
	name := args[0]
	isSpecial := strings.Contains(special, " "+name+" ")
	body, isFunc := s.funcs[name]
	if isSpecial {
		isFunc = false
	}
	builtin, isBuiltin := s.builtins[name]
	if !isFunc && !isBuiltin {
		s.external(args, assigns, redirs, replace)
		return
	}
	undo, ok := s.redirect(redirs)
	if !ok {
		undo()
		if s.flow == onward {
			s.status = 1
			if isSpecial && !isFunc {
				s.status = 2
				if s.flow = exiting; s.interactive {
					s.flow = aborting
				}
			}
		}
		return
	}
	keep := name == "exec" && len(args) == 1 || name == "command" && len(args) == 2 && args[1] == "exec"
	if !keep {
		defer undo()
	}
	restore, ok := s.temporary(assigns)
	if !isSpecial {
		defer restore()
	}
	if !ok {
		return
	}
	s.traceCall(args)
	if isFunc {
		s.function(body, args)
		return
	}
	command := s.command
	s.command, s.outer = name, command
	s.status = builtin(s, args)
	s.command = command
}

// temporary assigns for the time of one command.
func (s *Shell) temporary(assigns []*syntax.Assign) (restore func(), ok bool) {
	old := map[string]variable{}
	restore = func() {
		for name, v := range old {
			if v.set || v.exported || v.readonly {
				s.vars[name] = v
			} else {
				delete(s.vars, name)
			}
		}
	}
	for _, a := range assigns {
		v, ok := s.literal(a.Value)
		if !ok {
			return restore, false
		}
		if _, known := old[a.Name.Value]; !known {
			old[a.Name.Value] = s.vars[a.Name.Value]
		}
		if !s.set(a.Name.Value, v) {
			return restore, false
		}
		nv := s.vars[a.Name.Value]
		nv.exported = true
		s.vars[a.Name.Value] = nv
	}
	return restore, true
}

const maxCalls = 500

func (s *Shell) function(body *syntax.Stmt, args []string) {
	if s.calls >= maxCalls {
		s.fail(2, "function nesting too deep")
		return
	}
	params, loops := s.params, s.loops
	s.params, s.loops = args[1:], 0
	s.calls++
	s.locals = append(s.locals, map[string]variable{})
	s.stmt(body)
	for name, v := range s.locals[len(s.locals)-1] {
		if v.set || v.exported {
			s.vars[name] = v
		} else {
			delete(s.vars, name)
		}
	}
	s.locals = s.locals[:len(s.locals)-1]
	s.calls--
	s.params, s.loops = params, loops
	if s.flow == returning {
		s.flow = onward
	}
}

func (s *Shell) traceCall(args []string) {
	if s.trace {
		s.p.Stream(2).Write([]byte(s.get("PS4") + strings.Join(args, " ") + "\n"))
	}
}
