package uboot_test

import (
	"os"
	"strings"
)

// modernWords cuts a line into commands and their words as a POSIX shell does. The
// status is always 0, and variables are between double quotes only.
func (b *oldBoard) modernWords(line string) (commands [][]string) {
	var words []string
	var word strings.Builder
	begun := false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == ' ':
			end()
		case c == ';':
			end()
			commands, words = append(commands, words), nil
		case c == '\'':
			begun = true
			for i++; i < len(line) && line[i] != '\''; i++ {
				word.WriteByte(line[i])
			}
		case c == '"':
			begun = true
			n := strings.IndexByte(line[i+1:], '"')
			word.WriteString(os.Expand(line[i+1:i+1+n], func(name string) string { return b.env[name] }))
			i += n + 1
		case c == '\\' && i+1 < len(line):
			begun = true
			i++
			word.WriteByte(line[i])
		case c == '$' && strings.HasPrefix(line[i:], "$?"):
			begun = true
			i++
			word.WriteByte('0')
		default:
			begun = true
			word.WriteByte(c)
		}
	}
	end()
	return append(commands, words)
}

// whole says that hush runs a line and does not ask for the rest of an if or of a
// quotation first.
func whole(line string) bool {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\'':
			quoted = !quoted
		case line[i] == '\\' && !quoted:
			i++
		}
	}
	return !quoted && (!strings.HasPrefix(line+" ", "if ") || strings.HasSuffix(line, "; fi"))
}

// plainList takes the if away that the session puts around a command.
func plainList(line string) string {
	rest, ok := strings.CutPrefix(line, "if ")
	if !ok {
		return line
	}
	return strings.Replace(strings.TrimSuffix(rest, "; fi"), "; then ", "; ", 1)
}
