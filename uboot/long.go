package uboot

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// frameLength is what frame adds to a command, and U-Boot keeps for itself.
const frameLength = 74

// longVariable holds a command that is longer than a line; pieceVariable and a
// number hold pieces of a value. None of them is left behind.
const (
	longVariable  = "dutflash_cmd"
	pieceVariable = "dutflash_"
)

// fit returns a command that does not exceed the line limit: the command itself,
// or one that runs it from an environment variable that it was brought to in
// pieces.
func (s *Session) fit(ctx context.Context, cmd string) (string, error) {
	if i := strings.IndexFunc(cmd, isControl); i >= 0 {
		return "", fmt.Errorf("%w: %q (commands are joined with \";\")", ErrControlCharacter, cmd[i])
	}
	if len(cmd)+frameLength <= s.cfg.lineLimit {
		return cmd, nil
	}
	if !s.hush {
		return "", fmt.Errorf("%w: %d characters, the limit is %d, and %w", ErrLineTooLong, len(cmd), s.cfg.lineLimit-frameLength, ErrNoHush)
	}
	set := s.storeLong
	if strings.ContainsAny(cmd, `'\`) {
		set = s.setEnv // which looks at what became of it
	}
	if err := set(ctx, longVariable, cmd); err != nil {
		return "", joined(err, s.putBack(ctx, setting{longVariable, ""}))
	}
	return "run " + longVariable, nil
}

// isControl says that a character is a key of U-Boot's line editor (ASCII's control
// characters; common/cli_readline.c).
func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// storeLong brings a value into a variable, in as many pieces as the line limit
// needs: each is put behind what is there already. hush looks at quotes and
// backslashes in that anew each time, so a value that has some goes another way.
func (s *Session) storeLong(ctx context.Context, name, value string) error {
	room := s.room("setenv " + name + " \"${" + name + "}\"")
	if room < 16 {
		return fmt.Errorf("%w: nothing fits behind the name %s", ErrLineTooLong, name)
	}
	if len(s.quote(value)) > room && strings.ContainsAny(value, `'\`) {
		return s.storePieces(ctx, name, value)
	}
	prefix := ""
	for value != "" {
		n := min(len(value), room-len("''"))
		if len(s.quote(value)) <= room {
			n = len(value)
		}
		if err := s.runQuick(ctx, "setenv "+name+" "+prefix+s.quote(value[:n])); err != nil {
			return err
		}
		value = value[n:]
		prefix = `"${` + name + `}"`
	}
	return nil
}

// room is what fits on a line beside a command.
func (s *Session) room(cmd string) int { return s.cfg.lineLimit - frameLength - len(cmd) }

// storePieces brings each piece of a value into a variable of its own and puts them
// together once, so that hush looks at their quotes and backslashes a second time
// and no third.
func (s *Session) storePieces(ctx context.Context, name, value string) (err error) {
	var pieces []string
	all := "setenv " + name + ` "`
	for rest := value; rest != ""; {
		variable := pieceVariable + strconv.Itoa(len(pieces)+1)
		all += "${" + variable + "}"
		room := s.room("setenv " + variable + " ")
		n := min(len(rest), room)
		for n > 1 && len(s.quote(s.twice(rest[:n]))) > room {
			n--
		}
		pieces = append(pieces, s.quote(s.twice(rest[:n])))
		rest = rest[n:]
	}
	if all += `"`; s.room(all) < 0 {
		return fmt.Errorf("%w: a value of %d characters with quotes or backslashes needs %d pieces", ErrLineTooLong, len(value), len(pieces))
	}
	var stored []setting
	defer func() { err = joined(err, s.putBack(ctx, stored...)) }()
	for i, piece := range pieces {
		variable := pieceVariable + strconv.Itoa(i+1)
		stored = append(stored, setting{variable, ""})
		if err := s.runQuick(ctx, "setenv "+variable+" "+piece); err != nil {
			return err
		}
	}
	return s.runQuick(ctx, all)
}

// quote makes one word of a value for U-Boot's hush. Inside single quotes it
// takes everything as it is but the single quote and, unlike a POSIX shell and the
// parser of CONFIG_HUSH_MODERN_PARSER, the backslash.
func (s *Session) quote(value string) string {
	if !s.modern {
		value = strings.ReplaceAll(value, `\`, `\\`)
	}
	return "'" + strings.ReplaceAll(value, `'`, `'\''`) + "'"
}

// twice prepares a value for being looked at a second time, when it comes from a
// variable between double quotes. The newer parser does not look.
func (s *Session) twice(value string) string {
	if s.modern {
		return value
	}
	return strings.NewReplacer(`\`, `\\`, `'`, `'\''`).Replace(value)
}
