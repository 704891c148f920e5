// Package flashertest is for tests of programs that use flasher, without
// hardware. So far it is the board as far as its cables: a [Cable] has a console
// on which it says what the test wants, and a power switch that remembers; a
// [Loopback] is a network on which port 69 is never taken. It does not answer
// commands: a board that can be flashed is in examples/qemu.
package flashertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
)

// Cable is a board that prints a text whenever it is switched on, takes every
// key without an answer, and records what was done to it. It is a
// power.Controller, and Open is a flasher.OpenConsole. It may be used
// concurrently. The zero value is a silent board.
type Cable struct {
	// Says is printed on the console when the power goes on.
	Says string
	// OpenErr and PowerErr, where not nil, are what Open, and On and Off, fail
	// with. A failed Open is not recorded; a failed On or Off is, and has no
	// further effect.
	OpenErr, PowerErr error

	mu     sync.Mutex
	did    []string
	boards []net.Conn
	closed bool
	wg     sync.WaitGroup
}

// Did returns what was done so far: "open", "on" and "off" in their order.
func (c *Cable) Did() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.did)
}

// Open plugs in the console.
func (c *Cable) Open(context.Context) (io.ReadWriteCloser, error) {
	if c.OpenErr != nil {
		return nil, c.OpenErr
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	host, board := net.Pipe()
	c.did = append(c.did, "open")
	c.boards = append(c.boards, board)
	c.wg.Go(func() { io.Copy(io.Discard, board) }) // until either end is closed
	return host, nil
}

// On switches the board on: it prints Says on the console that was opened last.
func (c *Cable) On(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.did = append(c.did, "on")
	if c.PowerErr != nil {
		return c.PowerErr
	}
	if n := len(c.boards); n > 0 {
		board := c.boards[n-1]
		c.wg.Go(func() { io.WriteString(board, c.Says) }) // a closed console hears nothing
	}
	return nil
}

// Off switches the board off.
func (c *Cable) Off(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.did = append(c.did, "off")
	return c.PowerErr
}

// Close unplugs everything and waits for the goroutines of the Cable. Open and On
// then fail with an error that wraps net.ErrClosed.
func (c *Cable) Close() error {
	c.mu.Lock()
	c.closed = true
	for _, b := range c.boards {
		b.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
	return nil
}

var errClosed = fmt.Errorf("flashertest: cable: %w", net.ErrClosed)

// Loopback is a flasher.Network on 127.0.0.1 that gives every listener a free
// port, whatever address and port were asked for. The zero value works.
type Loopback struct{ config net.ListenConfig }

// Listen listens on a free TCP port.
func (l *Loopback) Listen(ctx context.Context, network, _ string) (net.Listener, error) {
	return l.config.Listen(ctx, network, "127.0.0.1:0")
}

// ListenPacket listens on a free UDP port.
func (l *Loopback) ListenPacket(ctx context.Context, network, _ string) (net.PacketConn, error) {
	return l.config.ListenPacket(ctx, network, "127.0.0.1:0")
}
