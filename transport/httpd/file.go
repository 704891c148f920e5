package httpd

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// piece is how much is written at once: the grain of the count and of the
// stall detector.
const piece = 64 << 10

// File serves size bytes of content as name, in the place of what had that
// name, and returns its path. GET with ranges and HEAD are answered; content
// must allow concurrent ReadAt and stay readable until Close or until the
// requests that began before Remove have ended. Where content fails or ends
// early the connection is cut, so that the client sees a short body.
func (s *Session) File(name string, content io.ReaderAt, size int64) (path string) {
	return s.Handle(name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		c := &counted{ResponseWriter: w, s: s, ctl: http.NewResponseController(w),
			ev: Event{Name: name, Client: r.RemoteAddr, Method: r.Method, Range: r.Header.Get("Range")}}
		s.emit(c.ev)
		src := &source{SectionReader: io.NewSectionReader(content, 0, size), end: size}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", "no-store")
		http.ServeContent(c, r, "", time.Time{}, src)
		ev := c.ev
		ev.Done = true
		err := c.finish(src.err)
		if err != nil {
			ev.Err = &Error{Op: "send", Name: name, Client: r.RemoteAddr, Err: err}
		}
		s.emit(ev)
		if err != nil {
			panic(http.ErrAbortHandler) // cuts the connection
		}
	}))
}

// source remembers why reading failed.
type source struct {
	*io.SectionReader
	end int64
	pos int64
	err error
}

func (f *source) Seek(offset int64, whence int) (int64, error) {
	n, err := f.SectionReader.Seek(offset, whence)
	f.pos = n
	return n, err
}

func (f *source) Read(p []byte) (int, error) {
	n, err := f.SectionReader.Read(p)
	f.pos += int64(n)
	if err == io.EOF && f.pos < f.end {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		f.err = fmt.Errorf("%w at byte %d: %w", ErrContent, f.pos, err)
	}
	return n, err
}

// counted counts body bytes as the connection takes them. It hides ReadFrom:
// sendfile would take the whole file in one step, without a count.
type counted struct {
	http.ResponseWriter
	s      *Session
	ctl    *http.ResponseController
	ev     Event
	status int
	told   int64
	err    error
}

func (c *counted) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *counted) Write(p []byte) (total int, err error) {
	for len(p) > 0 {
		n, err := c.write(p[:min(piece, len(p))])
		total += n
		if err != nil {
			c.err = err
			return total, err
		}
		p = p[n:]
	}
	return total, nil
}

func (c *counted) write(p []byte) (int, error) {
	if err := c.ctl.SetWriteDeadline(time.Now().Add(c.s.cfg.stall)); err != nil {
		return 0, err
	}
	// It is counted before it leaves: the client may have it, and say so, before Flush
	// returns.
	c.count(int64(len(p)))
	n, err := c.ResponseWriter.Write(p)
	if err == nil {
		err = c.ctl.Flush() // what lies in a buffer here was not sent
	}
	if err != nil {
		c.count(-int64(len(p)))
		return 0, err
	}
	if c.status >= 300 {
		return n, nil
	}
	c.ev.Bytes += int64(n)
	if c.ev.Bytes-c.told >= 1<<20 {
		c.told = c.ev.Bytes
		c.s.emit(c.ev)
	}
	return n, nil
}

// count adds to what is served of the file; an error's text is not the file.
func (c *counted) count(n int64) {
	if c.status < 300 {
		c.s.mu.Lock()
		c.s.served[c.ev.Name] += n
		c.s.mu.Unlock()
	}
}

// finish tells why the client did not get what it was promised.
func (c *counted) finish(read error) error {
	switch {
	case read != nil:
		return read
	case errors.Is(c.err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w for %v after %d bytes: %w", ErrStalled, c.s.cfg.stall, c.ev.Bytes, c.err)
	case c.err != nil:
		return fmt.Errorf("%w after %d bytes: %w", ErrAborted, c.ev.Bytes, c.err)
	}
	// The connection may be kept for a later request.
	_ = c.ctl.SetWriteDeadline(time.Time{})
	return nil
}
