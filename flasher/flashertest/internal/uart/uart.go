// Package uart is the serial line of a simulated board: two ends, a speed, and
// what real lines do to characters.
package uart

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// ErrBusy is what opening a line gives that is open already.
var ErrBusy = errors.New("serial line is open already")

// Faults of a line. The zero value is a perfect one.
type Faults struct {
	// Drop and Repeat are the share of characters, 0 to 1, that get lost and
	// that arrive twice, in both directions.
	Drop, Repeat float64
	// Flip is the share of characters of which one bit arrives wrong, in both
	// directions.
	Flip float64
	// Noise is the share of characters the board sends that have Line in front.
	Noise float64
	Line  string
	// Rate is the speed in characters per second in each direction; 0 is
	// without limit.
	Rate int
}

// Line is a serial line. The board's end is always there; the host's end is
// opened and closed. What the board sends while nobody listens is lost, and so is
// what is typed while the board does not run. It may be used concurrently.
type Line struct {
	up, down queue

	mu     sync.Mutex
	faults Faults
	rand   *rand.Rand
	host   *Host
	listen bool // the board runs and takes characters
	// The baud rates of the two ends.
	boardBaud, hostBaud int
}

// firstBaud is the rate of a board that was switched on, and of a console that
// nobody has set to another one.
const firstBaud = 115200

// New returns a line whose faults are decided by seed.
func New(seed uint64) *Line {
	l := &Line{rand: rand.New(rand.NewPCG(seed, 0)), boardBaud: firstBaud, hostBaud: firstBaud}
	l.up.init()
	l.down.init()
	return l
}

// SetFaults changes the line's faults from now on.
func (l *Line) SetFaults(f Faults) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = f
}

// Open returns the host's end; ErrBusy if it is open.
func (l *Line) Open() (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.host != nil {
		return nil, ErrBusy
	}
	l.up.drop()
	l.hostBaud = firstBaud
	ctx, cancel := context.WithCancel(context.Background())
	l.host = &Host{line: l, ctx: ctx, cancel: cancel}
	return l.host, nil
}

// Listen says whether the board takes characters. What came before is dropped.
func (l *Line) Listen(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listen = on
	l.boardBaud = firstBaud
	l.down.drop()
}

// spoil does to p what the line does.
func (l *Line) spoil(p []byte, noise bool) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.boardBaud != l.hostBaud {
		p = misread(p)
	}
	f := l.faults
	if f.Drop == 0 && f.Repeat == 0 && f.Flip == 0 && f.Noise == 0 {
		return p
	}
	out := make([]byte, 0, len(p)+16)
	for _, c := range p {
		if noise && f.Noise > 0 && l.rand.Float64() < f.Noise {
			out = append(out, f.Line...)
		}
		if l.rand.Float64() < f.Drop {
			continue
		}
		if f.Flip > 0 && l.rand.Float64() < f.Flip {
			c ^= 1 << l.rand.IntN(8)
		}
		out = append(out, c)
		if l.rand.Float64() < f.Repeat {
			out = append(out, c)
		}
	}
	return out
}

// SetBaud sets the rate of the board's end, until the board is switched off.
func (l *Line) SetBaud(baud int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.boardBaud = baud
}

// misread is what arrives where the ends have different rates.
func misread(p []byte) []byte {
	out := make([]byte, len(p))
	for i, c := range p {
		out[i] = ^c | 0x80
	}
	return out
}

// carry takes p over the line into q at the line's speed.
func (l *Line) carry(ctx context.Context, q *queue, p []byte, wanted func() bool) error {
	l.mu.Lock()
	rate := l.faults.Rate
	l.mu.Unlock()
	for len(p) > 0 {
		n := len(p)
		if rate > 0 {
			n = min(n, max(1, rate/100))
			select {
			case <-time.After(time.Duration(n) * time.Second / time.Duration(rate)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if wanted() {
			q.put(p[:n])
		}
		p = p[n:]
	}
	return ctx.Err()
}

func (l *Line) heard() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.host != nil
}

func (l *Line) listening() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.listen
}

// Send is what the board's UART sends.
func (l *Line) Send(ctx context.Context, p []byte) error {
	return l.carry(ctx, &l.up, l.spoil(p, true), l.heard)
}

// Receive waits for characters that were typed to the board.
func (l *Line) Receive(ctx context.Context, p []byte) (int, error) { return l.down.take(ctx, p) }

// Peek returns what was typed and not yet received, without taking it.
func (l *Line) Peek() string { return l.down.peek() }

// Host is the end of a line that is a console's port.
type Host struct {
	line   *Line
	ctx    context.Context
	cancel context.CancelFunc
}

// Read waits for what the board sends. After Close it is net.ErrClosed.
func (h *Host) Read(p []byte) (int, error) {
	n, err := h.line.up.take(h.ctx, p)
	if err != nil {
		err = net.ErrClosed
	}
	return n, err
}

// Write types.
func (h *Host) Write(p []byte) (int, error) {
	if h.ctx.Err() != nil {
		return 0, net.ErrClosed
	}
	if h.line.carry(h.ctx, &h.line.down, h.line.spoil(p, false), h.line.listening) != nil {
		return 0, net.ErrClosed
	}
	return len(p), nil
}

// SetBaudRate sets the rate of this end. Where the board has another one, only
// rubbish goes over the line.
func (h *Host) SetBaudRate(ctx context.Context, baud int) error {
	if h.ctx.Err() != nil {
		return net.ErrClosed
	}
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	h.line.hostBaud = baud
	return ctx.Err()
}

// Close unplugs this end. It unblocks Read and Write, and may be called twice.
func (h *Host) Close() error {
	h.cancel()
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	if h.line.host == h {
		h.line.host = nil
	}
	return nil
}

// Board returns the board's end as an io.ReadWriter for the time of ctx.
func (l *Line) Board(ctx context.Context) io.ReadWriter { return board{ctx, l} }

type board struct {
	ctx  context.Context
	line *Line
}

func (b board) Read(p []byte) (int, error) { return b.line.Receive(b.ctx, p) }

func (b board) Write(p []byte) (int, error) {
	if err := b.line.Send(b.ctx, p); err != nil {
		return 0, err
	}
	return len(p), nil
}
