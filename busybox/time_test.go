package busybox_test

import (
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/transport/console"
)

// peer is a board that is played by a test, in synctest's time.
type peer struct {
	net.Conn
	mu    sync.Mutex
	typed string
	came  chan struct{}
}

// hear collects what is typed until the console is closed.
func (p *peer) hear() {
	defer close(p.came)
	buf := make([]byte, 256)
	for {
		n, err := p.Read(buf)
		p.mu.Lock()
		p.typed += string(buf[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case p.came <- struct{}{}:
		default:
		}
	}
}

// keys is what has been typed.
func (p *peer) keys() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.typed
}

// waitFor waits until text has been typed n times, or the console is closed.
func (p *peer) waitFor(text string, n int) bool {
	for strings.Count(p.keys(), text) < n {
		if _, ok := <-p.came; !ok {
			return false
		}
	}
	return true
}

func (p *peer) say(text string) { io.WriteString(p, text) }

// played runs a test with a board that play plays, in a bubble of its own.
func played(t *testing.T, play func(*peer), test func(*testing.T, *busybox.Shell, *peer), opts ...busybox.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		p := &peer{Conn: theirs, came: make(chan struct{}, 1)}
		var playing sync.WaitGroup
		playing.Go(p.hear)
		playing.Go(func() { play(p) })
		c, err := console.New(ours)
		if err != nil {
			t.Fatal(err)
		}
		s, err := busybox.New(c, opts...)
		if err != nil {
			t.Fatal(err)
		}
		test(t, s, p)
		c.Close()
		theirs.Close()
		playing.Wait()
	})
}

func TestLoginEndsInTime(t *testing.T) {
	mine := errors.New("not bootable")
	root := busybox.Login{Username: "root", Password: "pass word"}
	for _, tc := range []struct {
		name   string
		play   func(*peer)
		login  busybox.Login
		limit  time.Duration // 0: none, the default counts
		within time.Duration // of the fake clock
		want   error
		text   string
	}{
		{"silence", func(*peer) {}, root, 0, 3 * time.Minute, context.DeadlineExceeded, "nothing at all"},
		{"silence, own deadline", func(*peer) {}, root, time.Hour, time.Hour, context.DeadlineExceeded, "nothing at all"},
		{"stops booting", func(p *peer) { p.say("Starting kernel ...\r\n\r\n") }, root, 0, 3 * time.Minute, context.DeadlineExceeded, "not answered"},
		{"deaf", func(p *peer) {
			p.say("dut login: ")
		}, root, 0, 3 * time.Minute, context.DeadlineExceeded, "line from the host to the board"},
		{"another program", func(p *peer) {
			for n := 1; p.waitFor("\n", n); n++ {
				p.say("?\r\nmonitor: ")
			}
		}, root, 0, 3 * time.Minute, context.DeadlineExceeded, "monitor:"},
		{"panic", func(p *peer) {
			p.say("Linux version 6.1.0 (gcc)\r\n[    1.000000] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n")
		}, root, 0, 3 * time.Second, busybox.ErrPanic, "Unable to mount root"},
		{"panic for want of memory", func(p *peer) {
			p.say("Linux version 6.1.0 (gcc)\r\n[    1.000000] Kernel panic - not syncing: System is deadlocked on memory\r\nOut of memory: Killed process 1\r\n")
		}, root, 0, 3 * time.Second, busybox.ErrOutOfMemory, "deadlocked"},
		{"reset", func(p *peer) {
			p.say("U-Boot 2023.01 (x)\r\nLinux version 6.1.0 (gcc)\r\nU-Boot SPL 2023.01 (x)\r\n")
		}, root, 0, 3 * time.Second, busybox.ErrReset, "U-Boot SPL"},
		{"a text that was configured", func(p *peer) { p.say("Bad Linux ARM64 Image magic!\r\n") }, root, 0, time.Second, mine, "Bad Linux"},
		{"refused after three seconds, twice", func(p *peer) {
			for n := 1; n <= 2; n++ {
				p.say("\r\ndut login: ")
				p.waitFor("root\r", n)
				p.say("root\r\nPassword: ")
				p.waitFor("pass word\r", n)
				time.Sleep(3 * time.Second)
				p.say("\r\nLogin incorrect\r\n")
			}
		}, root, 0, 20 * time.Second, busybox.ErrLoginIncorrect, `"root" was refused 2 times`},
		{"no user name", func(p *peer) { p.say("dut login: ") }, busybox.Login{}, 0, 5 * time.Second, busybox.ErrLoginRequired, "login.username"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			played(t, tc.play, func(t *testing.T, s *busybox.Shell, _ *peer) {
				c, cancel := t.Context(), func() {}
				if tc.limit > 0 {
					c, cancel = context.WithTimeout(c, tc.limit)
				}
				defer cancel()
				began := time.Now()
				err := s.Login(c)
				if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("Login: %v, want %v with %q", err, tc.want, tc.text)
				}
				if took := time.Since(began); took > tc.within {
					t.Errorf("after %v, want at most %v", took, tc.within)
				}
				if err != nil && strings.Contains(err.Error(), "pass word") {
					t.Errorf("the password is in the error: %v", err)
				}
				if _, err := s.Run(t.Context(), "true"); err == nil {
					t.Error("a command without a session")
				}
			}, busybox.WithLogin(tc.login), busybox.WithFailures(busybox.Failure{Pattern: regexp.MustCompile(`Bad Linux ARM64 Image magic!`), Err: mine}))
		})
	}
}

