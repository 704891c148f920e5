//go:build linux

package serial_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/transport/serial"
)

// setBaud sets a rate and asks the kernel which one the line has.
func setBaud(t *testing.T, p io.ReadWriteCloser, line *os.File, baud int, want uint32) {
	t.Helper()
	b, ok := p.(serial.BaudRater)
	if !ok {
		t.Fatalf("%T has no baud rate", p)
	}
	if err := b.SetBaudRate(t.Context(), baud); err != nil {
		t.Error(err)
	}
	isAt(t, line, want)
}

func isAt(t *testing.T, line *os.File, want uint32) {
	t.Helper()
	tio, err := unix.IoctlGetTermios(int(line.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if tio.Cflag&unix.CBAUD != want || tio.Cflag&unix.CSTOPB == 0 {
		t.Errorf("the line's flags are %o, want the speed %o and two stop bits", tio.Cflag, want)
	}
}

// TestBaudRate: the rate of a port changes while somebody reads, and an adapter
// that comes back has it, too.
func TestBaudRate(t *testing.T) {
	deadline(t)
	name := filepath.Join(t.TempDir(), "usb-adapter")
	plug := func() (board, tty *os.File) {
		board, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tty.Close(); board.Close() })
		if err := os.Symlink(tty.Name(), name); err != nil {
			t.Fatal(err)
		}
		return board, tty
	}
	board, tty := plug()
	p, err := serial.Open(t.Context(), name+"?reopen=20s&stop=2&baud=9600")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	isAt(t, tty, unix.B9600)
	setBaud(t, p, tty, 230400, unix.B230400)
	var typed *serial.Error
	if err := p.(serial.BaudRater).SetBaudRate(t.Context(), 7); !errors.As(err, &typed) || !strings.Contains(err.Error(), "from 50 to 12000000") {
		t.Errorf("7 baud: %v", err)
	}
	isAt(t, tty, unix.B230400)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	_, second := plug()
	tty.Close()
	board.Close()
	if said, err := p.Read(make([]byte, 100)); err != nil || said == 0 {
		t.Fatalf("%d, %v", said, err)
	}
	isAt(t, second, unix.B230400)
	closes(t, p)
	if err := p.(serial.BaudRater).SetBaudRate(t.Context(), 9600); err == nil {
		t.Error("a closed port has another rate now")
	}
}

// TestNoModemLines: a pty has none.
func TestNoModemLines(t *testing.T) {
	deadline(t)
	board, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	defer tty.Close()
	for _, query := range []string{"", "?reopen=1s"} {
		p, err := serial.Open(t.Context(), tty.Name()+query)
		if err != nil {
			t.Fatal(err)
		}
		var typed *serial.Error
		if _, err := p.(serial.ModemReader).ModemLines(t.Context()); !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &typed) {
			t.Errorf("got %v, want ErrUnsupported", err)
		}
		closes(t, p)
		if _, err := p.(serial.ModemReader).ModemLines(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("of a closed port: %v", err)
		}
	}
}

// TestNoBaudRate: a console without a rate does not have the method.
func TestNoBaudRate(t *testing.T) {
	deadline(t)
	p, err := serial.Open(t.Context(), "tcp://"+echo(t, "tcp", "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, ok := p.(serial.BaudRater); ok {
		t.Errorf("%T has a baud rate", p)
	}
	if _, ok := p.(serial.ModemReader); ok {
		t.Errorf("%T has modem lines", p)
	}
}
