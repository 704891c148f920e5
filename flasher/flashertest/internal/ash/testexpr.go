package ash

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// padded formats text with a directive's width and precision, in bytes.
func padded(spec, text string) string {
	width, precision, has := strings.Cut(spec[1:], ".")
	if n, err := strconv.Atoi(precision); has && (err == nil || precision == "") && n < len(text) {
		text = text[:max(n, 0)]
	}
	left := strings.Contains(width, "-")
	n, _ := strconv.Atoi(strings.TrimLeft(width, "-+ #0"))
	fill := strings.Repeat(" ", max(n-len(text), 0))
	if left {
		return text + fill
	}
	return fill + text
}

func sprint(spec string, n int64) string {
	if n < 0 && !strings.HasSuffix(spec, "d") {
		return fmt.Sprintf(spec, uint64(n))
	}
	return fmt.Sprintf(spec, n)
}

// test is test, [ and [[.
func (s *Shell) test(args []string) int {
	name := args[0]
	args = args[1:]
	if closing := map[string]string{"[": "]", "[[": "]]"}[name]; closing != "" {
		if len(args) == 0 || args[len(args)-1] != closing {
			s.plainf("missing %s", closing)
			return 2
		}
		args = args[:len(args)-1]
	}
	t := &tester{s: s, args: args}
	if len(args) == 0 {
		return 1
	}
	v := t.or()
	if t.err == "" && len(t.args) > 0 {
		t.err = t.args[0] + ": unknown operand"
	}
	if t.err != "" {
		s.plainf("%s", t.err)
		return 2
	}
	if v {
		return 0
	}
	return 1
}

type tester struct {
	s    *Shell
	args []string
	err  string
}

func (t *tester) peek() string {
	if len(t.args) == 0 {
		return ""
	}
	return t.args[0]
}

func (t *tester) take() string {
	a := t.peek()
	if len(t.args) > 0 {
		t.args = t.args[1:]
	}
	return a
}

func (t *tester) or() bool {
	v := t.and()
	for t.err == "" && (t.peek() == "-o" || t.peek() == "||") {
		t.take()
		r := t.and()
		v = v || r
	}
	return v
}

func (t *tester) and() bool {
	v := t.not()
	for t.err == "" && (t.peek() == "-a" || t.peek() == "&&") {
		t.take()
		r := t.not()
		v = v && r
	}
	return v
}

func (t *tester) not() bool {
	if t.peek() == "!" && len(t.args) > 1 && !(len(t.args) == 3 && binary[t.args[1]]) {
		t.take()
		return !t.not()
	}
	return t.primary()
}

var binary = map[string]bool{
	"=": true, "==": true, "!=": true, "<": true, ">": true, "-eq": true, "-ne": true, "-lt": true, "-le": true, "-gt": true, "-ge": true,
	"-nt": true, "-ot": true, "-ef": true,
}

func (t *tester) primary() bool {
	if len(t.args) == 0 {
		t.err = "argument expected"
		return false
	}
	if len(t.args) >= 3 && binary[t.args[1]] {
		a, op, b := t.take(), t.take(), t.take()
		return t.compare(a, op, b)
	}
	if t.peek() == "(" && len(t.args) > 2 {
		t.take()
		v := t.or()
		if t.take() != ")" {
			t.err = "closing paren expected"
		}
		return v
	}
	if op := t.peek(); len(op) == 2 && op[0] == '-' && len(t.args) > 1 && strings.IndexByte("nzefdbcpSLhsrwxtugkO", op[1]) >= 0 {
		t.take()
		return t.unary(op[1], t.take())
	}
	return t.take() != ""
}

func (t *tester) number(a string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(a), 10, 64)
	if err != nil && t.err == "" {
		t.err = a + ": bad number"
	}
	return n
}

func (t *tester) compare(a, op, b string) bool {
	switch op {
	case "=", "==":
		return a == b
	case "!=":
		return a != b
	case "<":
		return a < b
	case ">":
		return a > b
	case "-nt", "-ot", "-ef":
		x, err1 := t.s.p.K.FS.Stat(t.s.p, a, true)
		y, err2 := t.s.p.K.FS.Stat(t.s.p, b, true)
		if err1 != nil || err2 != nil {
			return false
		}
		switch op {
		case "-nt":
			return x.ModTime().After(y.ModTime())
		case "-ot":
			return x.ModTime().Before(y.ModTime())
		}
		return x == y
	}
	x, y := t.number(a), t.number(b)
	switch op {
	case "-eq":
		return x == y
	case "-ne":
		return x != y
	case "-lt":
		return x < y
	case "-le":
		return x <= y
	case "-gt":
		return x > y
	}
	return x >= y
}

func (t *tester) unary(op byte, a string) bool {
	switch op {
	case 'n':
		return a != ""
	case 'z':
		return a == ""
	case 't':
		n, err := strconv.Atoi(a)
		return err == nil && IsTerminal(t.s.p.FDs.Get(n))
	}
	n, err := t.s.p.K.FS.Stat(t.s.p, a, op != 'L' && op != 'h')
	if err != nil {
		return false
	}
	switch kind := n.Mode().Type(); op {
	case 'f':
		return kind == 0
	case 'd':
		return kind == fs.ModeDir
	case 'b':
		return kind == fs.ModeDevice
	case 'c':
		return kind == fs.ModeDevice|fs.ModeCharDevice
	case 'p':
		return kind == fs.ModeNamedPipe
	case 'L', 'h':
		return kind == fs.ModeSymlink
	case 'S':
		return kind == fs.ModeSocket
	case 's':
		return size(n) > 0
	case 'x':
		return n.Mode().Perm()&0o111 != 0
	case 'u', 'g', 'k':
		return false
	}
	return true // root may read and write everything
}

func size(n *kernel.Inode) int64 { return n.Size() }
