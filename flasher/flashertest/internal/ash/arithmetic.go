package ash

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

var (
	errDivide     = errors.New("divide by zero")
	errArithmetic = errors.New("arithmetic syntax error")
)

// arithmetic evaluates $((...)).
func (s *Shell) arithmetic(x syntax.ArithmExpr) (int64, error) {
	switch x := x.(type) {
	case nil:
		return 0, nil
	case *syntax.Word:
		text, err := s.text(x)
		if err != nil {
			return 0, err
		}
		return s.number64(text, 0)
	case *syntax.ParenArithm:
		return s.arithmetic(x.X)
	case *syntax.UnaryArithm:
		return s.unaryArithmetic(x)
	case *syntax.BinaryArithm:
		return s.binaryArithmetic(x)
	}
	return 0, errArithmetic
}

// number64 reads a number, or the variable of that name.
func (s *Shell) number64(text string, depth int) (int64, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return 0, nil
	case syntax.ValidName(text):
		v, set := s.param(text)
		if !set && s.noUnset {
			return 0, fmt.Errorf("%s: parameter not set", text)
		}
		if depth > 100 {
			return 0, errors.New("expression recursion loop detected")
		}
		return s.number64(v, depth+1)
	}
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil || strings.ContainsAny(text, "_oObB") && !strings.HasPrefix(strings.ToLower(text), "0x") {
		// The value of a variable may be an expression itself.
		w, perr := newParser().Arithmetic(strings.NewReader(text))
		if _, again := w.(*syntax.Word); perr != nil || again || depth > 100 {
			return 0, errArithmetic
		}
		return s.arithmetic(w)
	}
	return n, nil
}

// name is the variable that an expression assigns to.
func arithmeticName(x syntax.ArithmExpr) (string, error) {
	if w, ok := x.(*syntax.Word); ok && syntax.ValidName(w.Lit()) {
		return w.Lit(), nil
	}
	return "", errArithmetic
}

func (s *Shell) unaryArithmetic(x *syntax.UnaryArithm) (int64, error) {
	v, err := s.arithmetic(x.X)
	if err != nil {
		return 0, err
	}
	switch x.Op {
	case syntax.Not:
		return truth(v == 0), nil
	case syntax.BitNegation:
		return ^v, nil
	case syntax.Plus:
		return v, nil
	case syntax.Minus:
		return -v, nil
	case syntax.Inc, syntax.Dec:
		name, err := arithmeticName(x.X)
		if err != nil {
			return 0, err
		}
		next := v + 1
		if x.Op == syntax.Dec {
			next = v - 1
		}
		if err := s.assign(name, fmt.Sprint(next)); err != nil {
			return 0, err
		}
		if x.Post {
			return v, nil
		}
		return next, nil
	}
	return 0, errArithmetic
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

var assigning = map[syntax.BinAritOperator]syntax.BinAritOperator{
	syntax.AddAssgn: syntax.Add, syntax.SubAssgn: syntax.Sub, syntax.MulAssgn: syntax.Mul, syntax.QuoAssgn: syntax.Quo, syntax.RemAssgn: syntax.Rem,
	syntax.AndAssgn: syntax.And, syntax.OrAssgn: syntax.Or, syntax.XorAssgn: syntax.Xor, syntax.ShlAssgn: syntax.Shl, syntax.ShrAssgn: syntax.Shr,
}

func (s *Shell) binaryArithmetic(x *syntax.BinaryArithm) (int64, error) {
	if op, ok := assigning[x.Op]; ok || x.Op == syntax.Assgn {
		name, err := arithmeticName(x.X)
		if err != nil {
			return 0, err
		}
		v, err := s.arithmetic(x.Y)
		if err == nil && ok {
			var old int64
			if old, err = s.number64(name, 0); err == nil {
				v, err = operate(op, old, v)
			}
		}
		if err == nil {
			err = s.assign(name, fmt.Sprint(v))
		}
		return v, err
	}
	a, err := s.arithmetic(x.X)
	if err != nil {
		return 0, err
	}
	switch x.Op {
	case syntax.AndArit, syntax.OrArit:
		if (a != 0) == (x.Op == syntax.OrArit) {
			return truth(a != 0), nil
		}
		b, err := s.arithmetic(x.Y)
		return truth(b != 0), err
	case syntax.TernQuest:
		c, ok := x.Y.(*syntax.BinaryArithm)
		if !ok || c.Op != syntax.TernColon {
			return 0, errArithmetic
		}
		if a != 0 {
			return s.arithmetic(c.X)
		}
		return s.arithmetic(c.Y)
	}
	b, err := s.arithmetic(x.Y)
	if err != nil {
		return 0, err
	}
	return operate(x.Op, a, b)
}

func operate(op syntax.BinAritOperator, a, b int64) (int64, error) {
	switch op {
	case syntax.Add:
		return a + b, nil
	case syntax.Sub:
		return a - b, nil
	case syntax.Mul:
		return a * b, nil
	case syntax.Quo, syntax.Rem:
		switch {
		case b == 0:
			return 0, errDivide
		case b == -1 && op == syntax.Quo:
			return -a, nil
		case b == -1:
			return 0, nil
		case op == syntax.Quo:
			return a / b, nil
		}
		return a % b, nil
	case syntax.And:
		return a & b, nil
	case syntax.Or:
		return a | b, nil
	case syntax.Xor:
		return a ^ b, nil
	case syntax.Shl:
		return a << (uint64(b) & 63), nil
	case syntax.Shr:
		return a >> (uint64(b) & 63), nil
	case syntax.Eql:
		return truth(a == b), nil
	case syntax.Neq:
		return truth(a != b), nil
	case syntax.Lss:
		return truth(a < b), nil
	case syntax.Leq:
		return truth(a <= b), nil
	case syntax.Gtr:
		return truth(a > b), nil
	case syntax.Geq:
		return truth(a >= b), nil
	case syntax.Comma:
		return b, nil
	}
	return 0, errArithmetic
}
