package bootloader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// TFTP opcodes of RFC 1350 and RFC 2347.
const (
	opRead  = 1
	opData  = 3
	opAck   = 4
	opError = 5
	opOACK  = 6
)

// transfer is one file on its way (net/tftp.c of U-Boot).
type transfer struct {
	m       *machine
	conn    net.PacketConn
	to      net.Addr
	block   int // bytes in a block, as agreed
	window  int // blocks in a window, as agreed
	at      uint64
	size    int64
	last    uint16 // last block that came in order
	nextAck uint16 // block that is to be acknowledged
	nacked  uint16 // block behind which a gap was told
	hashes  int
	// answered says that the server has spoken; its port is fixed from then on.
	answered bool
}

// tftpTimeout is how long U-Boot waits for a packet, and tftpTries how often
// before it gives up. Both are shorter than a real board's.
const (
	tftpTimeout = time.Second
	tftpTries   = 10
)

var errInterrupted = errors.New("interrupted")

// printed is an error whose text is what U-Boot prints.
type printed string

func (p printed) Error() string { return string(p) }

func (m *machine) tftpboot(w []string) int {
	if len(w) != 3 {
		return m.usage(w, "boot image via network using TFTP protocol", "[loadAddress] [[hostIPaddr:]bootfilename]")
	}
	at, err := number(w[1])
	if err != nil {
		return m.usage(w, "boot image via network using TFTP protocol", "[loadAddress] [[hostIPaddr:]bootfilename]")
	}
	if m.noNetwork() {
		return 1
	}
	server, ok := m.server()
	if !ok {
		return 1
	}
	m.print("Using ethernet@31 device\n")
	m.printf("TFTP from server %s; our IP address is %s\nFilename '%s'.\nLoad address: 0x%x\nLoading: *\b",
		server.Addr(), m.env["ipaddr"], w[2], at)
	conn, to, err := m.cfg.UDP(m.ctx, server)
	if err != nil {
		m.print("\nARP Retry count exceeded; starting again\n")
		return 1
	}
	defer conn.Close()
	t := &transfer{m: m, conn: conn, to: to, block: 512, window: 1, nextAck: 1, at: at}
	begun := time.Now()
	if err := t.run(w[2]); err != nil {
		if errors.Is(err, errInterrupted) {
			return m.abort()
		}
		m.printf("\n%v\n", err)
		return 1
	}
	rate := float64(t.size) / (1 << 20) / max(time.Since(begun).Seconds(), 0.001)
	m.printf("\n\t %.1f MiB/s\ndone\nBytes transferred = %d (%x hex)\n", rate, t.size, t.size)
	m.env["filesize"], m.env["fileaddr"] = fmt.Sprintf("%x", t.size), fmt.Sprintf("%x", at)
	return 0
}

// run transfers the file. The text of its error is what U-Boot prints.
func (t *transfer) run(name string) error {
	request := t.request(name)
	t.send(request)
	again := func() {
		if !t.answered {
			t.send(request)
			return
		}
		t.ack()
	}
	buf := make([]byte, 65536)
	misses := 0
	for until := time.Now().Add(tftpTimeout); ; {
		if t.m.ctrlC() || t.m.ctx.Err() != nil {
			return errInterrupted
		}
		t.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, from, err := t.conn.ReadFrom(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if time.Now().Before(until) {
				continue
			}
			if misses++; misses > tftpTries {
				return printed("Retry count exceeded; starting again")
			}
			t.m.print("T ")
			again()
			until = time.Now().Add(tftpTimeout)
			continue
		case err != nil:
			return fmt.Errorf("net error: %w", err)
		}
		if t.m.cfg.TFTPLoss > 0 && t.m.cfg.Random() < t.m.cfg.TFTPLoss || n < 4 {
			continue
		}
		done, err := t.packet(buf[:n], from)
		if done || err != nil {
			return err
		}
		misses = 0
		until = time.Now().Add(tftpTimeout)
	}
}

func (t *transfer) request(name string) []byte {
	p := []byte{0, opRead}
	field := func(s string) { p = append(append(p, s...), 0) }
	field(name)
	field("octet")
	field("timeout")
	field("5")
	if s := t.m.env["tftpblocksize"]; s != "" {
		field("blksize")
		field(s)
	}
	if s := t.m.env["tftpwindowsize"]; s != "" && s != "1" {
		field("windowsize")
		field(s)
	}
	return p
}

// packet takes one packet and says whether the file is complete.
func (t *transfer) packet(p []byte, from net.Addr) (done bool, err error) {
	if t.answered && from.String() != t.to.String() {
		return false, nil // not the server of this transfer
	}
	t.to = from
	switch binary.BigEndian.Uint16(p) {
	case opError:
		text, _, _ := strings.Cut(string(p[4:]), "\x00")
		return false, printed(fmt.Sprintf("TFTP error: '%s' (%d)\nNot retrying...", text, binary.BigEndian.Uint16(p[2:])))
	case opOACK:
		if !t.answered {
			t.agree(p[2:])
			t.nextAck = uint16(t.window)
		}
		t.answered = true
		t.ack()
	case opData:
		t.answered = true
		return t.data(binary.BigEndian.Uint16(p[2:]), p[4:]), nil
	}
	return false, nil
}

func (t *transfer) agree(options []byte) {
	fields := strings.Split(string(options), "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		n, err := strconv.Atoi(fields[i+1])
		if err != nil {
			continue
		}
		switch strings.ToLower(fields[i]) {
		case "blksize":
			t.block = n
		case "windowsize":
			t.window = n
		}
	}
}

// data takes a block. The first one behind a gap is answered with what came last in
// order, so that the server goes back there (RFC 7440); U-Boot says that once for
// each gap, and not for one before the first block.
func (t *transfer) data(block uint16, p []byte) (done bool) {
	if block != t.last+1 {
		if t.nacked != t.last {
			t.ack()
			t.nacked = t.last
			t.nextAck = t.last + uint16(t.window)
		}
		return false
	}
	t.m.ram.write(t.at+uint64(t.size), p)
	t.last++
	t.size += int64(len(p))
	for ; int64(t.hashes) < t.size/(14<<10); t.hashes++ {
		t.m.print("#")
		if t.hashes%65 == 64 {
			t.m.print("\n\t ")
		}
	}
	done = len(p) < t.block
	if limit := t.m.cfg.TFTPLimit; limit > 0 && t.size >= limit {
		done = true
	}
	if done || t.last == t.nextAck {
		t.ack()
		t.nextAck += uint16(t.window)
	}
	return done
}

func (t *transfer) ack() {
	t.send([]byte{0, opAck, byte(t.last >> 8), byte(t.last)})
}

// send gives a packet to the network, which may lose it.
func (t *transfer) send(p []byte) {
	if t.m.cfg.TFTPLoss > 0 && t.m.cfg.Random() < t.m.cfg.TFTPLoss {
		return
	}
	t.conn.WriteTo(p, t.to) // a packet that is not sent is a lost one
}
