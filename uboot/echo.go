package uboot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

// question has U-Boot print a marker, which is typed as a command is. The first time
// it is found out whether what is typed comes back. Where it does not, or as something
// else both times (a serial server that echoes, too), Enter follows all the same: what
// U-Boot answers is the proof, and no harm is done where the line was not right.
func (s *Session) question(ctx context.Context, m marker) (*match, error) {
	line := fmt.Sprintf("echo '%s''%s'$?'%s'", m.head, m.tail, m.head)
	blind, err := false, error(nil)
	switch s.echo {
	case yes:
		err = s.enter(ctx, line, m, answered)
	case no:
		err = s.con.SendLine(ctx, line)
	default:
		blind, err = s.firstLine(ctx, line, m)
	}
	if err != nil {
		return nil, err
	}
	hit, err := s.within(ctx, proveTime, expect.Regexp(m.last()))
	if err != nil || s.echo != notAsked {
		return hit, err
	}
	s.echo = yes
	if s.late = blind; s.late && !strings.Contains(hit.Before, line) {
		s.echo = no
		s.cfg.log.Warn("U-Boot does not echo what is typed as it is typed: a character that gets lost is not noticed")
	}
	return hit, nil
}

// answered is for lines of which the answer shows that they were run.
func answered(context.Context, marker) error { return nil }

// firstLine types a line while it is not known whether there is an echo. blind says
// that Enter was sent without a right one.
func (s *Session) firstLine(ctx context.Context, line string, m marker) (blind bool, err error) {
	for before := ""; ; {
		got, err := s.typeLine(ctx, line, 0)
		if err == nil { // a second echo would make the first one worth nothing
			var more string
			if more, err = s.rest(ctx); more != "" {
				got, err = got+more, errMistyped
			}
		}
		switch {
		case err == nil:
			_, err := s.pressEnter(ctx, line, m, answered)
			return false, err
		case !errors.Is(err, errMistyped):
			return false, err
		case got == "" || got == before:
			return true, s.con.SendLine(ctx, "")
		}
		if err := s.clearLine(ctx); err != nil {
			return false, err
		}
		if before != "" {
			return false, s.enter(ctx, line, m, answered)
		}
		before = got
	}
}

// patience is how long an echo may take to come.
func (s *Session) patience() time.Duration {
	if s.late {
		return lateTime
	}
	return echoTime
}

// echo is what the echo says that U-Boot's line editor holds.
type echo struct {
	raw    string
	screen []byte
	col    int
	odd    bool // something else was printed
}

func (e *echo) text() string { return string(e.screen[:e.col]) }

func (e *echo) add(heard string) {
	e.raw += heard
	for _, c := range []byte(heard) {
		switch {
		case c == '\b' && e.col > 0:
			e.col--
		case c < ' ' || c == 0x7f:
			e.odd = true
		default:
			e.screen = append(e.screen[:e.col], c)
			e.col++
		}
	}
}

// common is how many bytes two strings have in common at their beginnings.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// hear returns what has come, or "" after so much silence.
func (s *Session) hear(ctx context.Context, patience time.Duration) (string, error) {
	m, err := s.within(ctx, patience, expect.Regexp(anything))
	switch {
	case err == nil:
		heard := m.Before + m.Text
		s.dropped += heard
		return heard + s.drop(), nil
	case ctx.Err() != nil && s.con.Err() == nil:
		return "", ended(ctx)
	case errors.Is(err, context.DeadlineExceeded):
		return "", nil
	}
	return "", err
}

// rest returns what comes until nothing does any more.
func (s *Session) rest(ctx context.Context) (text string, err error) {
	for {
		more, err := s.hear(ctx, settledTime)
		if text += more; more == "" {
			return text, err
		}
	}
}

// drop forgets what has come, but for prove.
func (s *Session) drop() string {
	text := s.con.Discard()
	s.dropped += text
	return text
}

// clearLine sends Ctrl-C until U-Boot says that it has dropped the line. One may get
// lost, and one is swallowed by an ESC before it.
func (s *Session) clearLine(ctx context.Context) error {
	for range clearTries {
		s.drop()
		if err := s.con.Send(ctx, "\x03"); err != nil {
			return err
		}
		hit, err := s.within(ctx, clearTime, expect.Regexp(s.cleared()))
		switch {
		case err == nil:
			s.dropped += hit.Before + hit.Text
			if strings.HasPrefix(hit.Text, "<") { // the prompt follows
				s.within(ctx, clearTime, expect.Regexp(promptPattern(s.prompts())))
				s.drop()
			}
			return nil
		case ctx.Err() != nil && s.con.Err() == nil:
			return ended(ctx)
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
	}
	return errNotCleared
}

// cleared is what U-Boot prints at Ctrl-C, and what the echo of a line cannot contain:
// that it was interrupted, or its prompt at the beginning of a line.
func (s *Session) cleared() *regexp.Regexp {
	again := ""
	for _, p := range s.prompts() {
		again += "|" + console.QuoteMeta(p)
	}
	return regexp.MustCompile(`<INTERRUPT>\r*\n|[\r\n](?:` + stampText + `)?(?:` + again[1:] + `)`)
}

var errNotCleared = errors.New("U-Boot does not answer Ctrl-C: the session is lost")
