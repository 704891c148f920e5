package tftp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/transport/tftp"
)

// memoryAddr is an address of a network that is not UDP.
type memoryAddr string

func (memoryAddr) Network() string  { return "memory" }
func (a memoryAddr) String() string { return string(a) }

// link is a cable between a server and one board, in the time of a synctest
// bubble. Packets keep their order.
type link struct {
	toBoard, toServer chan []byte // what has arrived
	down, up          chan dated
	delay             func() time.Duration // of a packet, one way
	lost              func() bool
	closed            chan struct{}
	sent              atomic.Int64 // DATA packets of the server
}

type dated struct {
	due    time.Time
	packet []byte
}

func newLink(delay func() time.Duration, lost func() bool) *link {
	return &link{delay: delay, lost: lost}
}

// connect is for within the bubble, whose channels no others may use.
func (l *link) connect() {
	l.toBoard, l.toServer = make(chan []byte, 4096), make(chan []byte, 4096)
	l.down, l.up, l.closed = make(chan dated, 4096), make(chan dated, 4096), make(chan struct{})
	carry := func(from chan dated, to chan []byte) {
		for {
			select {
			case p := <-from:
				time.Sleep(time.Until(p.due))
				to <- p.packet
			case <-l.closed:
				return
			}
		}
	}
	go carry(l.down, l.toBoard)
	go carry(l.up, l.toServer)
}

func (l *link) put(to chan dated, p []byte) {
	if l.lost == nil || !l.lost() {
		to <- dated{time.Now().Add(l.delay()), append([]byte(nil), p...)}
	}
}

func (l *link) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case b := <-l.toServer:
		return copy(p, b), memoryAddr("192.0.2.2:1234"), nil
	case <-l.closed:
		return 0, nil, net.ErrClosed
	}
}

func (l *link) WriteTo(p []byte, to net.Addr) (int, error) {
	if p[1] == 3 {
		l.sent.Add(1)
	}
	l.put(l.down, p)
	return len(p), nil
}

func (l *link) Close() error                     { close(l.closed); return nil }
func (l *link) LocalAddr() net.Addr              { return memoryAddr("192.0.2.1:69") }
func (l *link) SetDeadline(time.Time) error      { return nil }
func (l *link) SetReadDeadline(time.Time) error  { return nil }
func (l *link) SetWriteDeadline(time.Time) error { return nil }

// board receives a file as U-Boot's net/tftp.c does.
type board struct {
	window uint16
	store  func(block uint16) time.Duration // how long it takes for a block
	deaf   bool                             // says nothing to what it has already
	each   bool                             // answers each block that it does not wait for, as RFC 7440 has it
	waits  int                              // in a row, for its timer of five seconds
}

func (b *board) receive(t *testing.T, l *link) (got []byte) {
	ask := []string{"k", "octet", "blksize", "1468", "tsize", "0"}
	if b.window > 1 {
		ask = append(ask, "windowsize", strconv.Itoa(int(b.window)))
	}
	request := []byte(rrq(ask...))
	l.put(l.up, request)
	var have, ackAt, told uint16
	nacked, begun := false, false
	say := func() { l.put(l.up, binary.BigEndian.AppendUint16([]byte{0, 4}, have)) }
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	for {
		var p []byte
		for p == nil {
			select {
			case p = <-l.toBoard:
			case <-timer.C:
				timer.Reset(5 * time.Second)
				if b.waits++; b.waits > 30 {
					t.Errorf("block %d does not come", have+1)
					return nil
				}
				if begun {
					say()
				} else {
					l.put(l.up, request)
				}
			}
		}
		begun, b.waits = true, 0
		switch block := binary.BigEndian.Uint16(p[2:]); {
		case p[1] == 6:
			say()
			ackAt = have + b.window
			timer.Reset(5 * time.Second)
		case p[1] == 5:
			t.Errorf("ERROR %q", p[4:])
			return nil
		case block != have+1:
			if !b.deaf && (b.each || !nacked || told != have) {
				nacked, told = true, have
				say()
				ackAt = have + b.window
			}
		default:
			have = block
			timer.Reset(5 * time.Second)
			got = append(got, p[4:]...)
			time.Sleep(b.store(block))
			if len(p) < 4+1468 {
				say()
				return got
			}
			if have == ackAt {
				say()
				ackAt = have + b.window
			}
		}
	}
}

