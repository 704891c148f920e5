package console

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// sendPiece bounds one write, so that a Send whose context ends stops soon.
const sendPiece = 1024

// Send writes data to the port as it is, at the pace of [WithPace]. Calls do
// not interleave: a second one waits for the first.
//
// It returns when the port has taken everything, or when ctx ends; the error
// then says how much the port had taken. A write that the port blocks (flow
// control) cannot be taken back: it stays in progress, and the next Send waits
// for it.
func (c *Console) Send(ctx context.Context, data string) error {
	if c.log.Enabled(ctx, slog.LevelDebug) {
		c.log.DebugContext(ctx, "console send", "bytes", len(data), "data", clip(c.Redact(data)))
	}
	return c.send(ctx, data)
}

// send is Send without a log line: what a person types is nobody's business,
// and a password that comes key by key could not be recognised.
func (c *Console) send(ctx context.Context, data string) error {
	if err := acquire(ctx, c.sendTurn, c.closing); err != nil {
		return c.fail("send", nil, err)
	}
	defer release(c.sendTurn)
	if err := c.Err(); err != nil {
		return c.fail("send", nil, err)
	}
	for sent := 0; sent < len(data); {
		piece, delay := c.cfg.pace.next(data[sent:])
		n, err := c.write(ctx, piece)
		sent += n
		if err == nil && sent < len(data) {
			err = c.pause(ctx, delay)
		}
		if err != nil {
			return c.fail("send", nil, fmt.Errorf("the port took %d of %d bytes: %w", sent, len(data), err))
		}
		if sent == len(data) {
			// The pace holds for what the next call sends, too.
			if err := c.pause(ctx, delay); err != nil {
				return c.fail("send", nil, fmt.Errorf("all %d bytes were sent, then: %w", sent, err))
			}
		}
	}
	return nil
}

// SendLine sends line and the line ending ([WithLineEnding]), as [Console.Send]
// does.
func (c *Console) SendLine(ctx context.Context, line string) error {
	return c.Send(ctx, line+c.cfg.lineEnding)
}

// next cuts the first piece off data and says how long to wait after it.
func (p Pace) next(data string) (piece string, delay time.Duration) {
	n := sendPiece
	if p.ChunkSize > 0 {
		n = min(n, p.ChunkSize)
	} else if p.ChunkDelay > 0 {
		n = 1
	}
	n = min(n, len(data))
	if p.LineDelay > 0 {
		if i := strings.IndexAny(data[:n], "\r\n"); i >= 0 {
			n = i + 1
			if data[i] == '\r' && n < len(data) && data[n] == '\n' {
				n++
			}
			return data[:n], max(p.LineDelay, p.ChunkDelay)
		}
	}
	return data[:n], p.ChunkDelay
}

// pause waits for d, or for the end of ctx or of the session.
func (c *Console) pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	case <-c.done:
		return c.Err()
	}
}

// write hands one piece to the writing goroutine and waits for its answer.
func (c *Console) write(ctx context.Context, piece string) (int, error) {
	select {
	case <-c.done:
		return 0, c.Err()
	default:
	}
	if ctx.Err() != nil {
		return 0, contextError(ctx)
	}
	job := writeJob{data: []byte(piece), result: make(chan writeResult, 1)}
	select {
	case c.writes <- job:
	case <-ctx.Done():
		return 0, fmt.Errorf("an earlier write still blocks: %w", contextError(ctx))
	case <-c.done:
		return 0, c.Err()
	}
	select {
	case r := <-job.result:
		return r.n, r.err
	case <-ctx.Done():
		return 0, fmt.Errorf("the port does not take it (flow control?): %w", contextError(ctx))
	case <-c.done:
		return 0, c.Err()
	}
}

type writeJob struct {
	data   []byte
	result chan writeResult
}

type writeResult struct {
	n   int
	err error
}

// writeLoop is the only goroutine that writes to the port, so that a Send can
// leave a write that blocks.
func (c *Console) writeLoop() {
	defer c.loops.Done()
	for {
		select {
		case job := <-c.writes:
			job.result <- c.writeAll(job.data)
		case <-c.done:
			return
		}
	}
}

func (c *Console) writeAll(data []byte) writeResult {
	total := 0
	for total < len(data) {
		n, err := c.rwc.Write(data[total:])
		total += n
		if err != nil {
			select {
			case <-c.closing:
				err = ErrClosed
			default:
				err = fmt.Errorf("%w: %w", ErrPortClosed, err)
			}
			return writeResult{total, err}
		}
		if n == 0 {
			return writeResult{total, fmt.Errorf("the port took nothing and gave no error")}
		}
	}
	return writeResult{total, nil}
}

// acquire takes a turn, as a lock that obeys a context.
func acquire(ctx context.Context, turn chan struct{}, closing <-chan struct{}) error {
	select {
	case <-closing:
		return ErrClosed
	default:
	}
	select {
	case turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for another call to finish: %w", contextError(ctx))
	case <-closing:
		return ErrClosed
	}
}

func release(turn chan struct{}) { <-turn }
