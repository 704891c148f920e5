package httpd

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Server serves one session. Its methods may be called concurrently.
type Server struct {
	cfg    config
	prefix string // random, without slashes
	srv    *http.Server

	handlers sync.WaitGroup
	serves   sync.WaitGroup
	eventMu  sync.Mutex

	mu      sync.Mutex
	closed  bool
	entries map[string]http.Handler
	served  map[string]int64
}

// New returns a server of nothing yet, with a new random prefix. It fails with
// *Error when an option is out of range.
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
	if c.stall == 0 {
		c.stall = time.Minute
	}
	s := &Server{cfg: c, prefix: rand.Text(), entries: map[string]http.Handler{}, served: map[string]int64{}}
	s.srv = &http.Server{
		Handler:           http.HandlerFunc(s.route),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // its lines may hold paths
	}
	return s, nil
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

// Path returns the path of name, whether or not it is served. It is a secret
// of the session: who knows it can fetch the file.
func (s *Server) Path(name string) string {
	return "/" + s.prefix + "/" + (&url.URL{Path: name}).EscapedPath()
}

// URL returns the address of name for a board that reaches this server as
// host ("host:port"; an IPv6 host in brackets).
func (s *Server) URL(host, name string) string { return "http://" + host + s.Path(name) }

// Served returns how many body bytes of name the sockets have accepted so far,
// of all requests together. It stays after Remove.
func (s *Server) Served(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served[name]
}

// Remove stops serving name; requests under way go on.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, name)
}

// Handle serves name with h, in the place of what had that name, and returns
// its path. h sees the request's path as name with a leading slash.
func (s *Server) Handle(name string, h http.Handler) (path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[name] = h
	return s.Path(name)
}

// Upload takes POST and PUT bodies of up to limit bytes at name and returns its
// path. f is called once per upload, possibly concurrently, and its error makes
// the answer a 500. A longer body makes f's read fail with ErrTooLarge and the
// answer a 413. ctx ends with the connection and with Close.
func (s *Server) Upload(name string, limit int64, f func(ctx context.Context, body io.Reader) error) (path string) {
	return s.Handle(name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost && r.Method != http.MethodPut {
			w.Header().Set("Allow", "POST, PUT")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		body := &uploadReader{r: http.MaxBytesReader(w, r.Body, limit), stall: s.cfg.stall, ctl: http.NewResponseController(w)}
		err := f(r.Context(), body)
		if err == nil { // what f did not read counts towards the limit too
			_, err = io.Copy(io.Discard, body)
		}
		switch {
		case body.tooLarge:
			err = fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		case err != nil:
			http.Error(w, "upload failed", http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
		if err != nil {
			err = &Error{Op: "upload", Name: name, Client: r.RemoteAddr, Err: err}
		}
		s.emit(Event{Name: name, Client: r.RemoteAddr, Method: r.Method, Bytes: body.n, Done: true, Err: err})
	}))
}

type uploadReader struct {
	r        io.Reader
	ctl      *http.ResponseController
	stall    time.Duration
	n        int64
	tooLarge bool
}

func (u *uploadReader) Read(p []byte) (int, error) {
	if err := u.ctl.SetReadDeadline(time.Now().Add(u.stall)); err != nil {
		return 0, err
	}
	n, err := u.r.Read(p)
	u.n += int64(n)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		u.tooLarge = true
		err = fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return n, err
}

// route answers everything outside the prefix alike, whatever is wrong.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.handlers.Add(1)
	s.mu.Unlock()
	defer s.handlers.Done()

	prefix, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var h http.Handler
	if subtle.ConstantTimeCompare([]byte(prefix), []byte(s.prefix)) == 1 {
		s.mu.Lock()
		h = s.entries[name]
		s.mu.Unlock()
	}
	if h == nil {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	r2 := r.Clone(r.Context())
	r2.URL.Path, r2.URL.RawPath = "/"+name, ""
	h.ServeHTTP(w, r2)
}

func (s *Server) emit(e Event) {
	if e.Done {
		s.cfg.log.Info("http request ended", "name", e.Name, "client", e.Client, "method", e.Method,
			"range", e.Range, "bytes", e.Bytes, "err", e.Err)
	}
	if s.cfg.events == nil {
		return
	}
	s.eventMu.Lock()
	defer s.eventMu.Unlock()
	s.cfg.events(e)
}
