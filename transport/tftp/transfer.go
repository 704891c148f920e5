package tftp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// transfer is one file on its way to one client. Its goroutine owns it, but
// for the fields that say otherwise.
type transfer struct {
	s      *Server
	wire   *wire
	end    // the client's, read-only
	req    request
	file   File
	in     chan []byte // from the read loop; full means dropped, as on a wire
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}
	plain  atomic.Pointer[pinConn] // takes the ACKs in the place of in, where pin/tftp sends

	acked   bool      // guarded by s.mu: the client answered once
	began   time.Time // read-only
	renewed bool      // guarded by s.mu: same host asked for the file again

	block, window int
	burst         int // blocks at once that the board takes; the window unless it lost bursts
	timing        timing
	bytes         int64
	retransmits   int
	lastAck       time.Time
	nextProgress  int64
}

// negotiate settles the options within the server's limits.
func (t *transfer) negotiate() {
	c := &t.s.cfg
	t.block, t.window = 512, 1
	if t.req.blksize > 0 {
		limit := c.maxBlock
		if limit == 0 {
			limit = pathBlockSize(bound(t.wire.LocalAddr()), t.key.Addr())
		}
		t.block = min(t.req.blksize, limit)
		t.req.blksize = t.block
	}
	if t.req.netascii {
		t.req.windowsize = -1 // pin/tftp translates, and has no windows
	}
	if t.req.windowsize > 0 {
		t.window = max(1, min(t.req.windowsize, c.maxWindow, (1<<20)/t.block, t.s.learnt(t.key.Addr())))
		t.req.windowsize = t.window
	}
	t.burst = t.window
	t.timing = timing{first: c.timeout, longest: c.timeout, retries: c.retries}
	if t.req.timeout > 0 {
		t.timing.longest = time.Duration(t.req.timeout) * time.Second
		t.timing.first = min(c.timeout, t.timing.longest)
	}
	t.lastAck = time.Now()
}

// own tells whether the request needs this package's sender. pin/tftp knows
// neither windows nor blocks under 512 bytes, and answers timeout only beside
// another option.
func (t *transfer) own() bool {
	if t.req.netascii {
		return false
	}
	return t.req.windowsize > 0 || t.block < 512 ||
		t.req.timeout > 0 && t.req.blksize < 0 && !t.req.tsize
}

func (t *transfer) run() {
	err := context.Cause(t.ctx) // displaced already?
	if err == nil {
		t.negotiate()
		t.s.emit(t, Started, nil)
		if t.own() {
			err = t.sendWindows()
		} else {
			err = t.sendPlain()
		}
	}
	if cause := context.Cause(t.ctx); err != nil && cause != nil {
		err = cause
	}
	if errors.Is(err, ErrSuperseded) && !t.s.wasAcked(t) {
		err = fmt.Errorf("%w, and had acknowledged nothing in %v: does a firewall keep packets from the board?", err, time.Since(t.began).Round(time.Millisecond))
	}
	if err != nil {
		t.s.emit(t, Failed, &Error{Op: "send", File: t.req.name, Client: t.addr.String(), Err: err})
		return
	}
	t.s.emit(t, Done, nil)
}

func (t *transfer) write(p []byte) error {
	return t.wire.write(p, &t.end)
}

// farewell tells the client why its transfer ends, unless it has ended it
// itself: an ERROR is never answered, and one sent to a client that repeated
// its request would kill the transfer that follows.
func (t *transfer) farewell(err error) {
	if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrSuperseded) {
		_ = t.write(errorPacket(codeUndefined, err.Error()))
	}
}

// abort tells the client why nothing more will come.
func (t *transfer) abort(code uint16, err error) error {
	_ = t.write(errorPacket(code, err.Error()))
	return err
}

// progress notes n more bytes acknowledged.
func (t *transfer) progress(n int64) {
	t.bytes += n
	t.lastAck = time.Now()
	t.timing.answered()
	t.s.noteAck(t, n)
	if n > 0 {
		t.tell()
	}
}

// tell sends an event where there is enough to tell of.
func (t *transfer) tell() {
	if t.bytes >= t.nextProgress && t.bytes < t.file.Size {
		t.nextProgress = t.bytes + max(t.file.Size/100, 1)
		t.s.emit(t, Progress, nil)
	}
}

// silence is called when a wait ended without an answer. Its error ends the
// transfer.
func (t *transfer) silence(what string) error {
	if t.s.isRenewed(t) && time.Since(t.lastAck) > time.Second {
		return ErrSuperseded
	}
	if t.timing.silence() {
		return nil
	}
	since := time.Since(t.lastAck).Round(time.Millisecond)
	if !t.s.wasAcked(t) {
		return fmt.Errorf("%w: the board never acknowledged %s in %v: does a firewall keep packets from or to the board?", ErrNoAnswer, what, since)
	}
	return fmt.Errorf("%w: the board did not acknowledge %s in %v after %d of %d bytes: reset, cable, or a window too large for its network driver?",
		ErrNoAnswer, what, since, t.bytes, t.file.Size)
}

// receive waits up to d for an ACK or ERROR of the client. ok is false when
// the wait ended.
func (t *transfer) receive(timer *time.Timer) (block uint16, ok bool, err error) {
	for {
		select {
		case <-t.ctx.Done():
			return 0, false, context.Cause(t.ctx)
		case <-timer.C:
			if len(t.in) > 0 { // an answer came in time: it is this goroutine that is late
				timer.Reset(0)
				continue
			}
			return 0, false, nil
		case p := <-t.in:
			switch binary.BigEndian.Uint16(p) {
			case opERROR:
				return 0, false, refusal(p)
			case opACK:
				return binary.BigEndian.Uint16(p[2:]), true, nil
			}
		}
	}
}

// pathBlockSize returns the largest block that is not fragmented on the
// interface towards client: its MTU less IP, UDP and TFTP headers. ip is the address
// that the server is bound to.
func pathBlockSize(ip, client netip.Addr) int {
	const ethernet = 1468
	if !ip.IsValid() {
		return ethernet
	}
	if ip.IsUnspecified() {
		// Connecting a UDP socket sends nothing; it asks for the route.
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(client, 9)))
		if err != nil {
			return ethernet
		}
		ip = c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		_ = c.Close()
	}
	ifs, err := net.Interfaces()
	if err != nil {
		return ethernet
	}
	for _, i := range ifs {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(net.IP(ip.AsSlice())) {
				headers := 20 + 8 + 4
				if ip.Is6() {
					headers += 20
				}
				return max(512, min(i.MTU-headers, 65464))
			}
		}
	}
	return ethernet
}

var errClosed = errors.New("the server was closed")
