package httpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Session is what one board gets from a [Server]: names under an unguessable
// path, counts, and an end of its own. Its methods may be called concurrently.
type Session struct {
	server *Server
	cfg    config
	prefix string // random, without slashes

	handlers sync.WaitGroup
	eventMu  sync.Mutex

	mu      sync.Mutex
	closed  bool
	entries map[string]http.Handler
	served  map[string]int64
	answers map[*answer]bool // under way
}

// Close stops serving the session's names, cuts the requests for them that are
// under way, and waits for their handlers. The server and its other sessions go
// on. Calling it again does nothing. It must not be called from a handler or
// from the function of WithEvents.
func (s *Session) Close() error {
	s.mu.Lock()
	s.closed = true
	clear(s.entries)
	for a := range s.answers {
		a.cut()
	}
	s.mu.Unlock()
	s.handlers.Wait()
	s.server.forget(s)
	return nil
}

// answer serves a request, if the name is one of the session's.
func (s *Session) answer(w http.ResponseWriter, r *http.Request, name string) bool {
	s.mu.Lock()
	h := s.entries[name]
	if h == nil || s.closed {
		s.mu.Unlock()
		return false
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	a := &answer{ResponseWriter: w, ctl: http.NewResponseController(w), cancel: cancel}
	s.answers[a] = true
	s.handlers.Add(1)
	s.mu.Unlock()
	defer s.handlers.Done()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.answers, a)
	}()
	r2 := r.Clone(ctx)
	r2.URL.Path, r2.URL.RawPath = "/"+name, ""
	h.ServeHTTP(a, r2)
	if a.isCut() {
		panic(http.ErrAbortHandler) // nobody takes what was sent for all there is
	}
	return true
}

// answer is a ResponseWriter that Close can cut, whatever deadline its handler
// sets.
type answer struct {
	http.ResponseWriter
	ctl    *http.ResponseController
	cancel context.CancelFunc

	mu   sync.Mutex
	gone bool
}

// cut makes reads and writes that wait, and all further ones, fail.
func (a *answer) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = true
	a.cancel()
	// Where a deadline cannot be set, the handler ends with its context.
	past := time.Unix(1, 0)
	_ = a.ctl.SetReadDeadline(past)
	_ = a.ctl.SetWriteDeadline(past)
}

func (a *answer) isCut() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gone
}

// deadline calls set unless the request was cut.
func (a *answer) deadline(set func(time.Time) error, t time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return net.ErrClosed
	}
	return set(t)
}

// SetReadDeadline is for http.ResponseController, as the methods below.
func (a *answer) SetReadDeadline(t time.Time) error { return a.deadline(a.ctl.SetReadDeadline, t) }

// SetWriteDeadline sets the deadline of the answer's writes.
func (a *answer) SetWriteDeadline(t time.Time) error { return a.deadline(a.ctl.SetWriteDeadline, t) }

// Unwrap gives http.ResponseController the rest.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Path returns the path of name, whether or not it is served. It is a secret
// of the session: who knows it can fetch the file.
func (s *Session) Path(name string) string {
	return "/" + s.prefix + "/" + (&url.URL{Path: name}).EscapedPath()
}

// URL returns the address of name for a board that reaches this server as
// host ("host:port"; an IPv6 host in brackets).
func (s *Session) URL(host, name string) string { return "http://" + host + s.Path(name) }

// Served returns how many body bytes of name were sent so far, of all requests
// together: never less than the clients have. It stays after Remove.
func (s *Session) Served(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served[name]
}

// Remove stops serving name; requests under way go on.
func (s *Session) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, name)
}

// Handle serves name with h, in the place of what had that name, and returns
// its path. h sees the request's path as name with a leading slash.
func (s *Session) Handle(name string, h http.Handler) (path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[name] = h
	return s.Path(name)
}

// Upload takes POST and PUT bodies of up to limit bytes at name and returns its
// path. f is called once per upload, possibly concurrently, and its error makes
// the answer a 500. A longer body makes f's read fail with ErrTooLarge and the
// answer a 413. ctx ends with the connection and with Close.
func (s *Session) Upload(name string, limit int64, f func(ctx context.Context, body io.Reader) error) (path string) {
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

func (s *Session) emit(e Event) {
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
