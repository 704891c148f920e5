package tftp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/dutflash/dutflash/transport/tftp"
)

func dial(t *testing.T, to *net.UDPAddr) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	return c
}

// next reads packets until one is DATA of the wanted block.
func next(t *testing.T, c *net.UDPConn, block uint16) []byte {
	t.Helper()
	buf := make([]byte, 2000)
	for {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("waiting for block %d: %v", block, err)
		}
		if binary.BigEndian.Uint16(buf) == 5 {
			t.Fatalf("got ERROR %q", buf[4:n])
		}
		if binary.BigEndian.Uint16(buf) == 3 && binary.BigEndian.Uint16(buf[2:]) == block {
			return buf[4:n]
		}
	}
}

// TestHostilePackets sends what breaks servers into both kinds of transfer.
func TestHostilePackets(t *testing.T) {
	want := random(5000)
	for _, opts := range [][]string{nil, {"windowsize", "2"}} {
		_, addr := start(t, map[string][]byte{"k": want})
		c, stranger := dial(t, addr), dial(t, addr)
		_, _ = c.Write([]byte(rrq(append([]string{"k", "octet"}, opts...)...)))
		if opts != nil {
			if _, err := c.Read(make([]byte, 600)); err != nil {
				t.Fatal(err)
			}
			_, _ = c.Write([]byte{0, 4, 0, 0})
		}
		next(t, c, 1)
		for _, p := range [][]byte{{0}, {0, 4}, {0, 4, 0xff, 0xff}, {0, 4, 0, 9}, {0, 9, 1, 2}, {0, 3, 0, 1, 5}, append([]byte{0, 4, 0x77, 0x77}, make([]byte, 1400)...), make([]byte, 1400)} {
			_, _ = c.Write(p)
		}
		for _, p := range [][]byte{{0, 5, 0, 0, 'x', 0}, {0, 4, 0, 1}, {0, 4, 0, 10}} {
			_, _ = stranger.Write(p)
		}
		_, _ = c.Write([]byte{0, 4, 0, 1})
		if got := next(t, c, 2); !bytes.Equal(got, want[512:1024]) {
			t.Errorf("%v: block 2 is wrong", opts)
		}
	}
}

func TestAskedAnew(t *testing.T) {
	for _, opts := range [][]string{nil, {"windowsize", "2"}} {
		events := make(chan tftp.Event, 1000)
		_, addr := start(t, map[string][]byte{"k": random(5000), "other": []byte("hello")}, tftp.WithEvents(func(e tftp.Event) { events <- e }))
		c := dial(t, addr)
		_, _ = c.Write([]byte(rrq(append([]string{"k", "octet"}, opts...)...)))
		if _, err := c.Read(make([]byte, 600)); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(rrq("other", "octet")))
		for string(next(t, c, 1)) != "hello" {
		}
		_, _ = c.Write([]byte{0, 4, 0, 1})
		var superseded, done bool
		for !superseded || !done {
			switch e := <-events; e.Kind {
			case tftp.Failed:
				superseded = errors.Is(e.Err, tftp.ErrSuperseded)
			case tftp.Done:
				done = e.File == "other"
			}
		}
	}
}

func TestFlood(t *testing.T) {
	want := random(100_000)
	s, addr := start(t, map[string][]byte{"k": want}, tftp.WithMaxTransfers(8))
	before := runtime.NumGoroutine()
	for range 200 {
		_, _ = dial(t, addr).Write([]byte(rrq("k", "octet")))
	}
	got, err := fetch(t, addr, rrq("k", "octet", "blksize", "1468", "windowsize", "8"), nil)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("legitimate client: %d bytes, %v", len(got), err)
	}
	if n := s.Stats().Active; n > 8 {
		t.Errorf("%d transfers", n)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if n := runtime.NumGoroutine(); n > before+2 {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}
