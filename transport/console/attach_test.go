package console_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

// screen is what a person sees.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestAttach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t, console.WithSecret("hunter2"))
		keys, keyboard := net.Pipe()
		defer keys.Close()
		say(t, board, "boot\r\nlogin with hunter2\r\n# ")
		if _, err := c.Expect(t.Context(), expect.String("# ")); err != nil {
			t.Fatal(err)
		}
		var seen, capture screen
		result := make(chan error, 1)
		go func() {
			result <- c.Attach(t.Context(), keys, &seen, console.WithEscape("~."), console.WithReplay(2), console.WithCapture(&capture))
		}()
		synctest.Wait()
		if want := "[attached to the console; leave with ~ .]\r\nlogin with ***\r\n# "; seen.String() != want {
			t.Fatalf("greeting %q, want %q", seen.String(), want)
		}

		// What is typed reaches the board, a lone part of the escape sequence
		// with the key after it.
		typed := make([]byte, 6)
		read := make(chan struct{})
		go func() {
			defer close(read)
			if _, err := io.ReadFull(board, typed); err != nil {
				t.Error(err)
			}
		}()
		for _, key := range []string{"l", "s", " ", "~", "/", "\r"} {
			say(t, keyboard, key)
		}
		<-read
		if string(typed) != "ls ~/\r" {
			t.Errorf("board got %q", typed)
		}

		// Somebody else still expects, and the person sees the same.
		go func() {
			say(t, board, "my hun")
			say(t, board, "ter2\r\n# h")
		}()
		if m, err := c.Expect(t.Context(), expect.String("# ")); err != nil || m.Before != "my hunter2\r\n" {
			t.Errorf("got %+v, %v", m, err)
		}
		time.Sleep(time.Second) // of the bubble: the "h" is shown, secret or not
		if want := "my ***\r\n# h"; capture.String() != want {
			t.Errorf("capture %q, want %q", capture.String(), want)
		}

		say(t, keyboard, "~.")
		if err := <-result; err != nil {
			t.Errorf("leaving: %v", err)
		}
		if !strings.HasSuffix(seen.String(), "\r\n[left the console]\r\n") {
			t.Errorf("screen ends %q", seen.String())
		}
		// Nothing reads the keyboard any more.
		keyboard.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := keyboard.Write([]byte("x")); err == nil {
			t.Error("somebody still reads the keyboard")
		}
	})
}

func TestAttachEnds(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(c *console.Console, board, keyboard io.Closer, cancel func())
		want error
	}{
		{"port", func(_ *console.Console, board, _ io.Closer, _ func()) { board.Close() }, console.ErrPortClosed},
		{"close", func(c *console.Console, _, _ io.Closer, _ func()) { c.Close() }, net.ErrClosed},
		{"context", func(_ *console.Console, _, _ io.Closer, cancel func()) { cancel() }, context.Canceled},
		{"stdin", func(_ *console.Console, _, keyboard io.Closer, _ func()) { keyboard.Close() }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, board := open(t)
				keys, keyboard := net.Pipe()
				defer keys.Close()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				result := make(chan error, 1)
				go func() { result <- c.Attach(ctx, keys, io.Discard) }()
				synctest.Wait()
				tc.end(c, board, keyboard, cancel)
				if err := <-result; !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
			})
		})
	}
}

func TestAttachOptions(t *testing.T) {
	c, _ := open(t)
	for name, opt := range map[string]console.AttachOption{
		"escape":  console.WithEscape(""),
		"replay":  console.WithReplay(-1),
		"capture": console.WithCapture(nil),
	} {
		var ce *console.Error
		if err := c.Attach(t.Context(), strings.NewReader(""), io.Discard, opt); !errors.As(err, &ce) || ce.Op != "attach" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A screen that takes nothing must neither stop the board nor keep the person
// from leaving.
func TestAttachToABlockedScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t)
		keys, keyboard := net.Pipe()
		defer keys.Close()
		stdout, reader := net.Pipe()
		result := make(chan error, 1)
		go func() { result <- c.Attach(t.Context(), keys, stdout) }()
		chunk := strings.Repeat("x", 1<<20)
		say(t, board, chunk+"prompt")
		if _, err := c.Expect(t.Context(), expect.String("prompt")); err != nil {
			t.Fatal(err)
		}
		say(t, keyboard, "\x1d")
		if err := <-result; err == nil || !strings.Contains(err.Error(), "stdout has not taken") {
			t.Errorf("got %v", err)
		}
		reader.Close()
	})
}
