package tftp

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
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
//
// The server's read loop gives it the acknowledgements, with no goroutine between:
// to wake one costs about as much as a packet.
type pinConn struct {
	t      *transfer
	in     chan []byte   // to pin/tftp; nil wakes its read loop
	sooner chan struct{} // an answer is due before the time that is waited for
	moved  chan struct{} // it is time to tell of progress

	mu       sync.Mutex // guards t.timing, too, while pin/tftp sends
	last     []byte     // the packet sent last
	waits    bool       // for the acknowledgement of block
	block    uint16
	acked    uint16    // the block acknowledged last
	again    bool      // last was sent more than once
	sentAt   time.Time // first
	resentAt time.Time // or sent, where it was once
	due      time.Time // when watch looks
	bytes    int64     // acknowledged
	ackedAt  time.Time
	nextTold int64 // bytes of which watch wants to know
	ended    bool
	ack      [4]byte // for in: it is taken out before the next block goes
}

// peer is the address pin/tftp believes to talk with; it wants a UDPAddr.
var peer = net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

func (c *pinConn) ReadFrom(p []byte) (int, net.Addr, error) {
	b := <-c.in
	if b == nil {
		return 0, nil, os.ErrDeadlineExceeded
	}
	return copy(p, b), &peer, nil
}

func (c *pinConn) WriteTo(p []byte, _ net.Addr) (int, error) {
	out, ended := c.sending(p)
	if ended {
		return len(p), nil
	}
	if err := c.t.write(out); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waits = false
		return 0, fmt.Errorf("write: %w", err)
	}
	return len(p), nil
}

// sending notes what is about to be sent, since its acknowledgement may come at once,
// and returns it as it goes out.
func (c *pinConn) sending(p []byte) (out []byte, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	op := binary.BigEndian.Uint16(p)
	if c.ended {
		if op != opERROR {
			c.in <- errorPacket(codeUndefined, "ended") // it reads next
		}
		return nil, true
	}
	if op == opERROR {
		return p, false
	}
	if op == opOACK && c.t.req.timeout > 0 {
		// The timing is ours, so is the answer to its option.
		p = appendOption(slices.Clone(p), "timeout", int64(c.t.req.timeout))
	}
	now := time.Now()
	c.last = append(c.last[:0], p...)
	c.waits, c.again, c.block, c.sentAt, c.resentAt = true, false, 0, now, now
	if op == opDATA {
		c.block = binary.BigEndian.Uint16(p[2:])
	}
	if now.Add(c.t.timing.wait()).Before(c.due) {
		signal(c.sooner)
	}
	return p, false
}

// signal wakes the goroutine that waits for ch, now or when it next does.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (c *pinConn) Close() error                     { return nil }
func (c *pinConn) LocalAddr() net.Addr              { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 69} }
func (c *pinConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *pinConn) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline is called by pin/tftp only to end its read loop, before each of its
// reads from then on.
func (c *pinConn) SetReadDeadline(time.Time) error {
	select {
	case c.in <- nil:
	default: // it reads what is there, and calls again
	}
	return nil
}

// acknowledge takes the client's ACK of a block and hands it over if it is the one
// waited for, once. It never blocks.
func (c *pinConn) acknowledge(block uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	timing := &c.t.timing
	if !c.waits || block != c.block {
		if block == c.acked {
			timing.echoed()
		}
		return
	}
	now := time.Now()
	took, data := now.Sub(c.sentAt), binary.BigEndian.Uint16(c.last) == opDATA
	n := int64(0)
	if data {
		n = int64(len(c.last) - 4)
	}
	c.bytes, c.ackedAt = c.bytes+n, now
	timing.answered()
	switch {
	case c.again:
		timing.doubtful(took)
	case data:
		timing.sample(took)
	default:
		timing.options(took)
	}
	c.t.s.noteAck(c.t, n)
	if n > 0 && c.bytes >= c.nextTold {
		signal(c.moved)
	}
	c.waits, c.acked = false, block
	binary.BigEndian.PutUint16(c.ack[:], opACK)
	binary.BigEndian.PutUint16(c.ack[2:], block)
	c.in <- c.ack[:]
}

// end has pin/tftp's sender stop: nothing that it writes goes out any more, and
// its next read is an ERROR packet. That packet is handed over only when the
// sender has an empty channel and reads next; one that came while the sender
// closes its channel would be a send on a closed channel.
func (c *pinConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.waits {
		c.waits = false
		c.in <- errorPacket(codeUndefined, "ended")
	}
}

// sendPlain lets pin/tftp answer the request.
func (t *transfer) sendPlain() error {
	c := &pinConn{t: t, in: make(chan []byte, 4), sooner: make(chan struct{}, 1), moved: make(chan struct{}, 1), ackedAt: t.lastAck}
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
	t.plain.Store(c)
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

// watch sends again what got no acknowledgement in time, and tells of progress, until
// pin/tftp is through (finished) or the transfer has to end.
func (t *transfer) watch(c *pinConn, result <-chan error) (err error, finished bool) {
	timer := time.NewTimer(c.next())
	defer timer.Stop()
	defer c.count()
	for {
		select {
		case err := <-result:
			return err, true
		case <-t.ctx.Done():
			return context.Cause(t.ctx), false
		case <-c.sooner:
			timer.Reset(c.next())
		case <-c.moved:
			c.count()
			t.tell()
			c.wantsToKnow(t.nextProgress)
		case <-timer.C:
			if err := c.late(); err != nil {
				return err, false
			}
			timer.Reset(c.next())
		case p := <-t.in:
			if binary.BigEndian.Uint16(p) == opERROR {
				return refusal(p), false
			}
			c.acknowledge(binary.BigEndian.Uint16(p[2:])) // from before there was a c
		}
	}
}

// next is how long to wait before [pinConn.late] may have something to do. While
// acknowledgements come, that is not told anew for each.
func (c *pinConn) next() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.due = now.Add(c.t.timing.wait())
	if c.waits {
		c.due = c.resentAt.Add(c.t.timing.wait())
	}
	return c.due.Sub(now)
}

// late sends again what has waited too long for its acknowledgement.
func (c *pinConn) late() error {
	c.count()
	p, err := c.overdue()
	if err != nil || p == nil {
		return err
	}
	c.t.retransmits++
	if err := c.t.write(p); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// overdue returns what is to be sent again, nil where pin/tftp is reading the file or
// has sent since.
func (c *pinConn) overdue() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.t
	if !c.waits || time.Since(c.resentAt) < t.timing.wait() {
		return nil, nil
	}
	what := "the options"
	if binary.BigEndian.Uint16(c.last) == opDATA {
		what = "block " + strconv.Itoa(int(t.bytes/int64(t.block))+1)
	}
	if err := t.silence(what); err != nil {
		return nil, err
	}
	c.again, c.resentAt = true, time.Now()
	return slices.Clone(c.last), nil
}

// count brings the transfer's own numbers up to date.
func (c *pinConn) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t.bytes, c.t.lastAck = c.bytes, c.ackedAt
}

// wantsToKnow has the next progress told from so many bytes on.
func (c *pinConn) wantsToKnow(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextTold = bytes
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
	// A block is smaller than what is worth asking the kernel for.
	r := &exactReader{r: bufio.NewReaderSize(io.NewSectionReader(content, 0, t.file.Size), 64<<10), left: t.file.Size}
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
