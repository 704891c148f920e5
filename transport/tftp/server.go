package tftp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Server serves named files. Its methods may be called concurrently.
type Server struct {
	cfg config
	wg  sync.WaitGroup // transfers

	eventMu sync.Mutex // one event at a time

	mu     sync.Mutex
	files  map[string]File
	active map[netip.AddrPort]*transfer
	slots  chan struct{} // one for each transfer that is active or about to end
	wire   *wire
	closed bool
	served chan struct{} // closed when Serve returns
	stats  Stats
	bursts map[netip.Addr]int // blocks at once that boards take which lost more
}

// New returns a server of no files yet. It fails with *Error when an option is
// out of range.
func New(opts ...Option) (*Server, error) {
	var c config
	for _, o := range opts {
		if err := o(&c); err != nil {
			return nil, err
		}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.maxWindow == 0 {
		c.maxWindow = 64
	}
	if c.timeout == 0 {
		c.timeout = time.Second
	}
	if c.retries == 0 {
		c.retries = 15 // three times what U-Boot waits before it says something again
	}
	if c.maxTransfers == 0 {
		c.maxTransfers = 64
	}
	return &Server{cfg: c, files: map[string]File{}, active: map[netip.AddrPort]*transfer{}, bursts: map[netip.Addr]int{}, served: make(chan struct{}), slots: make(chan struct{}, 2*c.maxTransfers)}, nil
}

// Add serves f as name, in the place of what had this name before; transfers
// under way keep what they began with. Names are compared byte by byte, except
// that one leading slash is ignored.
func (s *Server) Add(name string, f File) error {
	n := cleanName(name)
	if n == "" || len(n) > 255 || strings.ContainsRune(n, 0) {
		return &Error{Op: "add", File: name, Err: errors.New("the name must have 1 to 255 bytes and no NUL")}
	}
	if f.Open == nil || f.Size < 0 {
		return &Error{Op: "add", File: name, Err: errors.New("the file has no Open or a negative size")}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[n] = f
	return nil
}

// Remove stops serving name. Transfers under way go on.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, cleanName(name))
}

// Stats returns the counters as of now.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Active = len(s.active)
	return st
}

// Serve answers requests that arrive on conn until Close, then returns nil.
// conn is closed when Serve returns. A server serves one conn, once. conn's
// addresses must be *net.UDPAddr or print as host:port.
func (s *Server) Serve(conn net.PacketConn) error {
	s.mu.Lock()
	if s.closed || s.wire != nil {
		s.mu.Unlock()
		_ = conn.Close()
		return &Error{Op: "serve", Err: fmt.Errorf("closed or served before: %w", net.ErrClosed)}
	}
	s.wire = newWire(conn)
	s.mu.Unlock()
	defer close(s.served)
	err := s.read(s.wire)
	s.stop()
	s.wg.Wait()
	return err
}

func (s *Server) read(w *wire) error {
	buf := make([]byte, maxRequest+1) // one more tells a request that is too long
	for failures := 0; ; {
		n, from, ok, err := w.read(buf)
		if err != nil {
			s.mu.Lock()
			closed := s.closed
			s.mu.Unlock()
			if closed {
				return nil
			}
			// Windows reports a client's unreachable port and a datagram
			// over the buffer as errors of the next read.
			if failures++; failures > 100 || errors.Is(err, net.ErrClosed) {
				return &Error{Op: "serve", Err: err}
			}
			time.Sleep(time.Millisecond)
			continue
		}
		failures = 0
		if !ok || n < 4 {
			continue
		}
		switch op := binary.BigEndian.Uint16(buf); op {
		case opRRQ, opWRQ:
			w.know(&from)
			if err := s.request(buf[:n], from); err != nil {
				s.refuse(w, &from, err)
			}
		case opACK, opERROR:
			s.mu.Lock()
			t := s.active[from.key]
			s.mu.Unlock()
			if t == nil {
				continue
			}
			if c := t.plain.Load(); c != nil && op == opACK {
				c.acknowledge(binary.BigEndian.Uint16(buf[2:]))
				continue
			}
			if op == opACK {
				n = 4
			}
			select {
			case t.in <- append([]byte(nil), buf[:n]...):
			default:
			}
		}
	}
}

// slot waits for a place for one more transfer, but not for long: those that were
// displaced end at once. What a flood brings meanwhile waits in the socket or is lost
// there.
func (s *Server) slot() bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}

