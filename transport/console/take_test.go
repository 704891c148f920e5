package console_test

import (
	"io"
	"net"
	"strings"
	"testing"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

// TestTakeSaysWhatWasLost: output that overflows the window between a match and
// the Take is counted, so that nobody takes the rest for all.
func TestTakeSaysWhatWasLost(t *testing.T) {
	host, board := net.Pipe()
	defer board.Close()
	c, err := console.New(host, console.WithWindow(256))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(board, "ready"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Expect(t.Context(), expect.String("ready")); err != nil {
		t.Fatal(err)
	}
	// A write to a pipe returns when it was read, and the next one when that
	// was looked at.
	for _, text := range []string{strings.Repeat("a", 1000), "b", "c"} {
		if _, err := io.WriteString(board, text); err != nil {
			t.Fatal(err)
		}
	}
	text, dropped := c.Take()
	if got := int64(len(text)) + dropped; dropped == 0 || got < 1000 || got > 1002 {
		t.Errorf("%d bytes and %d dropped, want 1000 to 1002 together", len(text), dropped)
	}
	if text, dropped := c.Take(); len(text) > 2 || dropped != 0 {
		t.Errorf("once more: %q and %d dropped", text, dropped)
	}
}
