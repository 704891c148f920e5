package serial

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.bug.st/serial"
)

// BaudRater is what [Open] returns for a console whose baud rate can be changed
// while it is open: a local port, or one behind rfc2217. The others do not have the
// method.
type BaudRater interface {
	io.ReadWriteCloser
	// SetBaudRate sets the rate, 50 to 12000000, and leaves the other line
	// settings as they are. What was written and has not left yet is sent at the
	// new rate: wait for the board's answer first. Behind rfc2217 it returns when the server has confirmed the rate, for which somebody must be
	// reading; [ErrRFC2217] where the server sets another one. Errors are an
	// [*Error] with Op "set baud rate". It may be called while others read and
	// write.
	SetBaudRate(ctx context.Context, baud int) error
}

// line is a console inside of a port that is a serial line.
type line interface {
	setBaudRate(ctx context.Context, baud int) error
	modemLines(ctx context.Context) (ModemLines, error)
}

// linePort is a port that is a serial line.
type linePort struct {
	*port
	line line
}

var _ BaudRater = linePort{}

// SetBaudRate does what [BaudRater] says.
func (p linePort) SetBaudRate(ctx context.Context, baud int) error {
	err := ctx.Err()
	if err == nil && (baud < lowestBaud || baud > highestBaud) {
		err = fmt.Errorf("%d is not a number from %d to %d", baud, lowestBaud, highestBaud)
	}
	if err == nil {
		err = p.line.setBaudRate(ctx, baud)
	}
	return p.wrap("set baud rate", err)
}

// setBaudRate sets the rate of a local port.
func (l *locked) setBaudRate(_ context.Context, baud int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	mode := l.mode
	mode.BaudRate = baud
	if err := l.SetMode(&mode); err != nil {
		return err
	}
	l.mode = mode
	return nil
}

// setBaudRate sets the rate of the port that is there now, and of those that are
// opened for it later.
func (r *reopening) setBaudRate(ctx context.Context, baud int) error {
	r.mu.Lock()
	port := r.port
	r.baud = baud
	r.mu.Unlock()
	return setBaudRate(ctx, port, baud)
}

// setBaudRate sets the rate of a console that may have none.
func setBaudRate(ctx context.Context, p io.ReadWriteCloser, baud int) error {
	b, ok := p.(line)
	if !ok {
		return errors.New("this console has no baud rate")
	}
	return b.setBaudRate(ctx, baud)
}

// comPort is a port behind a server that sets its line (RFC 2217).
type comPort struct {
	*telnet
	setting chan struct{} // has room for whoever sets the rate
	answers chan []byte   // what the server says about the rate

	asking chan struct{}   // has room for whoever asks for the modem lines
	modem  *ModemLines     // as the server has said last; of the reading side
	lines  chan ModemLines // the same, for whoever asks
}

func newComPort(t *telnet) *comPort {
	c := &comPort{telnet: t, setting: make(chan struct{}, 1), answers: make(chan []byte, 1),
		asking: make(chan struct{}, 1), lines: make(chan ModemLines, 1)}
	t.subnegotiated = func(p []byte) {
		if len(p) < 2 || p[0] != optComPort {
			return
		}
		if p[1] != comBaud+comAnswer {
			c.notified(p[1], p[2:])
			return
		}
		select {
		case c.answers <- append([]byte(nil), p[2:]...):
		default: // nobody has asked
		}
	}
	return c
}

// setBaudRate asks for a rate. The answer comes to whoever reads.
func (c *comPort) setBaudRate(ctx context.Context, baud int) error {
	ctx, cancel := context.WithTimeout(ctx, rfc2217Timeout)
	defer cancel()
	select {
	case c.setting <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.setting }()
	select {
	case <-c.answers: // of an earlier call that did not wait for it
	default:
	}
	s := comSettings(&serial.Mode{BaudRate: baud})[0]
	if err := c.subnegotiate(append([]byte{optComPort, s.command}, s.value...)...); err != nil {
		return err
	}
	select {
	case got := <-c.answers:
		if string(got) != string(s.value) {
			return fmt.Errorf("%w: %s should be %d and is %d", ErrRFC2217, s.name, baud, binary.BigEndian.Uint32(append(make([]byte, 4), got...)[len(got):]))
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: no answer to %s: %w", ErrRFC2217, s.name, context.Cause(ctx))
	}
}
