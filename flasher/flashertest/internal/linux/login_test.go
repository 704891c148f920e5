package linux_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
	"github.com/dutflash/dutflash/transport/console"
)

// shell is a session that has not logged in.
func shell(t *testing.T, rwc net.Conn, opts ...busybox.Option) *busybox.Shell {
	t.Helper()
	c, err := console.New(rwc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := busybox.New(c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLogin(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		board linux.Login
		login busybox.Login
		want  error
	}{
		{"none", linux.Login{}, busybox.Login{}, nil},
		{"user", linux.Login{User: "root"}, busybox.Login{Username: "root"}, nil},
		{"password", linux.Login{User: "root", Password: "geheim 1", Issue: "Welcome # 1\n"}, busybox.Login{Username: "root", Password: "geheim 1"}, nil},
		{"other prompts", linux.Login{User: "root", Password: "x", Prompt: "Who are you? ", PasswordPrompt: "password for root: "}, busybox.Login{Username: "root", Password: "x", LoginPrompt: "are you?"}, nil},
		{"wrong password", linux.Login{User: "root", Password: "a"}, busybox.Login{Username: "root", Password: "b"}, busybox.ErrLoginIncorrect},
		{"wrong user", linux.Login{User: "root"}, busybox.Login{Username: "toor", Password: "b"}, busybox.ErrLoginIncorrect},
		{"user missing", linux.Login{User: "root"}, busybox.Login{}, busybox.ErrLoginRequired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := shell(t, start(t, linux.Config{Login: tc.board}), busybox.WithLogin(tc.login))
				err := s.Login(t.Context())
				if !errors.Is(err, tc.want) || err != nil && tc.want == nil {
					t.Fatalf("Login: %v, want %v", err, tc.want)
				}
				if err != nil {
					return
				}
				if out, err := s.Run(t.Context(), "id -u"); err != nil || out != "0\n" {
					t.Errorf("%q, %v", out, err)
				}
				if err := s.Interactive(t.Context()); err != nil {
					t.Error(err)
				}
				if err := s.Login(t.Context()); err != nil {
					t.Errorf("again: %v", err)
				}
			})
		})
	}
}

func TestNoControllingTTY(t *testing.T) {
	t.Parallel()
	for _, console := range []string{"/dev/console", "/dev/ttyS0"} {
		s := shell(t, start(t, linux.Config{Console: console, NoControllingTTY: true}))
		if err := s.Login(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if out, err := s.Run(testContext(t), "echo ok"); err != nil || out != "ok\n" {
			t.Errorf("%s: %q, %v", console, out, err)
		}
	}
}

func TestHungCommandsAreStopped(t *testing.T) {
	t.Parallel()
	s := session(t, linux.Config{})
	for _, cmd := range []string{
		"sleep 1000", "while :; do :; done", "cat /dev/zero >/dev/null", "(trap '' INT; sleep 1000)", "(trap '' INT QUIT; sleep 1000)",
		"sleep 1000 | cat", "mkfifo /tmp/p; cat /tmp/p", "yes >/dev/null", "x=$(sleep 1000)", "f() { f2; }; f2() { sleep 1000; }; f",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := s.Run(ctx, cmd)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, busybox.ErrShellLost) {
			t.Errorf("%s: %v", cmd, err)
		}
		if out, err := s.Run(testContext(t), "echo still here"); err != nil || out != "still here\n" {
			t.Fatalf("after %s: %q, %v", cmd, out, err)
		}
	}
}

// board runs a System whose methods the test can call.
func board(t *testing.T, cfg linux.Config) (*linux.System, net.Conn, <-chan linux.Ending) {
	t.Helper()
	host, uart := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := linux.Start(ctx, uart, cfg)
	if err != nil {
		t.Fatal(err)
	}
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		buf := make([]byte, 4096)
		for {
			n, err := uart.Read(buf)
			s.Input(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	end := make(chan linux.Ending, 1)
	waited := make(chan struct{})
	go func() { defer close(waited); end <- s.Wait() }()
	t.Cleanup(func() {
		cancel()
		uart.Close()
		host.Close()
		<-waited
		<-reading
	})
	return s, host, end
}

func TestPanicIsRecognised(t *testing.T) {
	t.Parallel()
	sys, host, end := board(t, linux.Config{})
	s := shell(t, host)
	if err := s.Login(testContext(t)); err != nil {
		t.Fatal(err)
	}
	err := s.Stream(testContext(t), "echo before; sleep 1000", func([]byte) { sys.Panic("VFS: Unable to mount root fs") })
	if !errors.Is(err, busybox.ErrPanic) || !strings.Contains(err.Error(), "Unable to mount root fs") {
		t.Errorf("Stream: %v", err)
	}
	if got := <-end; got != linux.Panicked {
		t.Errorf("the system ended by %q", got)
	}
}

func TestRebootAndPoweroff(t *testing.T) {
	t.Parallel()
	for cmd, want := range map[string]linux.Ending{"reboot": linux.Rebooted, "poweroff -f": linux.PoweredOff, "halt": linux.Halted} {
		_, host, end := board(t, linux.Config{})
		s := shell(t, host)
		if err := s.Login(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if err := s.Console().Send(testContext(t), "_fi a b 0\n#+"+cmd+"\n#.\n_fr a\n"); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-end:
			if got != want {
				t.Errorf("%s ended by %q", cmd, got)
			}
		case <-time.After(limit):
			t.Fatalf("%s does not end the system", cmd)
		}
	}
}

func TestKernelMessagesInTheMiddle(t *testing.T) {
	t.Parallel()
	sys, host, _ := board(t, linux.Config{})
	s := shell(t, host)
	if err := s.Login(testContext(t)); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				sys.Printk(4, "mmc0: card e624 is busy")
				sys.Printk(0, "an emergency that no level hides")
			}
		}
	}()
	for range 20 {
		out, err := s.Run(testContext(t), "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done; sleep 0.02; echo end")
		if err != nil || !strings.HasSuffix(out, "line 9\nend\n") || strings.Contains(out, "busy") || strings.Contains(out, "emergency") {
			t.Fatalf("%q, %v", out, err)
		}
	}
	close(stop)
	<-stopped
	if out, err := s.Run(testContext(t), "dmesg | grep -c busy"); err != nil || out == "0\n" {
		t.Errorf("dmesg: %q, %v", out, err)
	}
}

func TestNoise(t *testing.T) {
	t.Parallel()
	s := session(t, linux.Config{Noise: []linux.Noise{{Text: "link is up", Level: 0, Every: 50 * time.Millisecond, Times: 5}}})
	if _, err := s.Run(testContext(t), "while [ $(dmesg | grep -c 'link is up') -lt 5 ]; do sleep 0.05; done"); err != nil {
		t.Error(err)
	}
}
