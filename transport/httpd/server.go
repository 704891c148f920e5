package httpd

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Server serves one session, or with [Server.NewSession] several that share its
// listeners and know nothing of each other. Its methods may be called
// concurrently.
type Server struct {
	cfg config
	own *Session
	srv *http.Server

	handlers sync.WaitGroup
	serves   sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	sessions []*Session
}

// New returns a server of nothing yet, with a new random prefix. It fails with
// *Error when an option is out of range.
func New(opts ...Option) (*Server, error) {
	c := config{log: slog.New(slog.DiscardHandler), stall: time.Minute}
	for _, o := range opts {
		if err := o(&c); err != nil {
			return nil, err
		}
	}
	s := &Server{cfg: c}
	s.srv = &http.Server{
		Handler:           http.HandlerFunc(s.route),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // its lines may hold paths
	}
	var err error
	s.own, err = s.NewSession()
	return s, err
}

// NewSession returns a session of its own on the server's listeners, with a new
// random prefix. It has the server's settings where the options give no others.
// It fails with *Error when an option is out of range, and after Close with one
// that wraps net.ErrClosed.
func (s *Server) NewSession(opts ...Option) (*Session, error) {
	c := s.cfg
	for _, o := range opts {
		if err := o(&c); err != nil {
			return nil, err
		}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	n := &Session{server: s, cfg: c, prefix: rand.Text(), entries: map[string]http.Handler{},
		served: map[string]int64{}, answers: map[*answer]bool{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &Error{Op: "session", Err: net.ErrClosed}
	}
	s.sessions = append(s.sessions, n)
	return n, nil
}

// Serve answers on l until Close, then returns nil. It may be called for
// several listeners; each is closed when its Serve returns. After Close it
// returns an error that wraps net.ErrClosed.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = l.Close()
		return &Error{Op: "serve", Err: net.ErrClosed}
	}
	s.serves.Add(1)
	s.mu.Unlock()
	defer s.serves.Done()
	if err := s.srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return &Error{Op: "serve", Err: err}
	}
	return nil
}

// Close stops listening, cuts all connections and waits for Serve and for the
// handlers to end. Calling it again does nothing. It must not be called from a
// handler or from the function of WithEvents.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.srv.Close()
	s.serves.Wait()
	s.handlers.Wait()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

// Path is [Session.Path] of the server's own session.
func (s *Server) Path(name string) string { return s.own.Path(name) }

// URL is [Session.URL] of the server's own session.
func (s *Server) URL(host, name string) string { return s.own.URL(host, name) }

// Served is [Session.Served] of the server's own session.
func (s *Server) Served(name string) int64 { return s.own.Served(name) }

// Remove is [Session.Remove] of the server's own session.
func (s *Server) Remove(name string) { s.own.Remove(name) }

// Handle is [Session.Handle] of the server's own session.
func (s *Server) Handle(name string, h http.Handler) (path string) { return s.own.Handle(name, h) }

// File is [Session.File] of the server's own session.
func (s *Server) File(name string, content io.ReaderAt, size int64) (path string) {
	return s.own.File(name, content, size)
}

// Upload is [Session.Upload] of the server's own session.
func (s *Server) Upload(name string, limit int64, f func(ctx context.Context, body io.Reader) error) (path string) {
	return s.own.Upload(name, limit, f)
}

// route answers everything outside the prefixes alike, whatever is wrong.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.handlers.Add(1)
	sessions := s.sessions // never changed in place
	s.mu.Unlock()
	defer s.handlers.Done()

	prefix, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var found *Session
	for _, n := range sessions {
		if subtle.ConstantTimeCompare([]byte(prefix), []byte(n.prefix)) == 1 {
			found = n
		}
	}
	if found == nil || !found.answer(w, r, name) {
		http.Error(w, "404 page not found", http.StatusNotFound)
	}
}

// forget takes a session that was closed out of the server.
func (s *Server) forget(n *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = slices.DeleteFunc(slices.Clone(s.sessions), func(o *Session) bool { return o == n })
}
