//go:build linux

package serial_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/serial"
)

// ser2net runs Debian's ser2net for a serial port that is a pty, and returns where
// it listens and the board's end of the line.
func ser2net(t *testing.T, accepter string) (address string, board *os.File) {
	t.Helper()
	bin := testtool.Need(t, "ser2net", "apt-get install ser2net")
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
		t.Fatal(err)
	}
	// An address of the loopback network that no other test listens at, so that
	// the port stays free until ser2net has it.
	l, err := net.Listen("tcp", "127.22.17.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	l.Close()
	config := filepath.Join(t.TempDir(), "ser2net.yaml")
	text := fmt.Sprintf("connection: &c\n  accepter: %s,tcp,%s\n  connector: serialdev,%s,9600n81,local\n", accepter, strings.Replace(address, ":", ",", 1), slave.Name())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := os.Create(filepath.Join(t.TempDir(), "ser2net.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd := exec.Command(bin, "-n", "-d", "-u", "-c", config)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if said, err := os.ReadFile(output.Name()); t.Failed() {
			t.Logf("ser2net said %v %s", err, said)
		}
	})
	return address, master
}

// openWhenUp opens a console of a server that was just started. Nothing but this
// connects to it: ser2net serves one connection at a time.
func openWhenUp(t *testing.T, url string) (io.ReadWriteCloser, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		p, err := serial.Open(ctx, url)
		if !errors.Is(err, unix.ECONNREFUSED) || ctx.Err() != nil {
			return p, err
		}
		<-tick.C
	}
}

// everyByte is what a line must carry unharmed.
func everyByte() []byte {
	all := make([]byte, 0, 1024)
	for i := range 256 {
		all = append(all, byte(i))
	}
	return append(all, "\xff\xff\r\n\r\x00\r\xff\xf0"...)
}

