package uboot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// variableName is what U-Boot takes as a name (env/flags.c forbids less, but
// nobody uses more). A dash in front would be an option: setenv -f NAME deletes NAME.
var variableName = regexp.MustCompile(`^[A-Za-z0-9_.:+][A-Za-z0-9_.:+-]*$`)

// Env returns the value of an environment variable, which is asked for until two answers
// are the same: the serial line may spoil one, and then [ErrCorrupt] says so if it spoils
// five. A variable that does not exist is [ErrNotDefined]; one that is longer than U-Boot
// prints (CONFIG_SYS_PBSIZE) is [ErrTruncated].
func (s *Session) Env(ctx context.Context, name string) (string, error) {
	value, err := s.env(ctx, name)
	if err != nil {
		return "", s.fail("env", "printenv "+name, err)
	}
	return value, nil
}

func (s *Session) env(ctx context.Context, name string) (string, error) {
	return s.readEnv(ctx, name, nothingKnown)
}

// readEnv is env where it is known of a value that it need not be read twice.
func (s *Session) readEnv(ctx context.Context, name string, known func(value string) bool) (string, error) {
	if !variableName.MatchString(name) {
		return "", fmt.Errorf("%q is no name of an environment variable", name)
	}
	out, err := s.read(ctx, "printenv "+name, readTime, func(out string) bool {
		value, ok := strings.CutPrefix(out, name+"=")
		return ok && known(value)
	})
	if errors.Is(err, ErrNotDefined) {
		return "", fmt.Errorf("%w: %s", ErrNotDefined, name)
	}
	if err != nil {
		return "", err
	}
	value, ok := strings.CutPrefix(out, name+"=")
	if !ok {
		return "", fmt.Errorf("printenv %s printed %q", name, out)
	}
	// printenv ends every value with a line break, which is the first thing to
	// go when the print buffer is full.
	if !s.endedLine {
		return value, fmt.Errorf("%w: %s, after %d characters", ErrTruncated, name, len(value))
	}
	return value, nil
}

// SetEnv sets an environment variable in RAM (not in the saved environment); ""
// deletes it. The value arrives as it is, whatever quotes, blanks, "$", ";" or
// backslashes it has: it is read back, as far as U-Boot prints it, and an error
// says if it did not. It is set again, up to five times, where the serial line spoilt
// the command or its answer. A value with a control character (a tab, a line break) is
// refused with [ErrControlCharacter], one that does not fit with [ErrLineTooLong],
// and where there is no hush one with blanks at an end or side by side with
// [ErrNoHush].
func (s *Session) SetEnv(ctx context.Context, name, value string) error {
	if err := s.setEnv(ctx, name, value); err != nil {
		return s.fail("env", "setenv "+name, err)
	}
	return nil
}

func (s *Session) setEnv(ctx context.Context, name, value string) error {
	if !variableName.MatchString(name) {
		return fmt.Errorf("%q is no name of an environment variable", name)
	}
	if i := strings.IndexFunc(value, isControl); i >= 0 {
		return fmt.Errorf("%w: %q in the value", ErrControlCharacter, value[i])
	}
	return s.repeat(ctx, 0, func(ctx context.Context) error {
		if value == "" {
			return s.runQuick(ctx, "setenv "+name)
		}
		got, err := s.store(ctx, name, value)
		if err == nil && got != value && s.hush && !s.modern && strings.ContainsAny(value, `'\`) {
			// The parser may be the one that came with U-Boot 2024.01.
			s.modern = true
			got, err = s.store(ctx, name, value)
			s.modern = err == nil && got == value
		}
		if err == nil && got != value {
			err = fmt.Errorf("the value became %q, not %q", got, value)
		}
		return err
	})
}

// store sets a variable and returns what it became; that is the value, too, where
// it is right as far as U-Boot can show it.
func (s *Session) store(ctx context.Context, name, value string) (got string, err error) {
	set := s.storeLong
	if !s.hush {
		set = s.setPlain
	}
	if err := set(ctx, name, value); err != nil {
		return "", err
	}
	got, err = s.readEnv(ctx, name, func(got string) bool { return got == value })
	if errors.Is(err, ErrTruncated) {
		if strings.HasPrefix(value, got) {
			got = value
		}
		err = nil
	}
	return got, err
}

// setPlain is for builds without hush. They know single quotes, but cut words at
// blanks inside of them too, and setenv puts words together with one blank each: a
// value with other blanks is refused. Nothing goes in pieces there, because the
// limit holds for the line with the variables' values in it, too.
func (s *Session) setPlain(ctx context.Context, name, value string) error {
	if strings.HasPrefix(value, " ") || strings.HasSuffix(value, " ") || strings.Contains(value, "  ") {
		return fmt.Errorf("%w, without which the blanks of %q get lost", ErrNoHush, value)
	}
	cmd := "setenv " + name + " " + plainQuote(value)
	if len(cmd)+frameLength > s.cfg.lineLimit {
		return fmt.Errorf("%w: %d characters, %d fit, and %w", ErrLineTooLong, len(cmd), s.cfg.lineLimit-frameLength, ErrNoHush)
	}
	return s.runQuick(ctx, cmd)
}

// plainQuote quotes a value for the parser of common/cli_simple.c. Single quotes
// there take everything as it is, but a quote behind a backslash neither opens nor
// closes them. So backslashes before a quote and at the end stand outside, where
// the first of a row is doubled and the others are not.
func plainQuote(value string) string {
	var b strings.Builder
	for value != "" {
		plain := strings.IndexByte(value, '\'')
		if plain < 0 {
			plain = len(value)
		}
		inside := strings.TrimRight(value[:plain], `\`)
		if inside != "" {
			b.WriteString("'" + inside + "'")
		}
		row := value[len(inside):plain]
		value = value[plain:]
		if row != "" {
			b.WriteString(`\` + row)
		}
		if value != "" { // a quote
			if row == "" {
				b.WriteString(`\`)
			}
			b.WriteString("'")
			value = value[1:]
		}
	}
	return b.String()
}
