package tftp_test

import (
	"encoding/binary"
	"net"
	"testing"
	"time"
)

// ubootReader receives as U-Boot's net/tftp.c does: it acknowledges a window when
// it is whole, and says once for each block it waits for that something else came,
// be that what follows or what it has already.
type ubootReader struct {
	conn               *net.UDPConn
	window             uint16
	have, ackAt, nacks uint16
	packets, timeouts  int
	said               func() // when it has answered
}

func (u *ubootReader) read(t *testing.T) []byte {
	t.Helper()
	p := make([]byte, 1500)
	u.conn.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := u.conn.Read(p)
	if err != nil {
		t.Fatal(err)
	}
	u.packets++
	return p[:n]
}

func (u *ubootReader) ack(t *testing.T) {
	t.Helper()
	if _, err := u.conn.Write(binary.BigEndian.AppendUint16([]byte{0, 4}, u.have)); err != nil {
		t.Fatal(err)
	}
	u.ackAt = u.have + u.window
}

// handle takes a DATA packet and reports whether it was the last one.
func (u *ubootReader) handle(t *testing.T, p []byte) (done bool) {
	t.Helper()
	switch block := binary.BigEndian.Uint16(p[2:]); {
	case block == u.have+1:
		u.have, u.nacks = block, 0
		done = len(p) < 4+512
		if done || u.have == u.ackAt {
			u.ack(t)
		}
	case u.nacks != u.have:
		u.nacks = u.have
		u.ack(t)
	}
	return done
}

// TestWindowSentTwiceOnce: a board that was busy for a moment gets one window
// twice, and says so. From there on each comes once.
func TestWindowSentTwiceOnce(t *testing.T) {
	const window, blocks = 4, 400
	_, addr := start(t, map[string][]byte{"k": random(blocks*512 - 1)})
	u := &ubootReader{conn: dial(t, addr), window: window}
	if _, err := u.conn.Write([]byte(rrq("k", "octet", "windowsize", "4"))); err != nil {
		t.Fatal(err)
	}
	if p := u.read(t); p[1] != 6 {
		t.Fatalf("got % x, want an OACK", p)
	}
	u.ack(t)
	for done := false; !done; {
		if u.have != 5*window {
			done = u.handle(t, u.read(t))
			continue
		}
		// Busy until the window has come for the second time.
		var late [][]byte
		for range 2 * window {
			late = append(late, u.read(t))
		}
		for _, p := range late {
			done = u.handle(t, p)
		}
	}
	// A slow machine may cause a few more.
	if u.packets > blocks*5/4 {
		t.Errorf("%d packets for %d blocks; the echo of one window was answered by sending the next ones twice", u.packets, blocks)
	}
}