func TestSer2net(t *testing.T) {
	deadline(t)
	for _, tc := range []struct{ scheme, accepter, query string }{
		{"telnet", "telnet", ""},
		{"rfc2217", "telnet(rfc2217)", "?baud=115200&data=7&parity=even&stop=2"},
	} {
		t.Run(tc.scheme, func(t *testing.T) {
			address, board := ser2net(t, tc.accepter)
			p, err := openWhenUp(t, tc.scheme+"://"+address+tc.query)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			want := everyByte()
			if tc.query != "" { // seven bits
				want = []byte("seven bits are enough for this\r\n")
			}
			for _, way := range []struct {
				name     string
				from, to io.ReadWriter
			}{{"to the board", p, board}, {"from the board", board, p}} {
				if _, err := way.from.Write(want); err != nil {
					t.Fatalf("%s: %v", way.name, err)
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(way.to, got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %v, got %q, want %q", way.name, err, got, want)
				}
			}
			if tc.query == "" {
				return
			}
			tio, err := unix.IoctlGetTermios(int(board.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			// A pty keeps the speed and the stop bits, and no size of characters.
			if tio.Cflag&unix.CBAUD != unix.B115200 || tio.Cflag&unix.CSTOPB == 0 {
				t.Errorf("the line's flags are %o, want 115200 baud and two stop bits", tio.Cflag)
			}
			read := make(chan struct{})
			go func() { // the server's answer comes to who reads
				defer close(read)
				p.Read(make([]byte, 1))
			}()
			setBaud(t, p, board, 230400, unix.B230400)
			p.Close()
			<-read
		})
	}
}

// TestNoRFC2217: a telnet server that does not know the option is named.
func TestNoRFC2217(t *testing.T) {
	deadline(t)
	address, _ := ser2net(t, "telnet")
	_, err := openWhenUp(t, "rfc2217://"+address)
	if !errors.Is(err, serial.ErrRFC2217) || !strings.Contains(err.Error(), "telnet://") {
		t.Errorf("got %v, want ErrRFC2217 that names another way", err)
	}
}

// TestSilentRFC2217: a server that answers nothing ends with the context.
func TestSilentRFC2217(t *testing.T) {
	deadline(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	go func() {
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			c.Read(make([]byte, 1)) // it speaks first
			cancel(context.DeadlineExceeded)
			io.Copy(io.Discard, c)
		}
	}()
	if _, err := serial.Open(ctx, "rfc2217://"+l.Addr().String()); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, serial.ErrRFC2217) {
		t.Errorf("got %v, want ErrRFC2217 and the deadline", err)
	}
}

// TestModemLines checks what is said of DTR and RTS against the bytes of RFC 2217;
// TestRealLine has ser2net and a port with these lines. A server that does not do it is
// asked no more of.
func TestModemLines(t *testing.T) {
	deadline(t)
	for _, obeys := range []bool{true, false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		said := make(chan []byte, 16)
		go func() {
			defer close(said)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			for r := bufio.NewReader(c); ; {
				if _, err := r.ReadBytes(250); err != nil { // SB; DO and WILL have no answer here
					return
				}
				option, err := r.ReadBytes(240) // SE
				if err != nil {
					return
				}
				option = option[:len(option)-2]
				said <- option
				answer := append([]byte{255, 250}, option...)
				answer[3] += 100
				if option[1] == 5 && !obeys {
					answer[4]++ // it is the other way round
				}
				c.Write(append(answer, 255, 240))
			}
		}()
		p, err := serial.Open(t.Context(), "rfc2217://"+l.Addr().String()+"?baud=9600&dtr=off&rts=on")
		if obeys != (err == nil) || !obeys && !errors.Is(err, serial.ErrRFC2217) {
			t.Errorf("the server obeys %v: %v", obeys, err)
		}
		if err == nil {
			p.Close()
		}
		want := [][]byte{{44, 1, 0, 0, 0x25, 0x80}, {44, 2, 8}, {44, 3, 1}, {44, 4, 1}, {44, 5, 9}, {44, 5, 11}}
		for i := 0; obeys; i++ {
			option, ok := <-said
			if !ok {
				if i != len(want) {
					t.Errorf("it was told %d settings, want %d", i, len(want))
				}
				break
			}
			if i >= len(want) || !bytes.Equal(option, want[i]) {
				t.Errorf("setting %d is % d", i, option)
			}
		}
	}
}

// TestModemLinesOfAServer: one that says how the lines are when the connection begins,
// and when they change, need not say it again; one that never does is ErrRFC2217. For
// the answer of ser2net see TestRealLine.
func TestModemLinesOfAServer(t *testing.T) {
	deadline(t)
	for _, says := range []bool{true, false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			for r := bufio.NewReader(c); ; {
				if _, err := r.ReadBytes(250); err != nil { // SB
					return
				}
				option, err := r.ReadBytes(240) // SE
				if err != nil {
					return
				}
				if says && option[1] == 1 { // while the line is set
					c.Write([]byte("\xff\xfa\x2c\x6b\x92\xff\xf0"))
				}
				answer := append([]byte{255, 250}, option...)
				answer[3] += 100
				c.Write(answer)
				if !says && option[1] == 11 {
					cancel()
				}
			}
		}()
		p, err := serial.Open(t.Context(), "rfc2217://"+l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			io.Copy(io.Discard, p)
		}()
		got, err := p.(serial.ModemReader).ModemLines(ctx)
		if want := (serial.ModemLines{CTS: true, DCD: true}); says && (err != nil || got != want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		if !says && (!errors.Is(err, serial.ErrRFC2217) || !errors.Is(err, context.Canceled)) {
			t.Errorf("got %+v, %v, want ErrRFC2217", got, err)
		}
		p.Close()
		<-read
	}
}

// TestTelnetBothWays: a server that does not read while it has something to say
// does not hold up the reader, even when a Write waits for it.
func TestTelnetBothWays(t *testing.T) {
	deadline(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const said, typed = 64 << 10, 32 << 20 // what is typed is more than the sockets' buffers take
	typing, heard := make(chan struct{}), make(chan struct{})
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.Write([]byte("\xff\xfc\x00\xff\xfe\x00")) // it does no binary transmission
		r := bufio.NewReader(c)
		r.ReadBytes('x')
		close(typing)
		c.Write(bytes.Repeat([]byte("\r\n"), said/2))
		<-heard
		io.Copy(io.Discard, r)
	}()
	p, err := serial.Open(t.Context(), "telnet://"+l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	written := make(chan error, 1)
	go func() {
		_, err := p.Write(bytes.Repeat([]byte("x"), typed))
		written <- err
	}()
	<-typing
	if n, err := io.CopyN(io.Discard, p, said); err != nil {
		t.Errorf("%d bytes: %v", n, err)
	}
	close(heard)
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// TestBusyPortNamesItsHolder opens a port twice, which nothing but the lock keeps
// root from.
func TestBusyPortNamesItsHolder(t *testing.T) {
	deadline(t)
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	p, err := serial.Open(t.Context(), slave.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = serial.Open(t.Context(), slave.Name())
	if !errors.Is(err, serial.ErrBusy) {
		t.Fatalf("got %v, want ErrBusy", err)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("%v does not say who holds it", err)
	}
}

// FuzzTelnet: whatever a server sends, reading ends with the connection.
func FuzzTelnet(f *testing.F) {
	f.Add([]byte("hello\r\x00\xff\xff\xff\xfb\x00\xff\xfa\x2c\x65\x00\xff\xf0world"))
	f.Fuzz(func(t *testing.T, data []byte) {
		deadline(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer l.Close()
			if c, err := l.Accept(); err == nil {
				go io.Copy(io.Discard, c)
				c.Write(data)
				c.(*net.TCPConn).CloseWrite()
			}
		}()
		p, err := serial.Open(t.Context(), "telnet://"+l.Addr().String())
		if err != nil {
			return // the end came while the options were agreed on; there is nothing to read
		}
		defer p.Close()
		if out, _ := io.ReadAll(p); len(out) > len(data) {
			t.Errorf("%d bytes of data out of %d", len(out), len(data))
		}
	})
}
