//go:build linux

package serial_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/serial"
)

// TestReopen: the adapter behind a by-id name resets, and comes back as another
// device.
func TestReopen(t *testing.T) {
	deadline(t)
	name := filepath.Join(t.TempDir(), "usb-adapter")
	plug := func() (board, tty *os.File) {
		board, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(tty.Name(), name); err != nil {
			t.Fatal(err)
		}
		return board, tty
	}
	board, tty := plug()
	p, err := serial.Open(t.Context(), name+"?reopen=20s")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r := bufio.NewReader(p)
	if _, err := board.WriteString("before\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "before\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	board.Close()
	plugged := make(chan [2]*os.File, 1)
	time.AfterFunc(300*time.Millisecond, func() {
		board, tty := plug()
		board.WriteString("after\n")
		plugged <- [2]*os.File{board, tty}
	})
	var heard strings.Builder
	for !strings.Contains(heard.String(), "after\n") {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		heard.WriteString(line)
	}
	if !strings.Contains(heard.String(), "vanished and came back") {
		t.Errorf("the session was not told: %q", heard.String())
	}
	if _, err := p.Write([]byte("typed")); err != nil {
		t.Error(err)
	}
	for _, f := range <-plugged {
		f.Close()
	}
}

// TestReopenGivesUp: what does not come back is an error, and Close ends the
// search.
func TestReopenGivesUp(t *testing.T) {
	deadline(t)
	for _, tc := range []struct {
		name, limit string
		close       bool
	}{{"limit", "150ms", false}, {"closed", "1h", true}} {
		t.Run(tc.name, func(t *testing.T) {
			board, tty, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(t.TempDir(), "usb-adapter")
			if err := os.Symlink(tty.Name(), name); err != nil {
				t.Fatal(err)
			}
			p, err := serial.Open(t.Context(), name+"?reopen="+tc.limit)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			tty.Close()
			board.Close()
			if tc.close {
				time.AfterFunc(50*time.Millisecond, func() { p.Close() })
			}
			_, err = p.Read(make([]byte, 16))
			if err == nil || errors.Is(err, serial.ErrNotFound) == tc.close {
				t.Errorf("got %v", err)
			}
			// The port's descriptors belong to other files by now, which Close
			// leaves alone.
			var others [8]*os.File
			for i := range others {
				if others[i], err = os.Open(os.DevNull); err != nil {
					t.Fatal(err)
				}
				defer others[i].Close()
			}
			p.Close()
			for _, other := range others {
				if _, err := other.Stat(); err != nil {
					t.Errorf("closing the port closed another file: %v", err)
				}
			}
		})
	}
}

// TestHangUp: the line is told whether to let go of DTR and RTS when it is closed.
func TestHangUp(t *testing.T) {
	deadline(t)
	for query, want := range map[string]uint32{"": unix.HUPCL, "?hupcl=on": unix.HUPCL, "?hupcl=off": 0, "?hupcl=off&flow=rtscts": 0} {
		board, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		tio, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		tio.Cflag |= unix.HUPCL // as serial drivers have it
		if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, tio); err != nil {
			t.Fatal(err)
		}
		p, err := serial.Open(t.Context(), tty.Name()+query)
		if err != nil {
			t.Fatal(err)
		}
		if tio, err = unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err != nil || tio.Cflag&unix.HUPCL != want {
			t.Errorf("%q: HUPCL is %o, %v; want %o", query, tio.Cflag&unix.HUPCL, err, want)
		}
		p.Close()
		tty.Close()
		board.Close()
	}
}

// TestFlow: the line has the flow control that the URL asks for.
func TestFlow(t *testing.T) {
	deadline(t)
	board, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	defer tty.Close()
	for _, tc := range []struct {
		query string
		cflag uint32
		iflag uint32
	}{{"flow=rtscts", unix.CRTSCTS, 0}, {"flow=xonxoff", 0, unix.IXON | unix.IXOFF}, {"flow=none", 0, 0}, {"", 0, 0}} {
		p, err := serial.Open(t.Context(), tty.Name()+"?"+tc.query)
		if err != nil {
			t.Fatal(err)
		}
		line, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if line.Cflag&unix.CRTSCTS != tc.cflag || line.Iflag&(unix.IXON|unix.IXOFF) != tc.iflag {
			t.Errorf("%s: the line's flags are %o and %o", tc.query, line.Cflag, line.Iflag)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPTY: a program that wants a serial port gets one, and socat is that program.
func TestPTY(t *testing.T) {
	deadline(t)
	socat := testtool.Need(t, "socat", "apt-get install socat")
	path := filepath.Join(t.TempDir(), "dut1")
	p, err := serial.Open(t.Context(), "pty:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	cmd := exec.CommandContext(t.Context(), socat, path+",raw,echo=0", "EXEC:cat")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	roundTrip(t, p, p)
	closes(t, p) // while socat has the other end
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link is left: %v", err)
	}
	if _, err := serial.Open(t.Context(), "pty:relative"); !errors.Is(err, serial.ErrURL) {
		t.Errorf("got %v, want ErrURL", err)
	}
}
