package console_test

import (
	"bufio"
	"io"
	"net"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/transport/console"
)

// TestIdleLinesWaitForSilence: what looks like a prompt and goes on within a second is
// none, as the progress of a program that ends in one, and gets no line.
func TestIdleLinesWaitForSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t)
		keys, keyboard := net.Pipe()
		defer keys.Close()
		lines := make(chan string)
		attached := make(chan error, 1)
		go func() {
			attached <- c.Attach(t.Context(), keys, io.Discard, console.WithIdleLines(regexp.MustCompile(`^/ # $`), lines))
		}()
		typed := make(chan string)
		go func() {
			defer close(typed)
			for r := bufio.NewScanner(board); r.Scan(); {
				typed <- r.Text()
			}
		}()
		lines <- "stty rows 50"
		for range 20 { // the clock is the bubble's
			say(t, board, "\r\n/ # ")
			select {
			case line := <-typed:
				t.Fatalf("%q was typed into a program that goes on", line)
			case <-time.After(900 * time.Millisecond):
			}
			say(t, board, "is what it prints")
		}
		say(t, board, "\r\n/ # ")
		if line := <-typed; line != "stty rows 50" {
			t.Errorf("%q was typed at the prompt", line)
		}
		say(t, keyboard, "\x1d")
		if err := <-attached; err != nil {
			t.Error(err)
		}
		board.Close()
		<-typed
	})
}
