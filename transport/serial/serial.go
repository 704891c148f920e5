// Package serial opens a board's serial console by URL, so that a board file or
// a flag can name it in one string:
//
//	/dev/serial/by-id/usb-FTDI_...   a local port, or COM3 on Windows
//	/dev/ttyUSB0?baud=1500000        with line settings
//	tcp://rack7:4001                 a raw TCP port of a console server
//	telnet://rack7:4001              the same behind a telnet server (RFC 854, 856)
//	rfc2217://rack7:4001?baud=115200 a serial port of a server that sets its line
//	unix:///run/board.sock           a unix socket, such as QEMU's -serial
//	pty:/run/dut1                    a pty; a program that wants a serial port opens the path
//	exec:ssh lab picocom /dev/ttyS0  the standard input and output of a command
//
// Line settings of a local port, and of one behind rfc2217 (RFC 2217), are query
// parameters: baud (default 115200),
// data (5 to 8, default 8), parity (none, odd, even, mark, space; default none),
// stop (1, 1.5, 2; default 1; 1.5 of a local port needs data=5, except on Windows), dtr
// and rts (on, off; how the lines stand while the port is open; the default is what the
// driver does, which is on). Linux raises both when a port is opened, and a server of
// rfc2217 may, so that off follows a short pulse. A server that does not set its line as
// asked is [ErrRFC2217].
//
// A local port has hupcl, too (on, off; default what is set, mostly on; off on Linux
// only): with off, DTR and RTS stay as they are when the port is closed, for a board
// that their change resets.
//
// A local port has flow, too (none, rtscts, xonxoff; default none, on Linux only): with
// rtscts the port waits for the board's CTS, with xonxoff for its XON, and Ctrl-S and
// Ctrl-Q do not reach the board.
//
// A local port with reopen=30s may vanish for as long and is opened again under its
// name, as a USB adapter that resets; its /dev/serial/by-id name stays the same. What
// was said meanwhile is lost, and a line of text in the console says so.
//
// A local port is locked (flock, and TIOCEXCL), and one that is held by another
// program is [ErrBusy], on Linux with that program's name.
//
// The command of exec is split at blanks; one that needs quotes goes into a script.
// On Unix it has a session of its own: Ctrl-C at the terminal does not reach it, Close
// ends all that it started, and it cannot ask for a password there (keys and agents
// serve). One that fails ends the console with an error that has its exit status and
// the last line of its standard error.
//
// The baud rate of a local port and of one behind rfc2217 can be changed while it is
// open (see [BaudRater]), and its modem lines read (see [ModemReader]).
//
// What is opened is a bare io.ReadWriteCloser for transport/console or any other
// reader: Close unblocks a Read that waits, may be called more than once, and
// makes later calls return an error that wraps net.ErrClosed.
package serial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
)

// What a caller may want to branch on.
var (
	// ErrURL: the URL is malformed or has a setting that does not exist.
	ErrURL = errors.New("bad console URL")
	// ErrScheme: the URL's scheme is not one that this package opens.
	ErrScheme = errors.New("unknown kind of console")
	// ErrNotFound: the port is not there.
	ErrNotFound = errors.New("no such port")
	// ErrBusy: another program holds the port.
	ErrBusy = errors.New("port is busy")
	// ErrPermission: this user may not open the port.
	ErrPermission = errors.New("permission denied")
)

// Error says which operation on which console failed.
type Error struct {
	// Op is "open", "read", "write", "set baud rate" or "read modem lines".
	Op string
	// URL is the console's URL as it was given.
	URL string
	Err error
}

