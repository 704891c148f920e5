package serial

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// Commands and options of RFC 854, 856, 857, 858 and 2217.
const (
	telnetSE   = 240
	telnetSB   = 250
	telnetWill = 251
	telnetWont = 252
	telnetDo   = 253
	telnetDont = 254
	telnetIAC  = 255

	optBinary  = 0
	optEcho    = 1
	optGoAhead = 3 // suppress it
	optComPort = 44
)

// telnet is a console behind a telnet server: what is not data is answered and
// taken out.
type telnet struct {
	conn net.Conn

	// The reading side.
	raw   []byte // room for what arrives
	data  []byte // what arrived and was not read
	state func(*telnet, byte)
	verb  byte
	sub   []byte
	cr    bool // the last byte was a CR, in a connection that is not binary
	// subnegotiated gets what the server says about an option.
	subnegotiated func(option []byte)

	writing sync.Mutex // held while writing to conn, which may wait for the server
	mu      sync.Mutex // held for a moment: reading must go on while a Write waits
	sent    map[[2]byte]bool
	refused map[byte]bool // options that the server does not do
	heard   map[[2]byte]bool
	binary  [2]bool // its data, our data
}

// dialTelnet opens telnet://HOST:PORT. options are those that we offer beside
// binary transmission.
func dialTelnet(ctx context.Context, scheme, rest string, options ...byte) (*telnet, error) {
	address, err := address(scheme, rest)
	if err != nil {
		return nil, err
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "23")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	t := &telnet{conn: conn, raw: make([]byte, 4096), state: (*telnet).plain, sent: map[[2]byte]bool{}, refused: map[byte]bool{}, heard: map[[2]byte]bool{},
		subnegotiated: func([]byte) {}}
	for _, option := range append([]byte{optBinary, optGoAhead}, options...) {
		t.say(telnetWill, option)
	}
	t.say(telnetDo, optBinary)
	t.say(telnetDo, optGoAhead)
	return t, nil
}

// settleTime is how long a server may take to say whether it does binary
// transmission, before plain telnet is used.
const settleTime = 3 * time.Second

