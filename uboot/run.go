package uboot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

type match = console.Match

// marker frames the output of one command. It is typed in two quoted halves, so
// that the echo of the command does not contain it; hush and the parser that was
// before it (common/cli_simple.c) both take the quotes off.
type marker struct{ head, tail string }

// last matches the marker behind a command: with the exit status in it, or with
// the $? that a build without hush leaves as it is.
func (m marker) last() *regexp.Regexp {
	return regexp.MustCompile(m.tail + `(\$\?|-?\d+)` + m.head)
}

// first matches the marker before a command, on a line of its own: an echo that lost
// the quotes has it too.
func (m marker) first() *regexp.Regexp {
	return regexp.MustCompile(`[\r\n](?:` + stampText + `)?` + m.head + m.tail)
}

// letters leave out those that would let a marker spell ERROR, FAIL or WARN.
const letters = "BCGHJKMPQSTUVXYZ"

func (s *Session) newMarker() marker {
	var b [12]byte
	io.ReadFull(s.cfg.random, b[:]) // never fails
	for i := range b {
		b[i] = letters[b[i]%16]
	}
	return marker{string(b[:6]), string(b[6:])}
}

// Run runs a command, or several joined by ";", and returns what was printed,
// without the echo and the prompt, with line ends as "\n". An exit status other
// than 0 is a [*CommandError] inside the [*Error]; the output is returned with
// it. A build without hush cannot tell the status (see [Session.Hush]): there only
// a message that is known to be an error makes one.
//
// The timestamps that some builds put before every line are taken off.
//
// A command that would swallow what is typed behind it is not typed: a quotation or a
// ${ that does not end is an error, and a comment is left out. What else hush does not
// understand, such as "|" or a "then" without an "if", is an error at once.
//
// The command that runs is the one that was asked for, also where the serial line
// loses, repeats or damages characters: the line is typed without Enter, and Enter
// follows when U-Boot's echo is right. A wrong echo is typed away and the line again,
// in pieces; after three tries the error is [ErrEcho], and nothing was run. Without
// hush there is a remainder, [ErrEarlyEnter]. Where nothing is echoed, which is found
// out once and logged, nothing of this can be known, and the line is typed as it is.
//
// ctx is the deadline, or the session's command timeout where ctx has none. When
// it ends, what was printed so far is returned, Ctrl-C is sent and the prompt
// proved again, so that the session can go on; if that fails too, the error says
// so.
func (s *Session) Run(ctx context.Context, cmd string) (string, error) {
	out, err := s.run(ctx, cmd, nil)
	if err != nil {
		return out, s.fail("run", cmd, err)
	}
	return out, nil
}

// run is Run with messages that end the command early.
func (s *Session) run(ctx context.Context, cmd string, fails []failure) (out string, err error) {
	ctx, cancel := limit(ctx, s.cfg.timeout)
	defer cancel()
	s.cfg.log.Debug("Running command", "command", cmd)
	plain, err := s.closed(cmd)
	if err != nil {
		return "", err
	}
	typed, err := s.fit(ctx, plain)
	if err != nil {
		return "", err
	}
	m := s.newMarker()
	err = s.issue(ctx, m, typed)
	if err == nil {
		out, err = s.collect(ctx, m, cmd, fails)
	}
	if typed != plain {
		ended := s.endedLine
		err = joined(err, s.putBack(ctx, setting{longVariable, ""}))
		s.endedLine = ended
	}
	return out, err
}

// joined is errors.Join that leaves a single error as it is.
func joined(err, further error) error {
	if err == nil || further == nil {
		return cmp.Or(err, further)
	}
	return errors.Join(err, further)
}

// limit gives a context that has no deadline one.
func limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

