//go:build unix

package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/relay"
)

// board is the other end of a serial port.
func board(t *testing.T) (master *os.File, port string) {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		tty.Close()
		master.Close()
	})
	return master, tty.Name()
}

// TestFrames checks the frames against those that the boards are sold with.
func TestFrames(t *testing.T) {
	for _, tc := range []struct {
		relay   int
		opts    []relay.Option
		on, off []byte
	}{
		{1, nil, []byte{0xa0, 1, 1, 0xa2}, []byte{0xa0, 1, 0, 0xa1}},
		{2, nil, []byte{0xa0, 2, 1, 0xa3}, []byte{0xa0, 2, 0, 0xa2}},
		{8, []relay.Option{relay.WithNormallyClosed()}, []byte{0xa0, 8, 0, 0xa8}, []byte{0xa0, 8, 1, 0xa9}},
		{255, nil, []byte{0xa0, 0xff, 1, 0xa0}, []byte{0xa0, 0xff, 0, 0x9f}},
	} {
		t.Run(fmt.Sprint(tc.relay), func(t *testing.T) {
			master, port := board(t)
			c, err := relay.New(port, tc.relay, tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range []struct {
				do   func(context.Context) error
				want []byte
			}{{c.On, tc.on}, {c.Off, tc.off}} {
				if err := step.do(t.Context()); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 4)
				if _, err := io.ReadFull(master, got); err != nil || !bytes.Equal(got, step.want) {
					t.Errorf("sent % x, %v; want % x", got, err, step.want)
				}
			}
		})
	}
}

// TestReplug has the port appear while On tries.
func TestReplug(t *testing.T) {
	master, port := board(t)
	link := filepath.Join(t.TempDir(), "usb-1a86_USB_Serial-if00-port0")
	c, err := relay.New(link, 1, relay.WithSwitching(power.Switching{Tries: 1000, Pause: 5 * time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.On(t.Context()) }()
	if err := os.Symlink(port, link); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(master, got); err != nil || got[3] != 0xa2 {
		t.Errorf("sent % x, %v", got, err)
	}
}

func TestFailures(t *testing.T) {
	c, err := relay.New("/dev/no-such-port", 3, relay.WithSwitching(power.Switching{Tries: 2, Pause: time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	var typed *power.Error
	if err := c.On(t.Context()); !errors.Is(err, power.ErrNotFound) || !errors.As(err, &typed) || !strings.Contains(err.Error(), "relay 3 at /dev/no-such-port") {
		t.Errorf("no port: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.On(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, f := range []func() (*relay.Controller, error){
		func() (*relay.Controller, error) { return relay.New("", 1) },
		func() (*relay.Controller, error) { return relay.New("x", 0) },
		func() (*relay.Controller, error) { return relay.New("x", 256) },
		func() (*relay.Controller, error) {
			return relay.New("x", 1, relay.WithSwitching(power.Switching{Pause: -1}))
		},
	} {
		if _, err := f(); err == nil {
			t.Error("New took nonsense")
		}
	}
}

func ExampleNew() {
	board, err := relay.New("/dev/serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0", 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	// power.Cycle(ctx, board, 0) sends A0 01 00 A1, waits 2 s, and sends A0 01 01 A2.
	var _ power.Controller = board
}
