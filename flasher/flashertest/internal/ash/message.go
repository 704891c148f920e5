package ash

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// errorf prints one of the shell's own messages.
func (s *Shell) errorf(format string, args ...any) {
	where := s.arg0 + ": "
	if s.command != "" && s.command != s.arg0 {
		where += s.command + ": "
	}
	if !s.prompted && s.line > 0 {
		where += fmt.Sprintf("line %d: ", s.line)
	}
	fmt.Fprintf(s.p.Stream(2), "%s%s\n", where, fmt.Sprintf(format, args...))
}

// plainf prints a message of a builtin that busybox has as a program as well.
func (s *Shell) plainf(format string, args ...any) {
	fmt.Fprintf(s.p.Stream(2), "sh: %s\n", fmt.Sprintf(format, args...))
}

// fail is errorf for what ends a script, and the line in an interactive shell.
func (s *Shell) fail(status int, format string, args ...any) {
	s.errorf(format, args...)
	s.status = status
	if s.interactive {
		s.flow = aborting
	} else {
		s.flow = exiting
	}
}

// syntaxError complains in ash's words.
func (s *Shell) syntaxError(text string, err error) {
	what := err.Error()
	var pe syntax.ParseError
	var le syntax.LangError
	var pos syntax.Pos
	switch {
	case errors.As(err, &pe):
		pos = pe.Pos
	case errors.As(err, &le):
		pos = le.Pos
	}
	switch {
	case strings.Contains(what, "without closing quote"):
		what = "unterminated quoted string"
	case syntax.IsIncomplete(err):
		what = "unexpected end of file"
		pos = syntax.NewPos(0, uint(strings.Count(text, "\n")+1), 1)
		if tok := expecting(err); tok != "" {
			what += ` (expecting "` + tok + `")`
		}
	case pos.IsValid() && int(pos.Offset()) < len(text):
		what = "unexpected " + tokenAt(text[pos.Offset():])
	}
	line := s.line
	if pos.IsValid() {
		s.line = s.base + int(pos.Line())
	}
	s.fail(2, "syntax error: %s", what)
	s.line = line
}

// expecting finds the reserved word that the parser wanted.
func expecting(err error) string {
	text := err.Error()
	if strings.Contains(text, `end with "esac"`) {
		return ";;"
	}
	for _, tok := range []string{"then", "fi", "do", "done", "}", ")"} {
		if strings.Contains(text, `end with "`+tok+`"`) || strings.Contains(text, " with "+tok) || strings.Contains(text, ` with "`+tok) || strings.Contains(text, `followed by "`+tok+`"`) {
			return tok
		}
	}
	for begin, tok := range map[string]string{"if": "then", "elif": "then", "then": "fi", "else": "fi", "while": "do", "until": "do", "do": "done", "{": "}", "(": ")"} {
		if strings.Contains(text, `"`+begin+`" must be followed by a statement`) {
			return tok
		}
	}
	return ""
}

// tokenAt quotes the token at the start of text as ash does.
func tokenAt(text string) string {
	switch {
	case text[0] == '\n':
		return "newline"
	case strings.HasPrefix(text, "&&"), strings.HasPrefix(text, "||"), strings.HasPrefix(text, ";;"):
		return `"` + text[:2] + `"`
	case strings.ContainsRune("&|;()", rune(text[0])):
		return `"` + text[:1] + `"`
	case text[0] == '<', text[0] == '>':
		return "redirection"
	}
	end := strings.IndexAny(text, " \t\n&|;()<>")
	if end < 0 {
		end = len(text)
	}
	if w := text[:end]; syntax.IsKeyword(w) {
		return `"` + w + `"`
	}
	return `word`
}
