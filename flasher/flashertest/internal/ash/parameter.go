package ash

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// parameter expands $x and ${x...}.
func (e *expansion) parameter(pe *syntax.ParamExp, quoted bool) {
	s, name := e.s, pe.Param.Value
	if pe.Index != nil || pe.Slice != nil || pe.Repl != nil || pe.Excl || pe.Width {
		e.err = errors.New("syntax error: bad substitution")
		return
	}
	if (name == "@" || name == "*") && pe.Exp == nil && !pe.Length {
		e.params(name, quoted)
		return
	}
	v, set := s.param(name)
	if pe.Length {
		if name == "@" || name == "*" {
			v = strings.Join(s.params, " ")
		}
		e.put(fmt.Sprint(len(v)), quoted)
		return
	}
	if pe.Exp == nil {
		if !set && s.noUnset {
			e.err = fmt.Errorf("%s: parameter not set", name)
			return
		}
		e.put(v, quoted)
		return
	}
	missing := !set
	switch pe.Exp.Op {
	case syntax.AlternateUnsetOrNull, syntax.DefaultUnsetOrNull, syntax.ErrorUnsetOrNull, syntax.AssignUnsetOrNull:
		missing = v == ""
	}
	other := func() {
		if pe.Exp.Word != nil {
			for _, p := range pe.Exp.Word.Parts {
				e.part(p, quoted, !quoted)
			}
		}
	}
	switch pe.Exp.Op {
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		if !missing {
			other()
		}
	case syntax.DefaultUnset, syntax.DefaultUnsetOrNull:
		if missing {
			other()
			return
		}
		e.put(v, quoted)
	case syntax.AssignUnset, syntax.AssignUnsetOrNull:
		if missing {
			var err error
			if v, err = s.text(pe.Exp.Word); err == nil {
				err = s.assign(name, v)
			}
			if err != nil {
				e.err = err
				return
			}
		}
		e.put(v, quoted)
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		if missing {
			why, err := s.text(pe.Exp.Word)
			if err == nil && why == "" {
				why = "parameter not set"
				if pe.Exp.Op == syntax.ErrorUnsetOrNull {
					why = "parameter not set or null"
				}
			}
			e.err = fmt.Errorf("%s: %s", name, why)
			if err != nil {
				e.err = err
			}
			return
		}
		e.put(v, quoted)
	case syntax.RemSmallPrefix, syntax.RemLargePrefix, syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		pat, err := s.one(pe.Exp.Word)
		if err != nil {
			e.err = err
			return
		}
		e.put(pat.trim(v, pe.Exp.Op), quoted)
	default:
		e.err = errors.New("syntax error: bad substitution")
	}
}

// params expands $@ and $*.
func (e *expansion) params(name string, quoted bool) {
	s := e.s
	sep := " "
	if ifs := s.vars["IFS"]; name == "*" && ifs.set {
		sep = ifs.value[:min(1, len(ifs.value))]
	}
	if quoted && (name == "*" || !e.split) {
		e.field().add(strings.Join(s.params, sep), true)
		return
	}
	for i, p := range s.params {
		switch {
		case i > 0 && e.split && quoted:
			e.field()
			e.flush()
		case i > 0 && e.split:
			e.flush()
		case i > 0:
			e.field().add(sep, true)
		}
		e.put(p, quoted)
	}
}

// trim takes what fits the pattern off the start or the end of v.
func (f field) trim(v string, op syntax.ParExpOperator) string {
	switch op {
	case syntax.RemSmallPrefix:
		for i := 0; i <= len(v); i++ {
			if f.match(v[:i]) {
				return v[i:]
			}
		}
	case syntax.RemLargePrefix:
		for i := len(v); i >= 0; i-- {
			if f.match(v[:i]) {
				return v[i:]
			}
		}
	case syntax.RemSmallSuffix:
		for i := len(v); i >= 0; i-- {
			if f.match(v[i:]) {
				return v[:i]
			}
		}
	case syntax.RemLargeSuffix:
		for i := 0; i <= len(v); i++ {
			if f.match(v[i:]) {
				return v[:i]
			}
		}
	}
	return v
}