// request starts a transfer, in the place of one that the same client has.
func (s *Server) request(p []byte, from end) error {
	addr, key := from.addr, from.key
	fail := func(name string, err error) error {
		return &Error{Op: "request", File: name, Client: addr.String(), Err: err}
	}
	if binary.BigEndian.Uint16(p) == opWRQ {
		return fail("", fmt.Errorf("%w: this server is read-only", ErrRequest))
	}
	req, err := parseRequest(p)
	if err != nil {
		return fail("", err)
	}
	if !s.slot() {
		s.cfg.log.Debug("tftp request dropped", "file", req.name, "client", addr.String())
		return nil
	}
	started := false
	defer func() {
		if !started {
			<-s.slots
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fail(req.name, errClosed)
	}
	f, ok := s.files[req.name]
	if !ok {
		return fail(req.name, ErrNotFound)
	}
	old := s.active[key]
	if old != nil {
		old.cancel(ErrSuperseded)
	} else if len(s.active) >= s.cfg.maxTransfers && !s.displace() {
		return fail(req.name, fmt.Errorf("%w: all %d are under way", ErrBusy, s.cfg.maxTransfers))
	}
	for k, t := range s.active {
		if k.Addr() == key.Addr() && t.req.name == req.name {
			t.renewed = true // ends it if it has gone quiet: the board was reset
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	t := &transfer{s: s, end: from, wire: s.wire, req: req, file: f, in: make(chan []byte, 64),
		ctx: ctx, cancel: cancel, done: make(chan struct{}), began: time.Now()}
	s.active[key] = t
	s.stats.Started++
	started = true
	s.wg.Go(func() {
		defer close(t.done)
		defer cancel(nil)
		if old != nil {
			<-old.done // so that its last packets do not mix with ours
		}
		t.run()
		s.mu.Lock()
		defer s.mu.Unlock()
		<-s.slots
		if s.active[key] == t {
			delete(s.active, key)
		}
	})
	return nil
}

// displace ends a transfer that was never acknowledged, of the address that
// has the most of them, so that a flood from one does not starve the others.
func (s *Server) displace() bool {
	count := map[netip.Addr]int{}
	var victim *transfer
	for _, t := range s.active {
		if !t.acked {
			count[t.key.Addr()]++
		}
	}
	for _, t := range s.active {
		if t.acked {
			continue
		}
		if victim == nil || count[t.key.Addr()] > count[victim.key.Addr()] ||
			t.key.Addr() == victim.key.Addr() && t.began.Before(victim.began) {
			victim = t
		}
	}
	if victim == nil {
		return false
	}
	victim.cancel(ErrBusy)
	delete(s.active, victim.key)
	return true
}

func (s *Server) refuse(w *wire, to *end, err error) {
	e := err.(*Error)
	code := uint16(codeUndefined)
	switch {
	case errors.Is(err, ErrNotFound):
		code = codeNotFound
	case errors.Is(err, ErrRequest):
		code = codeIllegal
		if strings.Contains(e.Err.Error(), "read-only") {
			code = codeAccess
		}
	}
	_ = w.write(errorPacket(code, e.Err.Error()), to)
	s.cfg.log.Warn("tftp request refused", "file", e.File, "client", e.Client, "err", e.Err)
	s.mu.Lock()
	s.stats.Failed++
	s.mu.Unlock()
	s.send(Event{Kind: Failed, File: e.File, Client: to.addr, Err: err})
}

func (s *Server) emit(t *transfer, k Kind, err error) {
	if k == Done || k == Failed {
		s.mu.Lock()
		if k == Done {
			s.stats.Done++
		} else {
			s.stats.Failed++
		}
		s.stats.Retransmits += int64(t.retransmits)
		s.mu.Unlock()
		s.cfg.log.Info("tftp transfer ended", "file", t.req.name, "client", t.addr.String(), "bytes", t.bytes,
			"blksize", t.block, "windowsize", t.window, "burst", t.burst, "retransmits", t.retransmits, "err", err)
	}
	s.send(Event{Kind: k, File: t.req.name, Client: t.addr, Bytes: t.bytes, Size: t.file.Size,
		BlockSize: t.block, WindowSize: t.window, Burst: t.burst, Retransmits: t.retransmits, Err: err})
}

func (s *Server) send(e Event) {
	if s.cfg.events == nil {
		return
	}
	s.eventMu.Lock()
	defer s.eventMu.Unlock()
	s.cfg.events(e)
}

func (s *Server) noteAck(t *transfer, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.acked = true
	s.stats.Bytes += n
}

func (s *Server) isRenewed(t *transfer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.renewed
}

func (s *Server) wasAcked(t *transfer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.acked
}

// maxBursts bounds what is remembered of boards that lose bursts.
const maxBursts = 1024

// learn remembers that board takes no more than burst blocks at once.
func (s *Server) learn(board netip.Addr, burst int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, known := s.bursts[board]; known || len(s.bursts) < maxBursts {
		s.bursts[board] = burst
		if known {
			s.bursts[board] = min(n, burst)
		}
	}
}

// learnt returns how many blocks at once board takes.
func (s *Server) learnt(board netip.Addr) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, known := s.bursts[board]; known {
		return n
	}
	return 65535
}

// stop ends everything without waiting.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, t := range s.active {
		t.cancel(errClosed)
	}
	if s.wire != nil {
		_ = s.wire.Close()
	}
}

// Close ends all transfers, closes the connection given to Serve and waits
// until every goroutine has ended and Serve is about to return. Calling it
// again does nothing. It must not be called from the function of WithEvents.
func (s *Server) Close() error {
	s.stop()
	s.mu.Lock()
	serving := s.wire != nil
	s.mu.Unlock()
	if serving {
		<-s.served
	}
	s.wg.Wait()
	return nil
}

// addrPort returns a client's address as a map key.
func addrPort(a net.Addr) (netip.AddrPort, bool) {
	var ap netip.AddrPort
	if u, ok := a.(*net.UDPAddr); ok {
		ap = u.AddrPort()
	} else {
		var err error
		if ap, err = netip.ParseAddrPort(a.String()); err != nil {
			return ap, false
		}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), ap.IsValid()
}
