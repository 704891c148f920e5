package tftp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/dutflash/dutflash/transport/tftp"
)

// load receives a file as a board with U-Boot does, over a cable and with a
// network card that lose packets, each of them a function that may be nil.
func (u *ubootReader) load(t *testing.T, lose func() bool, ring func(block uint16) bool) []byte {
	t.Helper()
	lost := func() bool { return lose != nil && lose() }
	var got []byte
	nacked := false
	say := func() {
		if !lost() {
			u.ack(t)
		}
		u.ackAt = u.have + u.window
		if u.said != nil {
			u.said()
		}
	}
	say()
	timer := func() { u.conn.SetReadDeadline(time.Now().Add(5 * time.Second)) }
	timer()
	p := make([]byte, 1500)
	for {
		n, err := u.conn.Read(p)
		if err != nil {
			u.timeouts++
			if u.timeouts > 5 {
				t.Fatalf("block %d: %v", u.have+1, err)
			}
			timer()
			if at := u.ackAt; !lost() {
				u.ack(t)
				u.ackAt = at
			}
			continue
		}
		block := binary.BigEndian.Uint16(p[2:])
		if p[1] == 5 {
			t.Fatalf("ERROR %q", p[4:n])
		}
		if p[1] != 3 || lost() || ring != nil && ring(block) {
			continue
		}
		u.packets++
		if block != u.have+1 {
			if !nacked || u.nacks != u.have {
				nacked, u.nacks = true, u.have
				say()
			}
			continue
		}
		timer()
		u.have = block
		got = append(got, p[4:n]...)
		if n < 4+512 {
			u.ack(t)
			return got
		}
		if u.have == u.ackAt {
			say()
		}
	}
}

// ask sends the request and takes the OACK.
func (u *ubootReader) ask(t *testing.T, addr *net.UDPAddr) (oack []byte) {
	t.Helper()
	u.conn = dial(t, addr)
	if _, err := u.conn.Write([]byte(rrq("k", "octet", "windowsize", fmt.Sprint(u.window)))); err != nil {
		t.Fatal(err)
	}
	return u.read(t)
}

// TestLossOnUBoot: what U-Boot does not say again, it is asked for.
func TestLossOnUBoot(t *testing.T) {
	for _, tc := range []struct {
		window          uint16
		percent, blocks int
	}{{2, 1, 2000}, {16, 1, 5000}, {32, 1, 5000}, {16, 10, 100}} {
		t.Run(fmt.Sprintf("window %d, %d percent", tc.window, tc.percent), func(t *testing.T) {
			want := random(tc.blocks*512 - 1)
			_, addr := start(t, map[string][]byte{"k": want})
			u := &ubootReader{window: tc.window}
			u.ask(t, addr)
			r := rand.New(rand.NewPCG(1, uint64(tc.percent)))
			if got := u.load(t, func() bool { return r.IntN(100) < tc.percent }, nil); !bytes.Equal(got, want) {
				t.Errorf("%d bytes are not those of the file", len(got))
			}
			// Its timer runs for five seconds.
			if tc.percent == 1 && u.timeouts > 0 {
				t.Errorf("U-Boot had to wait for its timer %d times", u.timeouts)
			}
		})
	}
}

// TestDriverThatDropsBursts: a ring of few buffers loses the end of every window,
// until the server sends less at once, and remembers that for the board.
func TestDriverThatDropsBursts(t *testing.T) {
	for _, buffers := range []int{2, 15} {
		t.Run(fmt.Sprintf("%d buffers", buffers), func(t *testing.T) {
			want := random(3000*512 - 1)
			events := make(chan tftp.Event, 1000)
			_, addr := start(t, map[string][]byte{"k": want}, tftp.WithEvents(func(e tftp.Event) { events <- e }))
			u := &ubootReader{window: 16}
			u.ask(t, addr)
			filled, last := 0, time.Now()
			ring := func(uint16) (lost bool) {
				if time.Since(last) > 2*time.Millisecond {
					filled = 0
				}
				last = time.Now()
				filled++
				return filled > buffers
			}
			u.said = func() { filled = 0 }
			if got := u.load(t, nil, ring); !bytes.Equal(got, want) {
				t.Errorf("%d bytes are not those of the file", len(got))
			}
			for e := range events {
				if e.Kind == tftp.Done {
					if e.WindowSize != 16 || e.Burst > buffers {
						t.Errorf("%+v; the driver takes %d", e, buffers)
					}
					break
				}
			}
			u = &ubootReader{window: 16}
			if oack := u.ask(t, addr); bytes.Contains(oack, []byte("windowsize\x0016\x00")) {
				t.Errorf("the next transfer was offered the same window: %q", oack)
			}
		})
	}
}