// A kernel that takes its time gets no more keys than wait in the smallest FIFO
// of a UART, and then the login prompt gets its answer.
func TestLoginIsPatientWhileABoardBoots(t *testing.T) {
	for _, said := range []string{
		"U-Boot 2023.01 (x)\r\n=> booti\r\n## Flattened Device Tree blob at 40000000\r\n\r\nStarting kernel ...\r\n\r\n",
		"[    3.054376] Run /init as init process\r\n[    5.646889] virtio_blk virtio0: [vda] 131072 512-byte logical blocks\r\n",
	} {
		early := ""
		played(t, func(p *peer) {
			p.say(said)
			time.Sleep(35 * time.Second)
			early = p.keys()
			p.say("\r\ndut login: ")
			p.waitFor("root\r", 1)
			p.say("root\r\n")
		}, func(t *testing.T, s *busybox.Shell, p *peer) {
			c, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := s.Login(c); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Login: %v", err)
			}
			if early != strings.Repeat("\n", len(early)) || len(early) > 3 {
				t.Errorf("typed while the board booted: %q", early)
			}
			if !strings.Contains(p.keys(), "root\r") {
				t.Errorf("the user name was not typed: %q", p.keys())
			}
		}, busybox.WithLogin(busybox.Login{Username: "root"}))
	}
}

func TestLoginIsCancelled(t *testing.T) {
	played(t, func(p *peer) { p.say("dut login: ") }, func(t *testing.T, s *busybox.Shell, _ *peer) {
		c, cancel := context.WithCancel(t.Context())
		time.AfterFunc(7*time.Second, cancel)
		began := time.Now()
		if err := s.Login(c); !errors.Is(err, context.Canceled) || time.Since(began) != 7*time.Second {
			t.Errorf("Login after %v: %v", time.Since(began), err)
		}
	}, busybox.WithLogin(busybox.Login{Username: "root"}))
}

// TestLoginAfterTheKernelStarted: a boot loader that is heard of then is a reset at
// once, and the kernel's own first words are not.
func TestLoginAfterTheKernelStarted(t *testing.T) {
	for _, tc := range []struct {
		said string
		want error
	}{
		{"\r\nU-Boot 2023.01 (x)\r\n\r\nDRAM:  1 GiB\r\n", busybox.ErrReset},
		{"[    0.000000] Booting Linux on physical CPU 0x0\r\n[    0.000000] Linux version 6.1.0 (gcc)\r\nU-Boot 2023.01 (x)\r\n", busybox.ErrReset},
		{"[    0.000000] Booting Linux on physical CPU 0x0\r\n[    0.000000] Linux version 6.1.0 (gcc)\r\n", context.DeadlineExceeded},
	} {
		played(t, func(p *peer) { p.say(tc.said) }, func(t *testing.T, s *busybox.Shell, _ *peer) {
			c, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			if err := s.Login(c); !errors.Is(err, tc.want) {
				t.Errorf("%q: %v, want %v", tc.said, err, tc.want)
			}
			if took := time.Since(began); tc.want == busybox.ErrReset && took > 5*time.Second {
				t.Errorf("%q: noticed after %v", tc.said, took)
			}
		}, busybox.WithKernelStarted())
	}
}
