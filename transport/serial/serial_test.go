package serial_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/serial"
)

// echo answers every line of a connection with the same bytes.
func echo(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// deadline has a test that hangs end with the stacks of this test's process, long
// before the time of the whole run is over.
func deadline(t testing.TB) {
	t.Helper()
	name := t.Name()
	timer := time.AfterFunc(2*time.Minute, func() {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		panic(fmt.Sprintf("%s hangs:\n\n%s", name, stacks))
	})
	t.Cleanup(func() { timer.Stop() })
}

func TestOpen(t *testing.T) {
	deadline(t)
	cat := testtool.Need(t, "cat", "apt-get install coreutils")
	sock := filepath.Join(t.TempDir(), "s")
	for _, tc := range []struct{ name, url string }{
		{"tcp", "tcp://" + echo(t, "tcp", "127.0.0.1:0")},
		{"unix", "unix://" + echo(t, "unix", sock)},
		{"exec", "exec:" + cat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := serial.Open(t.Context(), tc.url)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, p, p)
			closes(t, p)
		})
	}
}

// TestCommandThatFails: what it complains about is in the error of the console.
func TestCommandThatFails(t *testing.T) {
	deadline(t)
	testtool.Need(t, "sh", "a POSIX shell")
	script := filepath.Join(t.TempDir(), "script")
	for _, tc := range []struct{ name, script, says string }{
		{"as ssh does", `echo U-Boot; echo warning >&2; printf 'host lab: \033[31mrefused\r\n' >&2; exit 255`, "exit status 255: host lab: [31mrefused"},
		{"with a lot", "i=0; while [ $i -lt 500 ]; do echo warning $i >&2; i=$((i+1)); done; exit 1", "exit status 1: warning 499"},
		{"in silence", "exit 3", "exit status 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := os.WriteFile(script, []byte(tc.script), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := serial.Open(t.Context(), "exec:sh "+script)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			_, err = io.ReadAll(p)
			if err == nil || !strings.HasSuffix(err.Error(), ": "+tc.says) {
				t.Errorf("got %v, want it to end with %q", err, tc.says)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, url := range []string{"/dev/ttyUSB0", "COM3", "/dev/ttyUSB0?baud=9600&flow=rtscts&reopen=5s&dtr=off&rts=on&hupcl=off", "tcp://[::1]:4001", "telnet://rack7",
		"telnet://rack7:4001", "rfc2217://rack7:4003?baud=9600&parity=odd", "unix:///run/x?y", "exec:ssh lab picocom", "pty:/run/dut1"} {
		if err := serial.Check(url); err != nil {
			t.Error(err)
		}
	}
}

// TestRateInTheName: other programs take /dev/ttyUSB0:115200.
func TestRateInTheName(t *testing.T) {
	none := filepath.Join(t.TempDir(), "ttyUSB0")
	for name, hint := range map[string]bool{none + ":115200": true, none + "@9600": true, none + ":1.0": false, none: false} {
		_, err := serial.Open(t.Context(), name)
		if !errors.Is(err, serial.ErrNotFound) || strings.Contains(err.Error(), "That is written "+none+"?baud=") != hint {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestMissingAdapter: at two in the morning one wants to know what is plugged in.
func TestMissingAdapter(t *testing.T) {
	for _, url := range []string{"/dev/serial/by-id/usb-FTDI_none-if00-port0?baud=9600", "/dev/ttyUSB77"} {
		_, err := serial.Open(t.Context(), url)
		if !errors.Is(err, serial.ErrNotFound) || runtime.GOOS == "linux" && !strings.Contains(err.Error(), "plugged in") {
			t.Errorf("%s: got %v, want ErrNotFound with what is plugged in", url, err)
		}
	}
}

// TestPortWithoutModemLines: what a pty cannot do is told as that.
func TestPortWithoutModemLines(t *testing.T) {
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	_, err = serial.Open(t.Context(), tty.Name()+"?dtr=off")
	if err == nil || errors.Is(err, serial.ErrNotFound) || !strings.Contains(err.Error(), "leave dtr and rts out") {
		t.Errorf("got %v, want what to do", err)
	}
}

// TestOpenLocal opens a pty's terminal as a serial port.
func TestOpenLocal(t *testing.T) {
	deadline(t)
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	p, err := serial.Open(t.Context(), tty.Name()+"?baud=9600&parity=even&stop=2&data=7")
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, p, master)
	roundTrip(t, master, p)
	// The kernel lets root open a port that is held exclusively.
	if _, err := serial.Open(t.Context(), tty.Name()); os.Geteuid() != 0 && !errors.Is(err, serial.ErrBusy) {
		t.Errorf("second opening: %v, want ErrBusy", err)
	}
	closes(t, p)
}

func roundTrip(t *testing.T, w io.Writer, r io.Reader) {
	t.Helper()
	if _, err := io.WriteString(w, "=> \r"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "=> \r" {
		t.Fatalf("read %q, %v", got, err)
	}
}

// closes checks that Close unblocks a Read and makes later calls fail.
func closes(t *testing.T, p io.ReadWriteCloser) {
	t.Helper()
	ended := make(chan error, 1)
	reading := make(chan struct{})
	go func() {
		close(reading)
		_, err := p.Read(make([]byte, 1))
		ended <- err
	}()
	<-reading
	for range 3 {
		runtime.Gosched() // most likely the Read waits by now; whether or not, it must end
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Read returned without an error after Close")
		}
	case <-time.After(time.Minute):
		t.Fatal("Close does not end a Read that waits")
	}
	var typed *serial.Error
	if _, err := p.Write([]byte("x")); !errors.Is(err, net.ErrClosed) || !errors.As(err, &typed) {
		t.Errorf("write after Close: %v, want a *serial.Error that wraps net.ErrClosed", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	deadline(t)
	regular := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(regular, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		url string
		is  error
	}{
		{"", serial.ErrURL},
		{"tcp:rack7:4001", serial.ErrURL},
		{"unix://", serial.ErrURL},
		{"exec:", serial.ErrURL},
		{"exec:no-such-command-here", serial.ErrNotFound},
		{"ftp://host", serial.ErrScheme},
		{"/dev/no-such-port", serial.ErrNotFound},
		{regular, serial.ErrNotFound},
		{"/dev/null?baud=fast", serial.ErrURL},
		{"/dev/null?baud=1", serial.ErrURL},
		{"/dev/null?speed=9600", serial.ErrURL},
		{"/dev/null?parity=some", serial.ErrURL},
		{"/dev/null?stop=1.5", serial.ErrURL},
		{"/dev/null?flow=water", serial.ErrURL},
		{"/dev/null?flow=", serial.ErrURL},
		{"/dev/null?flow=none&flow=rtscts", serial.ErrURL},
		{"rfc2217://rack7:4001?flow=rtscts", serial.ErrURL},
		{"/dev/null?baud=9600&baud=1200", serial.ErrURL},
		{"/dev/null?hupcl=maybe", serial.ErrURL},
		{"/dev/null?dtr=high", serial.ErrURL},
		{"/dev/null?data=9", serial.ErrURL},
		{"/dev/null?stop=3", serial.ErrURL},
		{"/dev/null?reopen=-1s", serial.ErrURL},
		{"/dev/null?reopen=1s&reopen=2s", serial.ErrURL},
		{"/dev/null?baud=%zz", serial.ErrURL},
		{"tcp://rack7", serial.ErrURL},
		{"tcp://rack7:4001?baud=9600", serial.ErrURL},
		{"telnet://rack7:4001?baud=9600", serial.ErrURL},
		{"telnet://", serial.ErrURL},
		{"rfc2217://", serial.ErrURL},
		{"rfc2217://rack7:4003?baud=0", serial.ErrURL},
		{"rfc2217://rack7:4003?reopen=5s", serial.ErrURL},
		{"pty:relative", serial.ErrURL},
	} {
		t.Run(tc.url, func(t *testing.T) {
			_, err := serial.Open(t.Context(), tc.url)
			var typed *serial.Error
			if !errors.Is(err, tc.is) || !errors.As(err, &typed) {
				t.Errorf("got %v, want a *serial.Error that wraps %v", err, tc.is)
			}
			// What the text alone tells is told without opening.
			checked, malformed := serial.Check(tc.url), errors.Is(tc.is, serial.ErrURL) || errors.Is(tc.is, serial.ErrScheme)
			if errors.Is(checked, tc.is) != malformed || (checked == nil) == malformed {
				t.Errorf("Check: %v", checked)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := serial.Open(ctx, "tcp://127.0.0.1:1"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func ExampleOpen() {
	console, err := serial.Open(context.Background(), "exec:cat")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer console.Close()
	fmt.Fprintln(console, "=> version")
	answer := make([]byte, 10)
	io.ReadFull(console, answer)
	fmt.Println(string(answer))
	// Output: => version
}
