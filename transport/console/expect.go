package console

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"

	expect "github.com/Netflix/go-expect"
)

// Match is what [Console.Expect] found.
type Match struct {
	// Index tells which matcher it was, counted through all options in the
	// order given: String("a", "b"), Regexp(re) have indexes 0, 1 and 2.
	Index int
	// Before is what stood before the match. It is consumed with it.
	Before string
	// Text is the match itself. Of All and of matchers that are not
	// go-expect's it is all output up to the match's end; where the port's end
	// matched it is empty.
	Text string
	// Groups holds the submatches of a regexp, Groups[0] being Text; it is nil
	// for other matchers.
	Groups []string
	// Dropped is how many bytes before Before were lost since the last match,
	// because nobody had matched them and the window was full.
	Dropped int64
}

// search is an Expect in progress; guarded by Console.mu.
type search struct {
	targets []target
	match   *Match
	err     error
	ready   chan struct{} // closed when match or err is set
}

func (s *search) restart(from int64) {
	for _, t := range s.targets {
		if t.scan != nil {
			t.scan.restart(from)
		}
	}
}

// Expect waits until one of the matchers (expect.String, expect.Regexp,
// expect.All, expect.EOF, ... of github.com/Netflix/go-expect, or any other)
// finds what it looks for in the output that was not consumed before, and
// consumes the output through the end of the match. What follows the match is
// kept for the next call. When ctx ends first, nothing is consumed.
//
// The match is the one found at the shortest prefix of the unconsumed output at
// which any matcher matches, the earlier matcher winning a tie; so it is the
// same however the output arrives in pieces. For a regexp this means that a+
// takes one a, and that $ holds wherever output could end. Output that has
// arrived already is looked at even if ctx has ended.
//
// Matchers of go-expect cost time linear in the output: hundreds of MB/s, or
// about one where a regexp leads to ever new states, as a[ab]{12}c does. Others
// are asked with the whole window for every piece that arrives, and the end of
// their match is found by bisecting: they must not change their mind when more
// output follows, and must not call methods of the Console.
//
// expect.WithTimeout is a further deadline for the whole call. Matchers of
// errors are asked when the port ends, with the error of the port's Read. The
// callback of Then runs after the match was consumed; its error is returned
// together with the match.
//
// Only one Expect is looked after at a time; others wait for their turn. The
// error is an [*Error] wrapping [ErrClosed], [ErrPortClosed], [ErrWindow], the
// error of ctx and its cause, or that of an option.
func (c *Console) Expect(ctx context.Context, opts ...expect.ExpectOpt) (*Match, error) {
	all, err := apply(opts)
	if err != nil {
		return nil, c.fail("expect", nil, err)
	}
	targets, err := compile(opts, all.Matchers, c.cfg.window)
	if err != nil {
		return nil, c.fail("expect", nil, err)
	}
	if all.ReadTimeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *all.ReadTimeout)
		defer cancel()
	}
	s := &search{targets: targets, ready: make(chan struct{})}
	if err := c.await(ctx, s); err != nil {
		wanted := make([]string, len(targets))
		for i, t := range targets {
			wanted[i] = c.describe(t.matcher.Criteria())
		}
		return nil, c.fail("expect", wanted, err)
	}
	m := s.match
	if c.log.Enabled(ctx, slog.LevelDebug) {
		c.log.DebugContext(ctx, "console match", "index", m.Index, "text", clip(c.Redact(m.Text)), "before", len(m.Before), "dropped", m.Dropped)
	}
	if cb, ok := targets[m.Index].matcher.(expect.CallbackMatcher); ok {
		if err := cb.Callback(bytes.NewBufferString(m.Before + m.Text)); err != nil {
			return m, c.fail("expect", []string{c.describe(targets[m.Index].matcher.Criteria())}, fmt.Errorf("callback after the match: %w", err))
		}
	}
	return m, nil
}

// await runs the search until it has a match or fails.
func (c *Console) await(ctx context.Context, s *search) error {
	if err := acquire(ctx, c.expectTurn, c.closing); err != nil {
		return err
	}
	defer release(c.expectTurn)

	c.mu.Lock()
	if c.err == ErrClosed {
		c.mu.Unlock()
		return ErrClosed
	}
	s.restart(c.win.start)
	c.active = s
	c.look(s)
	if c.err != nil && s.match == nil && s.err == nil {
		s.err = c.err
	}
	finished := s.match != nil || s.err != nil
	c.mu.Unlock()
	if !finished {
		select {
		case <-s.ready:
		case <-ctx.Done():
		case <-c.done:
		}
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.active = nil
	switch {
	case s.match != nil:
		return nil
	case s.err != nil:
		return s.err
	case c.err != nil:
		return c.err
	}
	return contextError(ctx)
}

// look goes on with the search through what has arrived; c.mu is held.
func (c *Console) look(s *search) {
	if s.match != nil || s.err != nil {
		return
	}
	final := c.portErr != nil
	best, end := -1, c.win.end()
	for i, t := range s.targets {
		if t.scan == nil {
			continue
		}
		if e := t.scan.scan(&c.win, end, final); e >= 0 && (best < 0 || e < end) {
			best, end = i, e
		}
	}
	switch {
	case best >= 0:
		s.match, s.err = c.take(best, s.targets[best].scan, end)
	case final:
		for i, t := range s.targets {
			if t.ended(c.portErr) {
				s.match = &Match{Index: i, Before: string(c.win.live()), Dropped: c.win.dropped}
				c.win.consume(c.win.end())
				break
			}
		}
	}
	if s.match != nil || s.err != nil {
		c.active = nil
		close(s.ready)
	}
}

// take cuts the match out of the window; c.mu is held.
func (c *Console) take(index int, scan scanner, end int64) (*Match, error) {
	visible, lost := c.win.visible(end)
	loc := scan.locate(visible)
	if loc == nil {
		return nil, fmt.Errorf("%w of %d bytes", ErrWindow, c.cfg.window)
	}
	m := &Match{
		Index:   index,
		Before:  string(visible[:loc[0]]),
		Text:    string(visible[loc[0]:loc[1]]),
		Dropped: c.win.dropped + lost,
	}
	if _, ok := scan.(*regexpScanner); ok {
		m.Groups = make([]string, len(loc)/2)
		for i := range m.Groups {
			if loc[2*i] >= 0 {
				m.Groups[i] = string(visible[loc[2*i]:loc[2*i+1]])
			}
		}
	}
	c.win.consume(end - int64(len(visible)-loc[1]))
	return m, nil
}

// Discard forgets the output that was not consumed yet, and returns it. An
// Expect in progress goes on with what comes later.
func (c *Console) Discard() string {
	s, _ := c.Take()
	return s
}

// Take is [Console.Discard] for somebody who wants all output: dropped is how
// many bytes before text were lost since the last match, because more arrived
// than the window holds.
func (c *Console) Take() (text string, dropped int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, dropped = string(c.win.live()), c.win.dropped
	c.win.consume(c.win.end())
	if c.active != nil {
		c.active.restart(c.win.start)
	}
	return text, dropped
}
