package console

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"sync"
	"time"
)

const (
	// idleTime is how long nothing must have happened at a prompt: what was typed
	// ahead of it has been echoed by then.
	idleTime = time.Second
	// idleLine is longer than any prompt.
	idleLine = 512
)

// WithIdleLines has Attach type what comes from lines, each time the newest, but only
// at a shell's prompt: into the empty line of a shell, and never into a program that
// runs. For example a shell is told so that the person's terminal has another size now.
// A line waits until it is certain that the shell waits, too: the last line of the
// console is a prompt as a whole, as prompt matches it; the command before was typed at
// such a prompt; nothing was typed behind it; and nothing happened for a second. The
// person sees what is typed. What runs when Attach is called counts as typed at a prompt.
func WithIdleLines(prompt *regexp.Regexp, lines <-chan string) AttachOption {
	return func(c *attachConfig) error {
		if prompt == nil || lines == nil {
			return errors.New("lines for an idle shell: the prompt or the channel is nil")
		}
		c.idle = &idleShell{prompt: prompt, lines: lines, clean: true}
		return nil
	}
}

// What the person does, as far as the shell is concerned.
type shellState int

const (
	shellRuns    shellState = iota // a command, or nobody knows
	shellWaits                     // at its prompt, and its line is empty
	shellIsTyped                   // its line has something
)

// idleShell follows a session to know when the shell waits for a line.
type idleShell struct {
	prompt *regexp.Regexp
	lines  <-chan string

	sending sync.Mutex // keys and lines go one after the other
	mu      sync.Mutex // what follows
	state   shellState
	clean   bool   // what runs was typed at a prompt, and nothing since
	line    []byte // the last line of the console
	since   time.Time
}

// shows takes what the board prints.
func (s *idleShell) shows(p []byte, lost bool) {
	if s == nil || len(p) == 0 && !lost {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Now()
	if lost {
		s.clean = false
	}
	if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
		s.line, p = s.line[:0], p[i+1:]
	}
	s.line = append(s.line, p...)
	if len(s.line) > idleLine { // it never matches
		s.line = s.line[:idleLine]
	}
	at := len(s.line) < idleLine && s.prompt.MatchString(Clean(string(s.line)))
	switch {
	case at && s.state == shellRuns:
		s.state = shellWaits
	case !at && s.state == shellWaits: // somebody else prints
		s.state = shellRuns
	}
}

// cursorReport is what a terminal answers to the question for the cursor, which shells
// put at their prompt. It is nothing that the person types.
var cursorReport = regexp.MustCompile(`\x1b\[\d+;\d+R`)

// types sends keys.
func (s *idleShell) types(keys []byte, send func() error) error {
	if s == nil {
		return send()
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	s.typed(keys)
	return send()
}

func (s *idleShell) typed(keys []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keys = cursorReport.ReplaceAll(keys, nil); len(keys) > 0 {
		s.since = time.Now()
		switch s.state {
		case shellWaits:
			s.state, s.clean = shellIsTyped, true
		case shellRuns:
			s.clean = false
		}
		if i := bytes.IndexAny(keys, "\r\n\x03\x04"); i >= 0 {
			s.state = shellRuns
			s.clean = s.clean && i == len(keys)-1
		}
	}
}

// tell sends a line if the shell waits for one.
func (s *idleShell) tell(send func() error) (sent bool, err error) {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	idle := s.state == shellWaits && s.clean && time.Since(s.since) >= idleTime
	if idle {
		s.state = shellRuns
	}
	s.mu.Unlock()
	if !idle {
		return false, nil
	}
	return true, send()
}

// tellIdle types the lines until ctx ends.
func (c *Console) tellIdle(ctx context.Context, s *idleShell) {
	var waiting string
	tick := time.NewTicker(idleTime / 4)
	defer tick.Stop()
	lines := s.lines
	for {
		select {
		case <-ctx.Done():
			return
		case line, ok := <-lines:
			if !ok {
				lines = nil
				continue
			}
			waiting = line
		case <-tick.C:
			if waiting == "" {
				continue
			}
			// A port that does not take it is noticed by whoever reads it.
			if sent, _ := s.tell(func() error { return c.send(ctx, waiting+"\n") }); sent {
				waiting = ""
			}
		}
	}
}
