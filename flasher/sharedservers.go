package flasher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"sync"

	"github.com/dutflash/dutflash/transport/httpd"
	"github.com/dutflash/dutflash/transport/tftp"
)

// Servers are a TFTP and an HTTP server that several Flashers of one process
// share, each given [WithServers], so that many boards are flashed at once through
// one port 69 and one HTTP port. What a board gets has names of its own there,
// which the others cannot guess, and goes at the end of its operation.
//
// They begin to listen with the first operation that needs them, by the network,
// bind address and HTTP port of its Flasher, and listen until Close. Flashers for
// which these are the same share one pair of ports; where they differ, as with
// virtual boards that each have a network of their own, the servers listen in each
// place once. Together with [Flasher.FlashPrepared], the image is decompressed
// once for all boards.
//
// Servers may be used concurrently.
type Servers struct {
	log  *slog.Logger
	http *httpd.Server
	wg   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	tftp    map[place]*tftp.Server
	ports   map[place]int       // of the HTTP server
	offered map[string]*servers // by TFTP file name
}

// place is where a server listens.
type place struct {
	network Network
	address string
}

// NewServers returns servers that do not listen yet. Close them after the last
// operation. What they do for all boards goes to log; nil is silence.
func NewServers(log *slog.Logger) (*Servers, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h, err := httpd.New(httpd.WithLogger(log))
	if err != nil {
		return nil, err
	}
	return &Servers{log: log, http: h, tftp: map[place]*tftp.Server{}, ports: map[place]int{}, offered: map[string]*servers{}}, nil
}

// WithServers has the Flasher use servers that others use as well. The default is
// a pair for each operation, of which only one at a time can have port 69. With
// [WithNetwork], the network must be comparable (a pointer is).
func WithServers(s *Servers) Option {
	return func(c *config) error {
		if s == nil {
			return errors.New("WithServers: the servers are nil")
		}
		c.servers = s
		return nil
	}
}

// checkServers refuses a network that cannot be told from others.
func (c *config) checkServers() error {
	if c.servers != nil && c.network != nil && !reflect.ValueOf(c.network).Comparable() {
		return fmt.Errorf("WithServers: the network (%T) cannot be compared with those of other Flashers; give a pointer to WithNetwork", c.network)
	}
	return nil
}

// Close stops listening, ends what is being served, and waits for that.
// Operations that still use the servers fail. Calling it again does nothing.
func (s *Servers) Close() error {
	s.mu.Lock()
	s.closed = true
	var errs []error
	running := s.tftp
	s.tftp = nil
	s.mu.Unlock()
	for _, t := range running {
		errs = append(errs, t.Close())
	}
	errs = append(errs, s.http.Close())
	s.wg.Wait()
	return errors.Join(errs...)
}

// listen makes sure that the servers listen where a Flasher's board looks for
// them. It returns the TFTP server, nil where a daemon's directory is used, and
// the port of the HTTP server.
func (s *Servers) listen(ctx context.Context, cfg *config) (*tftp.Server, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0, fmt.Errorf("the servers of WithServers: %w", net.ErrClosed)
	}
	var server *tftp.Server
	if cfg.servesTFTP() {
		var err error
		if server, err = s.listenTFTP(ctx, cfg); err != nil {
			return nil, 0, err
		}
	}
	at := place{cfg.network, cfg.bind(cfg.httpPort)}
	if port, ok := s.ports[at]; ok {
		return server, port, nil
	}
	l, port, err := cfg.listenHTTP(ctx, at.address)
	if err != nil {
		return nil, 0, err
	}
	s.ports[at] = port
	s.wg.Go(func() {
		s.ended("HTTP", at, s.http.Serve(l))
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.ports, at)
	})
	return server, port, nil
}

// listenTFTP returns the TFTP server of a place. Unlike the HTTP server it serves
// one socket only.
func (s *Servers) listenTFTP(ctx context.Context, cfg *config) (*tftp.Server, error) {
	at := place{cfg.network, cfg.bind(tftpPort)}
	if t := s.tftp[at]; t != nil {
		return t, nil
	}
	t, err := tftp.New(tftp.WithLogger(s.log), tftp.WithEvents(s.tftpEvent))
	if err != nil {
		return nil, err
	}
	conn, err := cfg.listenPacket(ctx, at.address)
	if err != nil {
		return nil, err
	}
	s.tftp[at] = t
	s.wg.Go(func() {
		s.ended("TFTP", at, t.Serve(conn))
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.tftp, at)
	})
	return t, nil
}

// ended reports a server that ended for another reason than its Close.
func (s *Servers) ended(server string, at place, err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Error("server of the session ended", "server", server, "address", at.address, "error", err)
	}
}

// offer serves a file over TFTP for an operation.
func (s *Servers) offer(to *servers, name string, f tftp.File) error {
	if err := to.tftp.Add(name, f); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered[name] = to
	return nil
}

// withdraw takes an operation's files back.
func (s *Servers) withdraw(from *servers) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, to := range s.offered {
		if to == from {
			from.tftp.Remove(name)
			delete(s.offered, name)
		}
	}
}

// tftpEvent tells the operation whose file it is.
func (s *Servers) tftpEvent(ev tftp.Event) {
	s.mu.Lock()
	to := s.offered[ev.File]
	s.mu.Unlock()
	if to != nil {
		to.tftpEvent(ev)
	}
}
