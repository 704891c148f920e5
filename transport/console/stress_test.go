package console_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

// TestEverythingAtOnce uses one session from many goroutines and closes it in
// the middle; the race detector and the bound of Close are the judges.
func TestEverythingAtOnce(t *testing.T) {
	here, board := net.Pipe()
	defer board.Close()
	var transcript screen
	c, err := console.New(here, console.WithTranscript(&transcript), console.WithWindow(4096))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() { io.Copy(io.Discard, board) })
	all.Go(func() {
		for {
			if _, err := board.Write([]byte("line of output\r\n=> ")); err != nil {
				return
			}
		}
	})
	matched := make(chan struct{}, 1)
	for range 2 {
		all.Go(func() {
			for {
				_, err := c.Expect(context.Background(), expect.String("=> "), expect.Regexp(regexp.MustCompile("never$")))
				if err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("Expect: %v", err)
					}
					return
				}
				select {
				case matched <- struct{}{}:
				default:
				}
			}
		})
		all.Go(func() {
			for c.SendLine(context.Background(), "command") == nil {
			}
		})
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			keys, keyboard := net.Pipe()
			defer keyboard.Close()
			if err := c.Attach(ctx, keys, io.Discard); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Attach: %v", err)
			}
		})
	}
	all.Go(func() {
		for c.Err() == nil {
			c.Tail(5)
			c.Discard()
			c.AddSecret("output")
		}
	})
	for range 100 {
		<-matched
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	board.Close()
	all.Wait()
	if !strings.Contains(transcript.String(), "line of ***") {
		t.Error("no secret was hidden")
	}
}

// TestManyStates runs regexps whose automaton has thousands of states, far more
// than its cache holds, beside package regexp.
func TestManyStates(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, pattern := range []string{`a[ab]{12}c`, `(?:a|ba){3,40}bbc`, `[^\x00-\x{10FFFF}]|(?:a.{9}b.{9}){2}c`, `\b[ab]{7}\b.*a$`} {
		t.Run(pattern, func(t *testing.T) {
			re := regexp.MustCompile(pattern)
			input := make([]byte, 2500)
			for i := range input {
				input[i] = "aabbbaé \n"[random.IntN(6)]
			}
			input[2000], input[len(input)-1] = 'c', 'c'
			here, board := net.Pipe()
			defer board.Close()
			c, err := console.New(here)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			go func() {
				for rest := input; len(rest) > 0; {
					n := min(len(rest), 1+random.IntN(100))
					if _, err := board.Write(rest[:n]); err != nil {
						return
					}
					rest = rest[n:]
				}
				board.Close()
			}()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			m, err := c.Expect(ctx, expect.Regexp(re))
			// The shortest matching prefix, found by trying.
			end := 0
			for end <= len(input) && !re.Match(input[max(0, end-200):end]) {
				end++
			}
			if end > len(input) {
				if err == nil {
					t.Errorf("found %q where there is nothing", m.Text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := len(m.Before) + len(m.Text); got != end {
				t.Errorf("match ends at %d, want %d", got, end)
			}
		})
	}
}
