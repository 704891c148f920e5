package console_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

func TestPortEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t)
		go func() {
			say(t, board, "bye\xc3")
			board.Close()
		}()
		// The last byte is no character, which only the end decides.
		m, err := c.Expect(t.Context(), expect.Regexp(regexp.MustCompile(`\x{fffd}`)))
		if err != nil || m.Before != "bye" || m.Text != "\xc3" {
			t.Errorf("got %+v, %v", m, err)
		}
		<-c.Done()
		if !errors.Is(c.Err(), console.ErrPortClosed) || !errors.Is(c.Err(), io.EOF) {
			t.Errorf("Err: %v", c.Err())
		}
		if _, err := c.Expect(t.Context(), expect.String("x")); !errors.Is(err, io.EOF) || !errors.Is(err, console.ErrPortClosed) {
			t.Errorf("Expect: %v", err)
		}
		if err := c.Send(t.Context(), "x"); !errors.Is(err, console.ErrPortClosed) {
			t.Errorf("Send: %v", err)
		}
	})
}

func TestErrorMatchers(t *testing.T) {
	for _, tc := range []struct {
		name  string
		opts  []expect.ExpectOpt
		index int
	}{
		{"eof", []expect.ExpectOpt{expect.String("never"), expect.EOF}, 1},
		{"then", []expect.ExpectOpt{expect.ExpectOpt(expect.EOF).Then(nil2)}, 0},
		{"all", []expect.ExpectOpt{expect.All(expect.EOF, expect.String("last"))}, 0},
		{"custom all", []expect.ExpectOpt{expect.All(expect.EOF, custom("last"))}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, board := open(t)
				go func() {
					say(t, board, "last words")
					board.Close()
				}()
				m, err := c.Expect(t.Context(), tc.opts...)
				if err != nil || m.Index != tc.index || m.Before != "last words" || m.Text != "" {
					t.Errorf("got %+v, %v", m, err)
				}
			})
		})
	}
}

func nil2(*bytes.Buffer) error { return nil }

func TestThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t)
		go say(t, board, "login: x# ")
		var seen string
		boom := errors.New("boom")
		m, err := c.Expect(t.Context(), expect.String("login: ").Then(func(b *bytes.Buffer) error {
			seen = b.String()
			// The session is free for the callback.
			if m, err := c.Expect(t.Context(), expect.String("# ")); err != nil || m.Before != "x" {
				t.Errorf("within the callback: %+v, %v", m, err)
			}
			return boom
		}))
		if seen != "login: " || !errors.Is(err, boom) || m == nil || m.Text != "login: " {
			t.Errorf("saw %q, got %+v, %v", seen, m, err)
		}
	})
}

func TestWithTimeoutIsForTheWholeCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t)
		// A chatty board must not keep it waiting.
		var chatter sync.WaitGroup
		defer chatter.Wait()
		defer board.Close()
		chatter.Go(func() {
			for {
				if _, err := board.Write([]byte("tick ")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		began := time.Now()
		_, err := c.Expect(t.Context(), expect.String("prompt"), expect.WithTimeout(10*time.Second))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestExpectRefuses(t *testing.T) {
	c, _ := open(t, console.WithWindow(256))
	for name, opts := range map[string][]expect.ExpectOpt{
		"nothing":        nil,
		"only a timeout": {expect.WithTimeout(time.Second)},
		"bad pattern":    {expect.RegexpPattern("(")},
		"nil option":     {nil},
		"nil regexp":     {expect.Regexp(nil)},
		"longer text":    {expect.String(strings.Repeat("x", 257))},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := c.Expect(ctx, opts...)
			var ce *console.Error
			if !errors.As(err, &ce) || ctx.Err() != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := open(t)
		reset := errors.New("board was reset")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(reset) })
		_, err := c.Expect(ctx, expect.String("x"))
		if !errors.Is(err, reset) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWindowDropsTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t, console.WithWindow(256))
		go say(t, board, strings.Repeat("x", 1000)+"=> ")
		m, err := c.Expect(t.Context(), expect.String("=> "))
		if err != nil || m.Dropped != 1003-256 || len(m.Before) != 253 {
			t.Errorf("got %d dropped, %d before, %v", m.Dropped, len(m.Before), err)
		}
		go func() {
			synctest.Wait() // what is dropped before the call is not the call's
			say(t, board, "b"+strings.Repeat("x", 1000)+"e")
		}()
		if _, err := c.Expect(t.Context(), expect.Regexp(regexp.MustCompile("bx*e"))); !errors.Is(err, console.ErrWindow) {
			t.Errorf("got %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t)
		say(t, board, "prompt")
		results := make(chan error)
		for range 3 {
			go func() {
				_, err := c.Expect(t.Context(), expect.String("never"))
				results <- err
			}()
		}
		for range 2 { // nobody reads them
			go func() { results <- c.Send(t.Context(), "x") }()
		}
		synctest.Wait()
		var closers sync.WaitGroup
		for range 3 {
			closers.Go(func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		for range 5 {
			if err := <-results; !errors.Is(err, net.ErrClosed) || !errors.Is(err, console.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		closers.Wait()
		<-c.Done()
		if _, err := c.Expect(t.Context(), expect.String("prompt")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Expect: %v", err)
		}
		if err := c.Send(t.Context(), ""); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send: %v", err)
		}
		if !errors.Is(c.Err(), net.ErrClosed) {
			t.Errorf("Err: %v", c.Err())
		}
	})
}

// stuck is a port whose Read does not come back after Close.
type stuck struct{ release chan struct{} }

func (s stuck) Read([]byte) (int, error)    { <-s.release; return 0, io.EOF }
func (s stuck) Write(p []byte) (int, error) { return len(p), nil }
func (s stuck) Close() error                { return nil }

func TestCloseOfAStuckPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port := stuck{make(chan struct{})}
		defer close(port.release)
		c, err := console.New(port)
		if err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error, 1)
		go func() {
			_, err := c.Expect(t.Context(), expect.String("x"))
			waiting <- err
		}()
		synctest.Wait()
		if err := c.Close(); err == nil || !strings.Contains(err.Error(), "did not return") {
			t.Errorf("Close: %v", err)
		}
		if err := <-waiting; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Expect: %v", err)
		}
	})
}

