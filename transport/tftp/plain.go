package tftp

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	pin "github.com/pin/tftp/v3"
)

// pinConn is the network as one pin/tftp server sees it that serves one
// request. It hands over each acknowledgement once, and nothing that is not
// expected: pin/tftp v3.2.0 in single-port mode panics on a packet over 516
// bytes in the middle of a transfer, and on one that comes while a transfer
// closes. Timing is done outside, so its own timers never fire.
type pinConn struct {
	t    *transfer
	in   chan []byte // to pin/tftp
	wake chan struct{}
	once sync.Once
	sent chan struct{} // something was written

	mu     sync.Mutex
	last   []byte // the packet that waits for its acknowledgement
	sentAt time.Time
	ended  bool
}

// peer is the address pin/tftp believes to talk with; it wants a UDPAddr.
var peer = net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

func (c *pinConn) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case b := <-c.in:
		a := peer
		return copy(p, b), &a, nil
	default:
	}
	select {
	case b := <-c.in:
		a := peer
		return copy(p, b), &a, nil
	case <-c.wake:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (c *pinConn) WriteTo(p []byte, _ net.Addr) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		if binary.BigEndian.Uint16(p) != opERROR {
			c.in <- errorPacket(codeUndefined, "ended") // it reads next
		}
		return len(p), nil
	}
	out := append([]byte(nil), p...)
	if binary.BigEndian.Uint16(p) == opOACK && c.t.req.timeout > 0 {
		// The timing is ours, so is the answer to its option.
		out = appendOption(out, "timeout", int64(c.t.req.timeout))
	}
	if err := c.t.write(out); err != nil {
		return 0, fmt.Errorf("write: %w", err)
	}
	if binary.BigEndian.Uint16(p) != opERROR {
		c.last, c.sentAt = out, time.Now()
		select {
		case c.sent <- struct{}{}:
		default:
		}
	}
	return len(p), nil
}

func (c *pinConn) Close() error                     { return nil }
func (c *pinConn) LocalAddr() net.Addr              { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 69} }
func (c *pinConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *pinConn) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline is called by pin/tftp only to end its read loop.
func (c *pinConn) SetReadDeadline(time.Time) error {
	c.once.Do(func() { close(c.wake) })
	return nil
}

// take returns the packet that block acknowledges, once.
func (c *pinConn) take(block uint16) (p []byte, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.last) < 4 {
		return nil, at
	}
	want := uint16(0)
	if binary.BigEndian.Uint16(c.last) == opDATA {
		want = binary.BigEndian.Uint16(c.last[2:])
	}
	if block != want {
		return nil, at
	}
	p, c.last = c.last, nil
	return p, c.sentAt
}

// end has pin/tftp's sender stop: nothing that it writes goes out any more, and
// its next read is an ERROR packet. That packet is handed over only when the
// sender has an empty channel and reads next; one that came while the sender
// closes its channel would be a send on a closed channel.
func (c *pinConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.last != nil {
		c.last = nil
		c.in <- errorPacket(codeUndefined, "ended")
	}
}

func (c *pinConn) pending() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// sendPlain lets pin/tftp answer the request.
func (t *transfer) sendPlain() error {
	c := &pinConn{t: t, in: make(chan []byte, 4), wake: make(chan struct{}), sent: make(chan struct{}, 1)}
	result := make(chan error, 1)
	srv := pin.NewServer(func(_ string, rf io.ReaderFrom) error {
		err := t.feed(rf)
		result <- err
		return err
	}, nil)
	srv.EnableSinglePort()
	srv.SetBlockSizeNegotiation(false) // done by negotiate
	srv.SetBlockSize(t.block)
	srv.SetTimeout(24 * time.Hour) // ours fire first
	srv.SetRetries(1)
	c.in <- t.plainRequest()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(c) }()

	err, finished := t.watch(c, result)
	if !finished {
		t.farewell(err)
		c.end()
	}
	srv.Shutdown()
	if serveErr := <-served; err == nil && serveErr != nil {
		err = serveErr
	}
	return err
}

// watch passes acknowledgements on and sends again what got none, until
// pin/tftp is through (finished) or the transfer has to end.
func (t *transfer) watch(c *pinConn, result <-chan error) (err error, finished bool) {
	timer := time.NewTimer(t.timing.wait())
	defer timer.Stop()
	again, last := false, uint16(0) // the block acknowledged last
	for {
		select {
		case err := <-result:
			return err, true
		case <-t.ctx.Done():
			return context.Cause(t.ctx), false
		case <-c.sent:
			again = false
			timer.Reset(t.timing.wait())
		case <-timer.C:
			if len(t.in) > 0 { // an answer came in time: it is this goroutine that is late
				timer.Reset(0)
				continue
			}
			p := c.pending()
			if p == nil { // pin/tftp is reading the file
				timer.Reset(t.timing.wait())
				continue
			}
			what := "the options"
			if binary.BigEndian.Uint16(p) == opDATA {
				what = "block " + strconv.Itoa(int(t.bytes/int64(t.block))+1)
			}
			if err := t.silence(what); err != nil {
				return err, false
			}
			if err := t.write(p); err != nil {
				return fmt.Errorf("write: %w", err), false
			}
			again = true
			t.retransmits++
			timer.Reset(t.timing.wait())
		case p := <-t.in:
			if binary.BigEndian.Uint16(p) == opERROR {
				return refusal(p), false
			}
			block := binary.BigEndian.Uint16(p[2:])
			acked, at := c.take(block)
			if acked == nil {
				if block == last {
					t.timing.echoed()
				}
				continue
			}
			took, n := time.Since(at), int64(0)
			data := binary.BigEndian.Uint16(acked) == opDATA
			if data {
				n = int64(len(acked) - 4)
			}
			t.progress(n)
			switch {
			case again:
				t.timing.doubtful(took)
			case data:
				t.timing.sample(took)
			default:
				t.timing.options(took)
			}
			last = block
			c.in <- p
		}
	}
}

// feed gives pin/tftp the file. It must not see a Seeker: with netascii the
// size on the wire is another one.
func (t *transfer) feed(rf io.ReaderFrom) error {
	content, err := t.file.Open()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer content.Close()
	if o, ok := rf.(pin.OutgoingTransfer); ok && !t.req.netascii {
		o.SetSize(t.file.Size)
	}
	r := &exactReader{r: io.NewSectionReader(content, 0, t.file.Size), left: t.file.Size}
	_, err = rf.ReadFrom(r)
	return err
}

// exactReader turns an early end of the file into an error.
type exactReader struct {
	r    io.Reader
	left int64
}

func (e *exactReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if err == io.EOF && e.left > 0 {
		err = fmt.Errorf("file is %d bytes shorter than it was: %w", e.left, io.ErrUnexpectedEOF)
	}
	return n, err
}

// plainRequest is the request with the settled options, in pin/tftp's spelling.
func (t *transfer) plainRequest() []byte {
	mode := "octet"
	if t.req.netascii {
		mode = "netascii"
	}
	p := append([]byte{0, opRRQ}, t.req.name+"\x00"+mode+"\x00"...)
	if t.req.blksize > 0 {
		p = appendOption(p, "blksize", int64(t.block))
	}
	if t.req.tsize {
		p = appendOption(p, "tsize", 0)
	}
	return p
}
