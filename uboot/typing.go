package uboot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	expect "github.com/Netflix/go-expect"
)

const (
	// echoTime is how long the echo may be silent while nothing is wrong with what
	// came of it, lateTime where it was late at first, and settledTime how long until
	// the rest of a wrong one has come.
	echoTime, lateTime, settledTime = 2 * time.Second, 10 * time.Second, 200 * time.Millisecond
	// clearTime is how long U-Boot may take to answer Ctrl-C, and clearTries how
	// often it is sent.
	clearTime, clearTries = 500 * time.Millisecond, 10
	// stuckRounds is how often something is typed or taken back without getting on.
	stuckRounds = 8
	// redisplayTries is how often the line editor is asked to show the line.
	redisplayTries = 4
	// enterTries is how often Enter is sent while nothing at all comes back.
	enterTries = 3
)

// pieceSizes are how many characters go out at once in each try; 0 is the whole line.
func pieceSizes() []int { return []int{0, 16, 4} }

// issue types a command between its markers and returns when U-Boot has begun to run
// the line. With any other error than [ErrEcho] it may have begun.
func (s *Session) issue(ctx context.Context, m marker, cmd string) error {
	var err error
	s.dropped = ""
	if line := s.frame(m, cmd); s.echo != no {
		err = s.enter(ctx, line, m, s.begin)
	} else if err = s.con.SendLine(ctx, line); err == nil {
		err = s.begin(ctx, m)
	}
	if err == nil || errors.Is(err, ErrEcho) {
		return err
	}
	return s.recover(err)
}

// errMistyped is a line that U-Boot's line editor does not hold, or not alone.
var errMistyped = errors.New("the echo is not what was typed")

// enter types a line and, once its echo has shown that U-Boot's line editor holds
// the line and nothing else, Enter. Then it waits until begin has seen U-Boot run it.
func (s *Session) enter(ctx context.Context, line string, m marker, begin func(context.Context, marker) error) error {
	if s.leftover(s.drop()) {
		if err := s.clearLine(ctx); err != nil {
			return s.notCleared(line, "", err)
		}
	}
	var got string
	for try, size := range pieceSizes() {
		var err error
		if got, err = s.typeLine(ctx, line, size); err == nil {
			got, err = s.pressEnter(ctx, line, m, begin)
		}
		if !errors.Is(err, errMistyped) {
			return err
		}
		if err := s.unexpected(line, got, m); err != nil {
			return err
		}
		s.cfg.log.Warn("What U-Boot echoed is not what was typed: it is typed again", "try", try+1, "of", len(pieceSizes()))
		if err := s.clearLine(ctx); err != nil {
			return s.notCleared(line, got, err)
		}
	}
	return s.misheard(line, got, fmt.Sprintf("in %d tries", len(pieceSizes())))
}

// unexpected looks for what makes typing again useless or wrong in a bad echo.
func (s *Session) unexpected(line, got string, m marker) error {
	if err := recognise(got, fatal()); err != nil {
		return err
	}
	ran := m.first().MatchString(got)
	if i := strings.IndexAny(got, "\r\n"); i >= 0 && !s.hush && strings.Contains(got[:i], ";") {
		ran = ran || s.cleared().MatchString(got) // the prompt is back behind more than the first echo
	}
	if ran {
		return fmt.Errorf("%w: typed was %s; check the serial cable, its ground and the baud rate", ErrEarlyEnter, s.quoted(line))
	}
	if took := strings.TrimRight(got, "\a"); len(got) == len(line) && len(took) < len(got)-1 && strings.HasPrefix(line, took) {
		return fmt.Errorf("%w: %d characters were typed, it takes %d (CONFIG_SYS_CBSIZE; see WithLineLimit); nothing was run", ErrLineTooLong, len(line), len(took))
	}
	return nil
}

// leftover says that the output behind the last command may be the echo of something
// that is in U-Boot's line editor.
func (s *Session) leftover(output string) bool {
	last := output[strings.LastIndexAny(output, "\r\n")+1:]
	last = stamp.ReplaceAllString(last, "")
	return strings.TrimSpace(strings.TrimPrefix(last, s.prompt)) != ""
}