// polling is a port that answers as go.bug.st/serial does on a read timeout,
// but without taking time for it.
type polling struct {
	net.Conn
	mu    sync.Mutex
	reads int
}

func (p *polling) Read(b []byte) (int, error) {
	p.mu.Lock()
	p.reads++
	n := p.reads
	p.mu.Unlock()
	if n%1000 != 0 {
		return 0, nil
	}
	return p.Conn.Read(b)
}

func TestEmptyReadsDoNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, board := net.Pipe()
		port := &polling{Conn: here}
		c, err := console.New(port)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		go say(t, board, "ok")
		if _, err := c.Expect(t.Context(), expect.String("ok")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < time.Second {
			t.Errorf("999 empty reads took %v of the bubble's time: that is spinning", took)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		board.Close()
	})
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestBrokenTranscriptIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t, console.WithTranscript(broken{}))
		go say(t, board, "on we go")
		if _, err := c.Expect(t.Context(), expect.String("on we go")); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestOptionsAreValidated(t *testing.T) {
	for name, opt := range map[string]console.Option{
		"window":      console.WithWindow(0),
		"transcript":  console.WithTranscript(nil),
		"secret":      console.WithSecret(""),
		"pace":        console.WithPace(console.Pace{ChunkDelay: -1}),
		"line ending": console.WithLineEnding(""),
		"logger":      console.WithLogger(nil),
	} {
		here, board := net.Pipe()
		defer here.Close()
		defer board.Close()
		if c, err := console.New(here, opt); err == nil {
			t.Errorf("%s was accepted", name)
			c.Close()
		}
	}
	if _, err := console.New(nil); err == nil {
		t.Error("a nil port was accepted")
	}
}

func TestDiscardDuringExpect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t)
		say(t, board, "=")
		found := make(chan *console.Match, 1)
		go func() {
			m, err := c.Expect(t.Context(), expect.Regexp(regexp.MustCompile("=>")), expect.String("=>"))
			if err != nil {
				t.Error(err)
			}
			found <- m
		}()
		synctest.Wait()
		if s := c.Discard(); s != "=" {
			t.Errorf("discarded %q", s)
		}
		say(t, board, "> =>")
		if m := <-found; m.Before != "> " || m.Text != "=>" {
			t.Errorf("got %+v", m)
		}
	})
}

func TestTailLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t)
		say(t, board, "one\r\ntwo\r\n\x1b[31mthree\x1b[0m\r\nfour")
		synctest.Wait()
		c.Discard()
		for n, want := range map[int]string{0: "", 1: "four", 2: "three\nfour", 9: "one\ntwo\nthree\nfour"} {
			if got := c.Tail(n); got != want {
				t.Errorf("Tail(%d) = %q, want %q", n, got, want)
			}
		}
	})
}