// TestSentAgain counts what is sent more than once to boards and over paths of every
// kind, in virtual time: on those that lose nothing, next to nothing.
func TestSentAgain(t *testing.T) {
	const ms, us = time.Millisecond, time.Microsecond
	const blocks = 2000
	always := func(d time.Duration) func() time.Duration { return func() time.Duration { return d } }
	between := func(lo, hi time.Duration) func() time.Duration {
		return func() time.Duration { return lo + time.Duration(rand.Int64N(int64(hi-lo)+1)) }
	}
	lan, quick := always(150*us), func(uint16) time.Duration { return 30 * us }
	sectors := func(block uint16) time.Duration {
		if block%90 == 89 {
			return 300 * ms
		}
		return 2 * ms
	}
	seldom := func(uint16) time.Duration {
		if rand.IntN(200) == 0 {
			return 10 * ms
		}
		return 30 * us
	}
	loss := func(perMille int) func() bool { return func() bool { return rand.IntN(1000) < perMille } }
	for _, tc := range []struct {
		name              string
		delay             func() time.Duration // one way
		lost              func() bool
		store             func(uint16) time.Duration
		lockstep, sixteen float64 // most packets for 100 blocks
	}{
		{"nothing is in the way", lan, nil, quick, 100, 100},
		{"round trip of 20 ms", always(10 * ms), nil, quick, 100, 100},
		{"delay of 0.1 to 3 ms", between(100*us, 3*ms), nil, quick, 102, 101},
		{"delay of 5 to 15 ms", between(5*ms, 15*ms), nil, quick, 102, 101},
		{"a block takes 5 ms", lan, nil, func(uint16) time.Duration { return 5 * ms }, 101, 101},
		{"a block takes up to 4 ms", lan, nil, func(uint16) time.Duration { return time.Duration(rand.Int64N(int64(4 * ms))) }, 102, 101},
		{"flash with sectors of 90 blocks", lan, nil, sectors, 110, 102}, // each erase comes as a surprise
		{"a board that is busy for 10 ms now and then", lan, nil, seldom, 105, 110},
		{"loss of 1 %", lan, loss(10), quick, 105, 130},
		{"loss of 1 %, round trip of 20 ms", always(10 * ms), loss(10), quick, 106, 130},
		{"loss of 10 %", lan, loss(100), quick, 160, 270},
	} {
		for _, b := range []*board{{window: 1}, {window: 1, deaf: true}, {window: 16}, {window: 16, each: true}} {
			if b.deaf && tc.lost != nil {
				continue // what it does not say, its timer has to, in five seconds
			}
			t.Run(fmt.Sprintf("%s, window %d, deaf %v, each %v", tc.name, b.window, b.deaf, b.each), func(t *testing.T) {
				b.store = tc.store
				limit := tc.sixteen
				if b.window == 1 {
					limit = tc.lockstep
				}
				l := newLink(tc.delay, tc.lost)
				synctest.Test(t, func(t *testing.T) { virtualLoad(t, l, b, blocks) })
				if n := float64(l.sent.Load()) * 100 / blocks; n > limit {
					t.Errorf("%.1f packets for 100 blocks, want at most %v", n, limit)
				}
			})
		}
	}
}

func virtualLoad(t *testing.T, l *link, b *board, blocks int) {
	want := random(blocks*1468 - 1)
	s, err := tftp.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add("k", tftp.FromBytes(want)); err != nil {
		t.Fatal(err)
	}
	l.connect()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	if got := b.receive(t, l); !bytes.Equal(got, want) {
		t.Errorf("%d bytes are not those of the file", len(got))
	}
	time.Sleep(time.Minute) // for what is late
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
