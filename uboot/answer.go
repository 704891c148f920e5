package uboot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The echo proves what U-Boot was told, and nothing proves what it answers: the line may
// lose or change a character of an address as well. Commands that may be run more than
// once are therefore run again where their answer did not come in full, and those that
// only read until two answers are the same.

const (
	// readTries is how often a command is run whose answer the line spoilt.
	readTries = 5
	// readTime is how long U-Boot may take for a command that only looks something up.
	readTime = 10 * time.Second
)

// reading is what a command printed and how it ended.
type reading struct {
	out, err  string
	endedLine bool
}

// read runs a command that changes nothing until it has answered twice in the same way,
// or known says that the answer cannot be a spoilt one. Each answer may take so long; 0
// is for as long as ctx lets it.
func (s *Session) read(ctx context.Context, cmd string, each time.Duration, known func(out string) bool) (out string, err error) {
	var before []reading
	for range readTries {
		err = s.repeat(ctx, each, func(ctx context.Context) (err error) {
			out, err = s.run(ctx, cmd, nil)
			return err
		})
		if err == nil && known(out) || spoilt(err) || s.lost || ctx.Err() != nil || s.con.Err() != nil {
			return out, err
		}
		r := reading{out, fmt.Sprint(err), s.endedLine}
		if slices.Contains(before, r) {
			return out, err
		}
		before = append(before, r)
	}
	return out, fmt.Errorf("%w: %q answered in %d ways, last %q: check the serial cable and its ground, lower the baud rate", ErrCorrupt, cmd, len(before), out)
}

// runQuick runs a command that takes U-Boot no time.
func (s *Session) runQuick(ctx context.Context, cmd string) error {
	ctx, cancel := context.WithTimeout(ctx, min(readTime, s.cfg.timeout))
	defer cancel()
	_, err := s.run(ctx, cmd, nil)
	return err
}

// repeat does once more what comes to the same each time, where the line spoilt it.
func (s *Session) repeat(ctx context.Context, each time.Duration, once func(context.Context) error) error {
	for try := 1; ; try++ {
		limited, cancel := ctx, func() {}
		if each > 0 {
			limited, cancel = context.WithTimeout(ctx, min(each, s.cfg.timeout))
		}
		err := once(limited)
		cancel()
		if try == readTries || !spoilt(err) || s.lost || ctx.Err() != nil || s.con.Err() != nil {
			return err
		}
		s.cfg.log.Warn("The serial line spoilt a command or its answer: it is run again", "try", try, "of", readTries, "error", err)
	}
}

// spoilt says that a command was not run, or its answer not heard, for the line's sake.
func spoilt(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrEcho)
}

// nothingKnown is for an answer of which nothing is known before.
func nothingKnown(string) bool { return false }
