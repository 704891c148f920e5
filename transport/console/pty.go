package console

import (
	"context"
	"io"
	"sync"
	"time"
)

// PTY is a pseudo-terminal on which a program such as picocom, screen or
// minicom finds the session. Its methods may be called concurrently.
type PTY struct {
	name   string
	bridge *bridge
}

// Name returns the path of the terminal, such as /dev/pts/7.
func (p *PTY) Name() string { return p.name }

// Done is closed when the terminal is gone: after Close, when its context
// ended, or with the session.
func (p *PTY) Done() <-chan struct{} { return p.bridge.done }

// Close removes the terminal and waits for its goroutines; the session goes on.
// It may be called any number of times, and returns nil.
func (p *PTY) Close() error {
	p.bridge.stop()
	return nil
}

// end is the side of a pseudo-terminal that we hold.
type end interface {
	io.ReadWriteCloser
	SetWriteDeadline(time.Time) error
}

// bridge carries bytes between the session and a program.
type bridge struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// stop ends the bridge and waits for it.
func (b *bridge) stop() {
	b.cancel()
	<-b.done
}

// connect starts a bridge that ends with ctx, with the session, or when the
// program closes its side; atEnd is called last. The program first gets what
// nobody has consumed yet. The bridge closes e.
func (c *Console) connect(ctx context.Context, e end, atEnd func()) (*bridge, error) {
	t, _, unconsumed, err := c.watch()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	b := &bridge{cancel: cancel, done: make(chan struct{})}
	c.mu.Lock()
	if c.err == ErrClosed {
		c.mu.Unlock()
		cancel()
		c.unwatch(t)
		return nil, ErrClosed
	}
	c.guests.Add(1)
	c.mu.Unlock()

	var both sync.WaitGroup
	both.Go(func() {
		defer cancel()
		c.toProgram(ctx, e, t, unconsumed)
	})
	both.Go(func() {
		defer cancel()
		c.fromProgram(ctx, e)
	})
	go func() {
		defer c.guests.Done()
		defer close(b.done)
		select {
		case <-ctx.Done():
		case <-c.done:
			// What the board said last is still worth a moment.
			_ = e.SetWriteDeadline(time.Now().Add(leaveGrace))
			<-ctx.Done()
		}
		// Closing is what makes Read and Write return.
		e.Close()
		both.Wait()
		c.unwatch(t)
		atEnd()
	}()
	return b, nil
}

// toProgram writes what the board prints until the bridge ends.
func (c *Console) toProgram(ctx context.Context, e end, t *tap, first []byte) {
	if _, err := e.Write(first); err != nil {
		return
	}
	pass := func() bool {
		p, lost := t.take()
		if lost > 0 {
			c.log.Warn("a program on the console's pty does not keep up; output lost for it", "bytes", lost)
		}
		_, err := e.Write(p)
		return err == nil
	}
	for {
		select {
		case <-t.more:
			if !pass() {
				return
			}
		case <-c.done:
			pass()
			return
		case <-ctx.Done():
			return
		}
	}
}

// fromProgram sends what the program writes until its side is closed.
func (c *Console) fromProgram(ctx context.Context, e end) {
	buf := make([]byte, sendPiece)
	for {
		n, err := e.Read(buf)
		if n > 0 {
			if err := c.send(ctx, string(buf[:n])); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
