package uboot_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/uboot"
)

// event is what went over a serial line in one direction.
type event struct {
	typed bool // by us, as opposed to printed by the board
	data  string
	title string // a heading of the file, where data is empty
}

// transcript is a recorded session: what was typed and what came back, in order.
type transcript struct {
	about  []string
	events []event
}

// save writes the transcript, one line of the console on a line.
func (tr transcript) save(path string) error {
	var b strings.Builder
	for _, line := range tr.about {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	for _, e := range tr.events {
		switch {
		case e.title != "":
			fmt.Fprintf(&b, "\n== %s\n", e.title)
		case e.typed:
			fmt.Fprintf(&b, "> %q\n", e.data)
		default:
			for line := range strings.Lines(e.data) {
				fmt.Fprintf(&b, "< %q\n", line)
			}
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// recorder keeps what goes over a port.
type recorder struct {
	mu sync.Mutex
	transcript
}

func (r *recorder) add(typed bool, p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.events); n > 0 && !typed && !r.events[n-1].typed && r.events[n-1].title == "" {
		r.events[n-1].data += string(p)
		return
	}
	r.events = append(r.events, event{typed: typed, data: string(p)})
}

func (r *recorder) heading(title string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event{title: title})
}

// recorded is a port that is recorded.
type recorded struct {
	io.ReadWriteCloser
	to *recorder
}

func (p recorded) Read(b []byte) (int, error) {
	n, err := p.ReadWriteCloser.Read(b)
	if n > 0 {
		p.to.add(false, b[:n])
	}
	return n, err
}

func (p recorded) Write(b []byte) (int, error) {
	p.to.add(true, b) // before the board can answer
	return p.ReadWriteCloser.Write(b)
}

// playback is a port that plays the board's part of a transcript and holds us to
// our own. It is for use in a synctest bubble.
type playback struct {
	piece int // how many bytes a Read gives at most; 0 is any number

	mu     sync.Mutex
	cond   *sync.Cond
	events []event
	closed bool
	title  string // of the part that was reached last
	wrong  error  // what was typed that had not been recorded
}

func newPlayback(tr transcript, piece int) *playback {
	p := &playback{piece: piece, events: slices.Clone(tr.events)}
	p.cond = sync.NewCond(&p.mu)
	return p
}

// next skips headings and returns the next event.
func (p *playback) next() *event {
	for len(p.events) > 0 && p.events[0].data == "" {
		if p.events[0].title != "" {
			p.title = p.events[0].title
		}
		p.events = p.events[1:]
	}
	if len(p.events) == 0 {
		return nil
	}
	return &p.events[0]
}

// Read gives what the board printed until we typed again.
func (p *playback) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.closed {
			return 0, io.EOF
		}
		if e := p.next(); e != nil && !e.typed {
			if p.piece > 0 {
				b = b[:min(len(b), p.piece)]
			}
			n := copy(b, e.data)
			e.data = e.data[n:]
			return n, nil
		}
		p.cond.Wait()
	}
}

// Write checks what is typed. Before and after it everything that the board had
// to say is read, so that the session sees what it saw when it was recorded.
func (p *playback) Write(b []byte) (int, error) {
	synctest.Wait()
	p.mu.Lock()
	rest := string(b)
	for rest != "" && p.wrong == nil {
		e := p.next()
		switch {
		case e == nil || !e.typed:
			p.wrong = fmt.Errorf("%s: typed %q, and nothing was when it was recorded", p.title, rest)
		case len(rest) >= len(e.data) && strings.HasPrefix(rest, e.data):
			rest, e.data = rest[len(e.data):], ""
		case strings.HasPrefix(e.data, rest):
			e.data, rest = e.data[len(rest):], ""
		default:
			p.wrong = fmt.Errorf("%s: typed %q, recorded was %q", p.title, rest, e.data)
		}
	}
	err := p.wrong
	p.cond.Broadcast()
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	synctest.Wait()
	return len(b), nil
}

func (p *playback) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.cond.Broadcast()
	return nil
}

// end says what is wrong with the session as a whole.
func (p *playback) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.next(); p.wrong == nil && e != nil && e.typed {
		return fmt.Errorf("%s: %q was recorded, and nobody typed it", p.title, e.data)
	}
	return p.wrong
}

// fixedMarkers gives the same markers in every session.
func fixedMarkers() uboot.Option {
	return uboot.WithMarkerSource(rand.NewChaCha8([32]byte([]byte("the same markers in each session"))))
}

// TestPlaybackNotices sees that a session that differs from the recorded one does
// not pass.
func TestPlaybackNotices(t *testing.T) {
	recorded := transcript{events: []event{{typed: true, data: "version\r"}, {data: "U-Boot\r\n"}, {typed: true, data: "reset\r"}}}
	for name, typed := range map[string]struct {
		lines []string
		same  bool
	}{
		"the same":     {[]string{"version\r", "reset\r"}, true},
		"in pieces":    {[]string{"ver", "sion\r", "reset\r"}, true},
		"nothing":      {nil, false},
		"too little":   {[]string{"version\r"}, false},
		"other":        {[]string{"version\r", "boot\r"}, false},
		"too much":     {[]string{"version\r", "reset\r", "x"}, false},
		"early":        {[]string{"version\rreset\r"}, false},
		"other at all": {[]string{"x"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				port := newPlayback(recorded, 0)
				c, err := console.New(port)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for _, line := range typed.lines {
					err = errors.Join(err, c.Send(t.Context(), line))
					time.Sleep(time.Millisecond)
				}
				if err := errors.Join(err, port.end()); (err == nil) != typed.same {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