func (e *Error) Error() string { return fmt.Sprintf("%s console %s: %v", e.Op, e.URL, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Open opens the console that the URL names. ctx limits the opening only; a
// console that is open stays so until Close. Errors are an [*Error].
func Open(ctx context.Context, url string) (io.ReadWriteCloser, error) {
	rwc, err := open(ctx, url)
	if err != nil {
		return nil, &Error{Op: "open", URL: url, Err: err}
	}
	p := &port{rwc: rwc, url: url}
	if l, ok := rwc.(line); ok {
		return linePort{p, l}, nil
	}
	return p, nil
}

// Check returns the error that Open would return for the text of a URL alone, an
// [*Error] that wraps [ErrURL] or [ErrScheme]. It touches nothing.
func Check(url string) error {
	kind, rest := split(url)
	var err error
	switch kind {
	case "":
		if url == "" {
			err = fmt.Errorf("%w: it is empty", ErrURL)
		} else {
			_, err = parseLocal(url)
		}
	case "tcp", "telnet", "unix":
		_, err = address(kind, rest)
	case "rfc2217":
		_, _, err = parseRFC2217(rest)
	case "pty":
		err = checkPTY(rest)
	case "exec":
		if strings.TrimSpace(rest) == "" {
			err = fmt.Errorf("%w: want exec:COMMAND", ErrURL)
		}
	default:
		err = fmt.Errorf("%w: %q (known: a device path, tcp, telnet, rfc2217, unix, exec, pty)", ErrScheme, kind)
	}
	if err != nil {
		return &Error{Op: "open", URL: url, Err: err}
	}
	return nil
}

// split takes the scheme off a URL; a local port has none.
func split(url string) (scheme, rest string) {
	scheme, rest, found := strings.Cut(url, ":")
	if !found || strings.ContainsAny(scheme, `/\?`) {
		return "", url
	}
	return scheme, rest
}

func open(ctx context.Context, url string) (io.ReadWriteCloser, error) {
	if err := Check(url); err != nil {
		return nil, errors.Unwrap(err)
	}
	scheme, rest := split(url)
	switch scheme {
	case "telnet":
		return openTelnet(ctx, rest)
	case "rfc2217":
		return openRFC2217(ctx, rest)
	case "pty":
		return openPTY(rest)
	case "exec":
		return openCommand(rest)
	case "":
		return openLocal(url)
	}
	return dial(ctx, scheme, rest)
}

// address takes the slashes off, and refuses line settings where nobody would set
// them.
func address(scheme, rest string) (string, error) {
	address, ok := strings.CutPrefix(rest, "//")
	if !ok || address == "" {
		return "", fmt.Errorf("%w: want %s://ADDRESS", ErrURL, scheme)
	}
	if scheme == "unix" {
		return address, nil
	}
	if strings.ContainsAny(address, "?/@ ") {
		return "", fmt.Errorf("%w: want %s://HOST:PORT and no more (line settings are for local ports and rfc2217)", ErrURL, scheme)
	}
	if scheme == "tcp" {
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			return "", fmt.Errorf("%w: want tcp://HOST:PORT", ErrURL)
		}
	}
	return address, nil
}

func checkPTY(path string) error {
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("%w: want pty:/PATH, where the link to the other end is made", ErrURL)
	}
	return nil
}

func dial(ctx context.Context, network, rest string) (io.ReadWriteCloser, error) {
	address, err := address(network, rest)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// port gives every kind of console the same behaviour at its end.
type port struct {
	rwc    io.ReadWriteCloser
	url    string
	closed atomic.Bool
}

func (p *port) Read(b []byte) (int, error) {
	n, err := p.rwc.Read(b)
	return n, p.wrap("read", err)
}

func (p *port) Write(b []byte) (int, error) {
	n, err := p.rwc.Write(b)
	return n, p.wrap("write", err)
}

func (p *port) wrap(op string, err error) error {
	switch {
	case err == nil, errors.Is(err, io.EOF) && !p.closed.Load():
		return err
	case p.closed.Load():
		return &Error{Op: op, URL: p.url, Err: net.ErrClosed}
	}
	return &Error{Op: op, URL: p.url, Err: err}
}

// Close closes the console. Only the first call does something.
func (p *port) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	return p.rwc.Close()
}