// frame puts a command between two markers. U-Boot runs the last line again at an
// Enter too many, unless a command like setenv was in it: so one is, which does
// nothing. hush runs nothing of an if before its fi, and so nothing of a line of
// which a character arrives as Enter.
func (s *Session) frame(m marker, cmd string) string {
	if strings.HasSuffix(cmd, `\`) {
		cmd += " " // or it would take the separator's meaning away
	}
	begin, then, end := "", "; ", ""
	if s.hush {
		begin, then, end = "if ", "; then ", "; fi"
	}
	if cmd != "" {
		cmd += "; "
	}
	return fmt.Sprintf("%secho '%s''%s'%s%secho '%s'$?'%s'; setenv _%s", begin, m.head, m.tail, then, cmd, m.tail, m.head, end)
}

// begin waits for the first marker. hush looks at the whole line before it does
// anything: what it does not understand keeps the marker away.
func (s *Session) begin(ctx context.Context, m marker) error {
	opts := []expect.ExpectOpt{expect.Regexp(regexp.MustCompile(m.head + m.tail + `\r*\n`))}
	fails := fatal()
	if s.hush && s.prompt != "> " {
		fails = append(fails, notUnderstood()...)
	}
	return s.await(ctx, opts, fails, nil)
}

// collect waits for the second marker and takes the status from it.
func (s *Session) collect(ctx context.Context, m marker, cmd string, fails []failure) (string, error) {
	return s.collectOr(ctx, m, cmd, fails, s.recover)
}

// collectOr is collect with another way back to the prompt.
func (s *Session) collectOr(ctx context.Context, m marker, cmd string, fails []failure, back func(error) error) (string, error) {
	var hit match
	err := s.await(ctx, []expect.ExpectOpt{expect.Regexp(m.last())}, append(fatal(), fails...), &hit)
	switch {
	case hit.Text == "":
		hit.Before = s.con.Discard() // what a command that was given up has printed
	case err != nil:
		hit.Before += hit.Text
	}
	text := s.unstamp(hit.Before)
	s.endedLine = strings.HasSuffix(text, "\n")
	out := normalise(text)
	if err != nil {
		return out, back(err)
	}
	s.eatPrompt(ctx)
	status, convErr := strconv.Atoi(hit.Groups[1])
	if convErr != nil { // no hush
		status = 0
		if complains.MatchString(out) {
			status = -1
		}
	}
	if status == 0 {
		return out, nil
	}
	return out, s.shown(named(&CommandError{Command: cmd, Status: status, Output: out}))
}

// named wraps the failure of a command with the sentinel that its message stands
// for, if there is one.
func named(failed *CommandError) error {
	switch {
	case unknown.MatchString(failed.Output):
		return fmt.Errorf("%w: %w", ErrUnknownCommand, failed)
	case undefined.MatchString(failed.Output):
		return fmt.Errorf("%w: %w", ErrNotDefined, failed)
	}
	return failed
}

// eatPrompt takes the prompt behind a command out of the window, so that whoever
// uses the bare console next does not find it there. The prompt proves nothing,
// and its absence neither.
func (s *Session) eatPrompt(ctx context.Context) {
	if s.prompt == "" {
		return
	}
	_, err := s.within(ctx, 500*time.Millisecond, expect.Regexp(promptPattern([]string{s.prompt})))
	if err != nil {
		s.cfg.log.Debug("No prompt behind the command", "prompt", s.prompt)
	}
}

var (
	unknown   = regexp.MustCompile(`Unknown command '`)
	undefined = regexp.MustCompile(`(?m)^## Error: "[^"\n]*" not defined`)
	complains = regexp.MustCompile(`(?m)^(?:Unknown command |## Error|## Command too long|\*\* |\*\*\* ERROR|Error: |ERROR: |Usage:)`)
)

// await waits for opts, or for the first of the failures, which becomes the
// error. hit, where not nil, gets the match either way.
func (s *Session) await(ctx context.Context, opts []expect.ExpectOpt, fails []failure, hit *match) error {
	n := len(opts)
	for _, f := range fails {
		opts = append(opts, expect.Regexp(f.pattern))
	}
	m, err := s.con.Expect(ctx, opts...)
	if err != nil && ctx.Err() != nil && s.con.Err() == nil {
		return ended(ctx) // the patterns would tell nobody anything
	}
	if err != nil {
		return err
	}
	if hit != nil {
		*hit = *m
	}
	if m.Index >= n {
		return fmt.Errorf("%w: %s", fails[m.Index-n].means, clip(m.Text))
	}
	return nil
}

// ended says why ctx has ended.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return ctx.Err()
}

// recoverTime is how long a session may take to answer again after Ctrl-C.
const recoverTime = 10 * time.Second

// recover ends a command that hangs or was given up, and proves the prompt again,
// unless the board is gone. It has a deadline of its own, because the command's
// has passed.
func (s *Session) recover(cause error) error { return s.recoverBy(cause, "", recoverTime) }

// recoverBy is recover with keys before each Ctrl-C.
func (s *Session) recoverBy(cause error, keys string, limit time.Duration) error {
	cause = s.shown(cause)
	if errors.Is(cause, ErrReset) || errors.Is(cause, ErrCrash) || s.con.Err() != nil {
		s.lost = true
		return cause
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := s.con.Send(ctx, keys)
		if err == nil {
			_, err = s.prove(ctx)
		}
		if err == nil {
			return cause
		}
		if ctx.Err() != nil || s.con.Err() != nil {
			s.lost = true
			return fmt.Errorf("%w (and U-Boot does not answer after Ctrl-C: the session is lost)", cause)
		}
		select { // a port that refuses to be written does so at once
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// stampText is what U-Boot puts before a line with timestamps, as labgrid knows
// them: "[    1.234567] ".
const stampText = `\[ *\d+\.\d{3,6}\] `

var (
	stamp  = regexp.MustCompile(`^` + stampText)
	stamps = regexp.MustCompile(`(?m)^` + stampText)
)

// unstamp takes the timestamps off, where the build was found to have them.
func (s *Session) unstamp(out string) string {
	if !s.stamped {
		return out
	}
	return stamps.ReplaceAllString(out, "")
}

// normalise makes line ends "\n" and takes the last one off.
func normalise(out string) string {
	out = strings.ReplaceAll(out, "\r", "")
	return strings.TrimSuffix(out, "\n")
}