// typeLine types a line without Enter, so many characters at once, and compares the
// echo. The whole line is right at once, or wrong; in pieces, what is wrong is taken
// back with backspaces, and then the line editor has to show the whole line, because
// an echo that got lost looks like a character that did. got is what came back.
func (s *Session) typeLine(ctx context.Context, line string, size int) (got string, err error) {
	whole := size == 0
	if whole {
		size = max(len(line), 1)
	}
	var e echo
	mended := false
	for best, stuck := 0, 0; e.text() != line; stuck++ {
		n := common(e.text(), line)
		if n > best {
			best, stuck = n, 0
		}
		if stuck > stuckRounds {
			return e.raw, errMistyped
		}
		keys, goal := strings.Repeat("\b", len(e.text())-n), line[:n]
		erasing := keys != ""
		if !erasing {
			goal = line[:min(n+size, len(line))]
			keys = goal[n:]
		}
		if err := s.con.Send(ctx, keys); err != nil {
			return e.raw, err
		}
		if err := s.listen(ctx, &e, goal, erasing); err != nil {
			return e.raw, err
		}
		if e.text() == goal {
			continue
		}
		if mended = true; whole || e.odd {
			return e.raw, errMistyped
		}
	}
	if mended {
		return s.redisplay(ctx, line)
	}
	return e.raw, nil
}

// listen takes in the echo until it is goal, or does not go on.
func (s *Session) listen(ctx context.Context, e *echo, goal string, erasing bool) error {
	for e.text() != goal || e.odd {
		patience := settledTime
		if !e.odd && (strings.HasPrefix(goal, e.text()) || erasing && strings.HasPrefix(e.text(), goal)) {
			patience = s.patience()
		}
		heard, err := s.hear(ctx, patience)
		if err != nil || heard == "" {
			return err
		}
		e.add(heard)
	}
	return nil
}

// redisplay has the line editor show the line: Ctrl-A goes to its beginning, with a
// backspace for each character, and Ctrl-E to its end, with each character. A build
// without CONFIG_CMDLINE_EDITING does not.
func (s *Session) redisplay(ctx context.Context, line string) (got string, err error) {
	want := strings.Repeat("\b", len(line)) + line
	for range redisplayTries {
		if err := s.con.Send(ctx, "\x01\x05"); err != nil {
			return got, err
		}
		got = ""
		for patience := s.patience(); got != want; {
			heard, err := s.hear(ctx, patience)
			if err != nil {
				return got, err
			}
			if heard == "" {
				break
			}
			if got += heard; !strings.HasPrefix(want, got) {
				patience = settledTime
			}
		}
		if got == want {
			return got, nil
		}
		if newLine.MatchString(got) {
			break // one of the keys may have arrived as Enter
		}
	}
	return strings.TrimLeft(got, "\b"), errMistyped
}

// pressEnter sends Enter until U-Boot begins a new line. An Enter too many does
// nothing: see frame. got is what came back where the line was not run, because Enter
// arrived as something else, or something came with it.
func (s *Session) pressEnter(ctx context.Context, line string, m marker, begin func(context.Context, marker) error) (got string, err error) {
	for try := range enterTries {
		if err := s.con.SendLine(ctx, ""); err != nil {
			return "", err
		}
		hit, err := s.within(ctx, s.patience(), expect.Regexp(newLine))
		if err == nil {
			s.dropped += hit.Before + hit.Text
			if hit.Before == m.head+m.tail {
				return "", nil
			}
			if err = begin(ctx, m); hit.Before != "" && errors.Is(err, errOpen) {
				return line + hit.Before, errMistyped
			}
			return "", err
		}
		if ctx.Err() != nil && s.con.Err() == nil {
			return "", ended(ctx)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			return "", err
		}
		switch got := s.drop(); {
		case got == m.head+m.tail:
			return "", nil
		case got != "":
			return line + got, errMistyped
		}
		s.cfg.log.Warn("Nothing comes back after Enter", "try", try+1, "of", enterTries)
	}
	return "", begin(ctx, m)
}

var (
	newLine  = regexp.MustCompile(`[\r\n]`)
	anything = regexp.MustCompile(`(?s).`)
)

// notCleared is the error for a line that was not run and may still be in U-Boot's
// line editor.
func (s *Session) notCleared(line, got string, err error) error {
	if !errors.Is(err, errNotCleared) {
		return err
	}
	s.lost = true
	return fmt.Errorf("%w; %w", s.misheard(line, got, "and cannot be typed again"), err)
}

// misheard is the error for a line that was not run.
func (s *Session) misheard(line, got, when string) error {
	shown := fmt.Sprintf("came back %q", got)
	secret := s.con.Redact(line) != line
	switch {
	case secret: // a damaged secret is not recognised
		shown = "what came back is not shown because of a secret in it"
	case got == "":
		shown = "nothing came back"
	}
	err := fmt.Errorf("%w: typed %s, %s, %s; U-Boot got no Enter, so nothing was run: check the serial cable and its ground, lower the baud rate or slow the typing down (console.WithPace)",
		ErrEcho, s.quoted(line), shown, when)
	if secret {
		return &shownError{err, ""}
	}
	return s.shown(err)
}

func (s *Session) quoted(line string) string { return fmt.Sprintf("%q", s.con.Redact(line)) }
