package serial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// ModemLines are the lines that the other end of a serial port drives; true is on.
type ModemLines struct {
	CTS bool // clear to send: the other end's RTS in most cables
	DSR bool // data set ready: the other end's DTR in most cables
	DCD bool // data carrier detect
	RI  bool // ring indicator
}

// ModemReader is what [Open] returns for a console whose modem lines can be read while
// it is open: a local port, or one behind rfc2217. The others do not have the method.
type ModemReader interface {
	io.ReadWriteCloser
	// ModemLines reads the lines, for instance to see whether a cable is plugged in or
	// the board at its end has power. Behind rfc2217 they are what the server found
	// last, which may look once a second only, and somebody must be reading; one that
	// does not tell is [ErrRFC2217], after 10 s at most. A port that has no such lines,
	// as a pty, is [errors.ErrUnsupported]. Errors are an [*Error] with Op "read modem
	// lines". It may be called while others read and write.
	ModemLines(ctx context.Context) (ModemLines, error)
}

var _ ModemReader = linePort{}

// ModemLines does what [ModemReader] says.
func (p linePort) ModemLines(ctx context.Context) (m ModemLines, err error) {
	if err = ctx.Err(); err == nil && p.closed.Load() {
		err = net.ErrClosed
	}
	if err == nil {
		m, err = p.line.modemLines(ctx)
	}
	return m, p.wrap("read modem lines", err)
}

func (l *locked) modemLines(context.Context) (ModemLines, error) {
	bits, err := l.GetModemStatusBits()
	if errors.Is(err, syscall.ENOTTY) || errors.Is(err, syscall.EINVAL) {
		err = fmt.Errorf("%w: the port has no modem lines (%w)", errors.ErrUnsupported, err)
	}
	if err != nil {
		return ModemLines{}, err
	}
	return ModemLines{CTS: bits.CTS, DSR: bits.DSR, DCD: bits.DCD, RI: bits.RI}, nil
}

// modemLines reads those of the port that is there now.
func (r *reopening) modemLines(ctx context.Context) (ModemLines, error) {
	port, _ := r.current()
	l, ok := port.(line)
	if !ok {
		return ModemLines{}, fmt.Errorf("%w: this console has no modem lines", errors.ErrUnsupported)
	}
	return l.modemLines(ctx)
}

// The lines in NOTIFY-MODEMSTATE of RFC 2217; below them are those that changed.
const (
	comCTS = 1 << (4 + iota)
	comDSR
	comRI
	comDCD
)

// notified takes what the server says about the lines: that they are so, or that it
// tells changes.
func (c *comPort) notified(command byte, value []byte) {
	switch {
	case command == comModem+comAnswer && len(value) == 1:
		c.modem = &ModemLines{CTS: value[0]&comCTS != 0, DSR: value[0]&comDSR != 0, DCD: value[0]&comDCD != 0, RI: value[0]&comRI != 0}
	case command != comModemMask+comAnswer || c.modem == nil:
		return
	}
	select {
	case <-c.lines: // an older one that nobody has asked for
	default:
	}
	c.lines <- *c.modem
}

// modemLines has the server say how the lines are: it does when it is told which
// changes to tell, or has when the connection began.
func (c *comPort) modemLines(ctx context.Context) (ModemLines, error) {
	ctx, cancel := context.WithTimeout(ctx, rfc2217Timeout)
	defer cancel()
	select {
	case c.asking <- struct{}{}:
	case <-ctx.Done():
		return ModemLines{}, context.Cause(ctx)
	}
	defer func() { <-c.asking }()
	select {
	case <-c.lines: // of before
	default:
	}
	if err := c.subnegotiate(optComPort, comModemMask, 0xff); err != nil {
		return ModemLines{}, err
	}
	select {
	case m := <-c.lines:
		return m, nil
	case <-ctx.Done():
		return ModemLines{}, fmt.Errorf("%w: it does not say how the modem lines are (is somebody reading?): %w", ErrRFC2217, context.Cause(ctx))
	}
}
