package uboot

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var (
	// errOpen is a command that would swallow what is typed behind it, the marker by
	// which its end is known first of all.
	errOpen   = errors.New("the command does not end")
	errSyntax = errors.New("U-Boot's shell does not understand the command")
)

// notUnderstood is what hush says to such a line: that it is wrong, or the prompt for
// the rest of it.
func notUnderstood() []failure {
	return []failure{
		{regexp.MustCompile(`[\r\n]syntax error[^\r\n]*[\r\n]`), errSyntax},
		{regexp.MustCompile(`[\r\n]> $`), errOpen},
	}
}

// closed returns a command without the comment at its end, which would make one of all
// that is typed behind it. A quotation or a ${ that does not end is an error. Where
// the parsers that this build may have differ, the command is left as it is.
func (s *Session) closed(cmd string) (string, error) {
	if !s.hush {
		return cmd, closedPlain(cmd)
	}
	end, err := closedHush(cmd, false)
	end2, err2 := closedHush(cmd, true)
	switch {
	case err != nil && err2 != nil:
		return "", cmp.Or(err, err2)
	case err == nil && err2 == nil && end == end2 && end < len(cmd):
		return strings.TrimRight(cmd[:end], " "), nil
	}
	return cmd, nil
}

// closedPlain is for the parser of common/cli_simple.c: see plainQuote.
func closedPlain(cmd string) error {
	begun := -1
	for i := range len(cmd) {
		if cmd[i] == '\'' && (i == 0 || cmd[i-1] != '\\') {
			if begun >= 0 {
				begun = -1
			} else {
				begun = i
			}
		}
	}
	if begun >= 0 {
		return unpaired('\'', begun)
	}
	return nil
}

// closedHush returns where the comment begins, or the length of the command. single
// says that single quotes mean something between double ones, as they do to U-Boot's
// hush (common/cli_hush.c) and not to that of CONFIG_HUSH_MODERN_PARSER.
func closedHush(cmd string, single bool) (int, error) {
	start, double := true, -1 // start of a word; where a double quotation began
	for i := 0; i < len(cmd); i++ {
		c, first := cmd[i], start
		start = false
		switch {
		case c == '\\':
			i++
		case c == '\'' && (double < 0 || single):
			n := strings.IndexByte(cmd[i+1:], '\'')
			if n < 0 {
				return 0, unpaired('\'', i)
			}
			i += n + 1
		case c == '"' && double >= 0:
			double = -1
		case c == '"':
			double = i
		case c == '$' && strings.HasPrefix(cmd[i+1:], "{"):
			n := strings.IndexByte(cmd[i:], '}')
			if n < 0 {
				return 0, fmt.Errorf("%w: the ${ at character %d has no }", errOpen, i+1)
			}
			i += n
		case double >= 0:
		case c == '#' && first:
			return i, nil
		default:
			start = strings.IndexByte(" ;&|", c) >= 0
		}
	}
	if double >= 0 {
		return 0, unpaired('"', double)
	}
	return len(cmd), nil
}

func unpaired(mark byte, at int) error {
	return fmt.Errorf("%w: the quotation mark (%c) at character %d has no other", errOpen, mark, at+1)
}