// openTelnet opens a console and waits until it is known how bytes are sent.
func openTelnet(ctx context.Context, rest string) (io.ReadWriteCloser, error) {
	t, err := dialTelnet(ctx, "telnet", rest)
	if err != nil {
		return nil, err
	}
	if err := t.settle(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *telnet) settle(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	stop := context.AfterFunc(wait, func() { t.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for !t.heard[[2]byte{side(telnetWill), optBinary}] || !t.heard[[2]byte{side(telnetDo), optBinary}] {
		if err := t.receive(); err != nil {
			if ctx.Err() != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
				return errors.Join(ctx.Err(), err)
			}
			break // it does not negotiate
		}
	}
	if !stop() {
		<-wait.Done()
	}
	return t.conn.SetReadDeadline(time.Time{})
}

// Read returns data of the console.
func (t *telnet) Read(p []byte) (int, error) {
	for len(t.data) == 0 {
		if err := t.receive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.data)
	t.data = t.data[n:]
	return n, nil
}

// receive waits for more and takes it apart.
func (t *telnet) receive() error {
	n, err := t.conn.Read(t.raw)
	for _, c := range t.raw[:n] {
		t.state(t, c)
	}
	if n > 0 {
		return nil
	}
	return err
}

// plain takes data. A CR of a connection that is not binary has a NUL or an LF
// behind it (RFC 854); the NUL is no data.
func (t *telnet) plain(c byte) {
	cr := t.cr
	t.cr = c == '\r' && !t.isBinary(0)
	switch {
	case c == telnetIAC:
		t.state = (*telnet).command
	case c == 0 && cr:
	default:
		t.data = append(t.data, c)
	}
}

func (t *telnet) command(c byte) {
	t.state = (*telnet).plain
	switch c {
	case telnetIAC:
		t.data = append(t.data, c)
	case telnetWill, telnetWont, telnetDo, telnetDont:
		t.verb = c
		t.state = (*telnet).option
	case telnetSB:
		t.sub = nil
		t.state = (*telnet).subnegotiation
	}
}

// side is 0 for what the server does (WILL, WONT) and 1 for what it asks of us (DO,
// DONT).
func side(verb byte) byte { return (verb - telnetWill) / 2 }

// option answers an offer or a request. Nothing is answered twice, or two sides
// that answer each other would never end (RFC 854, "loops").
func (t *telnet) option(c byte) {
	t.state = (*telnet).plain
	t.heard[[2]byte{side(t.verb), c}] = true
	known := slices.Contains([]byte{optBinary, optEcho, optGoAhead, optComPort}, c)
	offered := c == optBinary || c == optGoAhead || c == optComPort && t.has(telnetWill, optComPort)
	switch {
	case t.verb == telnetWill && known:
		t.setBinary(0, c, true)
		t.say(telnetDo, c)
	case t.verb == telnetWill:
		t.say(telnetDont, c)
	case t.verb == telnetDo && offered:
		t.setBinary(1, c, true)
		t.say(telnetWill, c)
	case t.verb == telnetDo:
		t.say(telnetWont, c)
	case t.verb == telnetWont:
		t.setBinary(0, c, false)
	case t.verb == telnetDont:
		t.setBinary(1, c, false)
		t.mu.Lock()
		t.refused[c] = true
		t.mu.Unlock()
	}
}

// maxSubnegotiation is longer than any that is known here.
const maxSubnegotiation = 4096

func (t *telnet) subnegotiation(c byte) {
	switch {
	case c == telnetIAC:
		t.state = (*telnet).subnegotiationCommand
	case len(t.sub) < maxSubnegotiation:
		t.sub = append(t.sub, c)
	}
}

func (t *telnet) subnegotiationCommand(c byte) {
	t.state = (*telnet).subnegotiation
	switch c {
	case telnetIAC:
		t.sub = append(t.sub, c)
	case telnetSE:
		t.state = (*telnet).plain
		t.subnegotiated(t.sub)
	}
}

func (t *telnet) isBinary(side int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.binary[side]
}

func (t *telnet) setBinary(side int, option byte, on bool) {
	if option == optBinary {
		t.mu.Lock()
		t.binary[side] = on
		t.mu.Unlock()
	}
}

func (t *telnet) has(verb, option byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent[[2]byte{verb, option}]
}

// say sends a command about an option, once. A connection that is broken is
// noticed by the next Read.
func (t *telnet) say(verb, option byte) {
	key := [2]byte{verb, option}
	t.mu.Lock()
	before := t.sent[key]
	t.sent[key] = true
	t.mu.Unlock()
	if !before {
		t.writing.Lock()
		defer t.writing.Unlock()
		t.conn.Write([]byte{telnetIAC, verb, option})
	}
}

// subnegotiate sends what is said about an option.
func (t *telnet) subnegotiate(option ...byte) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	p := append([]byte{telnetIAC, telnetSB}, bytes.ReplaceAll(option, []byte{telnetIAC}, []byte{telnetIAC, telnetIAC})...)
	_, err := t.conn.Write(append(p, telnetIAC, telnetSE))
	return err
}

// Write sends data.
func (t *telnet) Write(p []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	out := bytes.ReplaceAll(p, []byte{telnetIAC}, []byte{telnetIAC, telnetIAC})
	if !t.isBinary(1) {
		out = bytes.ReplaceAll(out, []byte("\r"), []byte("\r\x00"))
		out = bytes.ReplaceAll(out, []byte("\r\x00\n"), []byte("\r\n"))
	}
	if n, err := t.conn.Write(out); err != nil {
		return min(n, len(p)), err
	}
	return len(p), nil
}

func (t *telnet) Close() error { return t.conn.Close() }

var _ io.ReadWriteCloser = (*telnet)(nil)
