package linux_test

import (
	"context"
	"flag"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
	"github.com/dutflash/dutflash/transport/console"
)

const limit = 40 * time.Second

// TestMain lets more tests run at once than there are processors: they mostly
// wait for a board that says nothing.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return c
}

// start runs a simulated board and returns the host's end of its console.
func start(t *testing.T, cfg linux.Config) net.Conn {
	t.Helper()
	host, board := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := linux.Run(ctx, board, cfg); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(limit):
			t.Error("the simulated board does not end")
		}
		board.Close()
		host.Close()
	})
	return host
}

// session logs into a simulated board.
func session(t *testing.T, cfg linux.Config) *busybox.Shell {
	t.Helper()
	c, err := console.New(start(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := busybox.New(c, busybox.WithLogin(busybox.Login{Username: cfg.Login.User, Password: cfg.Login.Password}))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Login(testContext(t)); err != nil {
		t.Fatalf("Login: %v", err)
	}
	return s
}

func TestSessionRunsCommands(t *testing.T) {
	t.Parallel()
	s := session(t, linux.Config{})
	for _, tc := range []struct{ cmd, want string }{
		{"echo hello", "hello\n"},
		{"x=3; echo $((x*14))", "42\n"},
		{"for i in a b c; do printf '%s,' $i; done; echo", "a,b,c,\n"},
		{"printf abc | sha256sum", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n"},
		{"cat <<X\nhi $((1+1))\nX", "hi 2\n"},
	} {
		out, err := s.Run(testContext(t), tc.cmd)
		if err != nil || out != tc.want {
			t.Errorf("Run(%q) = %q, %v, want %q", tc.cmd, out, err, tc.want)
		}
	}
	if _, err := s.Run(testContext(t), "nosuchprogram"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("an unknown program: %v", err)
	}
	tools, err := s.Tools(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", tools)
}
