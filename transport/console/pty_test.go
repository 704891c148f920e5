//go:build unix

package console_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	expect "github.com/Netflix/go-expect"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/dutflash/dutflash/transport/console"
)

// deadline is generous: these tests talk to the kernel, on a loaded machine.
const deadline = 30 * time.Second

func readSome(t *testing.T, r interface {
	io.Reader
	SetReadDeadline(time.Time) error
}, want string) {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(want))
	if n, err := io.ReadFull(r, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b[:n], err, want)
	}
}

func TestAttachPTY(t *testing.T) {
	c, board := open(t)
	say(t, board, "earlier")
	p, err := c.AttachPTY(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(p.Name(), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	readSome(t, program, "earlier")
	// Every byte passes unharmed in both directions.
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	go board.Write(all)
	readSome(t, program, string(all))
	if _, err := program.Write(all); err != nil {
		t.Fatal(err)
	}
	readSome(t, board, string(all))
	// The session has it, too.
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if _, err := c.Expect(ctx, expect.String(string(all))); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	<-p.Done()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if c.Err() != nil {
		t.Error("the session ended with the terminal")
	}
}

func TestPTYEndsWithTheSessionAndTheContext(t *testing.T) {
	c, board := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	first, err := c.AttachPTY(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-first.Done()
	second, err := c.AttachPTY(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	board.Close()
	<-second.Done()
	c.Close()
	if _, err := c.AttachPTY(t.Context()); !errors.Is(err, console.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestExpectConsole(t *testing.T) {
	c, board := open(t)
	say(t, board, "\x1b[1mlogin: ")
	ec, err := c.ExpectConsole(t.Context(), expect.WithDefaultTimeout(deadline))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ec.ExpectString("login: "); err != nil {
		t.Fatal(err)
	}
	if _, err := ec.SendLine("root\x03"); err != nil {
		t.Fatal(err)
	}
	readSome(t, board, "root\x03\n")
	board.Close()
	if _, err := ec.ExpectEOF(); err != nil {
		t.Errorf("after the port's end: %v", err)
	}
	if err := ec.Close(); err != nil {
		t.Error(err)
	}
	if c.Close() != nil {
		t.Error(err)
	}
}

func TestExpectConsoleClosedFirst(t *testing.T) {
	c, _ := open(t)
	ec, err := c.ExpectConsole(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := ec.Close(); err != nil {
		t.Error(err)
	}
	if c.Err() != nil {
		t.Error("the session ended with go-expect's console")
	}
}

// greeting has a token once something was written.
type greeting chan struct{}

func (g greeting) Write(p []byte) (int, error) {
	select {
	case g <- struct{}{}:
	default:
	}
	return len(p), nil
}

// A person at a real terminal: raw mode meanwhile, restored afterwards, and the
// key after the last is not stolen.
func TestAttachTerminal(t *testing.T) {
	ptm, pts, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ptm.Close()
	defer pts.Close()
	before, err := term.GetState(int(pts.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	c, board := open(t)
	result := make(chan error, 1)
	greeted := make(greeting, 1)
	go func() { result <- c.Attach(t.Context(), pts, greeted) }()
	<-greeted
	// In cooked mode ^C would be a signal, CR would become LF, and nothing
	// would come without a line end.
	if _, err := ptm.Write([]byte("\r\x03")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2)
	board.SetReadDeadline(time.Now().Add(deadline))
	if _, err := io.ReadFull(board, got); err != nil {
		t.Fatal(err)
	}
	if string(got) != "\r\x03" {
		t.Errorf("board got %q", got)
	}
	if _, err := ptm.Write([]byte("\x1d")); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	after, err := term.GetState(int(pts.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if *before != *after {
		t.Errorf("the terminal was not restored")
	}
	if _, err := ptm.Write([]byte("next\n")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if n, err := pts.Read(b); err != nil || string(b[:n]) != "next\n" {
		t.Errorf("the next reader of the terminal got %q, %v", b[:n], err)
	}
}

// A pipe as stdin is not read any more either, and may be closed while somebody
// is attached.
func TestAttachPipe(t *testing.T) {
	stdin, keyboard, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	c, _ := open(t)
	if _, err := keyboard.Write([]byte("\x1d")); err != nil {
		t.Fatal(err)
	}
	if err := c.Attach(t.Context(), stdin, io.Discard); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Attach(ctx, stdin, io.Discard); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := keyboard.Write([]byte("mine")); err != nil {
		t.Fatal(err)
	}
	readSome(t, stdin, "mine")
	if err := stdin.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	greeted := make(greeting, 1)
	go func() { result <- c.Attach(t.Context(), stdin, greeted) }()
	<-greeted
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
