package bootloader

import (
	"bytes"
	"context"
	"encoding/binary"
	"strconv"
	"time"
)

// Characters of YMODEM.
const (
	soh = 0x01 // a packet of 128 bytes follows
	stx = 0x02 // one of 1024
	eot = 0x04
	ack = 0x06
	nak = 0x15
	can = 0x18
)

// loadyTimeout is how long U-Boot waits for a packet before it asks again, and
// loadyTries how often. U-Boot waits longer.
const (
	loadyTimeout = 200 * time.Millisecond
	loadyTries   = 25
)

// loady receives one file over the serial line by YMODEM (cmd/load.c and
// common/xyzModem.c of U-Boot).
func (m *machine) loady(w []string) int { return m.loadSerial(w, "ymodem", m.receive) }

// loadx does so by XMODEM, which has no packet with the name and the size.
func (m *machine) loadx(w []string) int { return m.loadSerial(w, "xmodem", m.receiveXModem) }

func (m *machine) loadSerial(w []string, mode string, receive func(at uint64) (int64, map[byte]int)) int {
	now, _ := strconv.Atoi(m.env["baudrate"])
	at, err := number(m.env["loadaddr"])
	baud := now
	if len(w) > 1 {
		at, err = number(w[1])
	}
	if len(w) > 2 {
		baud, _ = strconv.Atoi(w[2])
	}
	if err != nil || len(w) > 3 {
		return m.usage(w, "load binary file over serial line ("+mode+" mode)", "[addr [baud]]")
	}
	if !m.setBaud(baud, now, "ENTER", '\r') {
		return 1
	}
	m.printf("## Ready for binary (%s) download to 0x%08X at %d bps...\n", mode, at, baud)
	size, packets := receive(at)
	if size < 0 {
		m.printf("xyzModem - Cancelled\n## Binary (%s) download aborted\n", mode)
		m.setBaud(now, baud, "ESC", 0x1b)
		return 1
	}
	m.printf("xyzModem - CRC mode, %d(SOH)/%d(STX)/0(CAN) packets, 4 retries\n", packets[soh], packets[stx])
	m.printf("## Total Size      = 0x%08x = %d Bytes\n", size, size)
	m.env["filesize"] = strconv.FormatInt(size, 16)
	m.env["fileaddr"] = strconv.FormatUint(at, 16)
	if !m.setBaud(now, baud, "ESC", 0x1b) {
		return 1
	}
	return 0
}

// setBaud goes to another rate and waits for the key that shows that the other side
// is there, without a limit, as U-Boot does.
func (m *machine) setBaud(baud, now int, name string, key byte) bool {
	if baud == now {
		return true
	}
	m.printf("## Switch baudrate to %d bps and press %s ...\n", baud, name)
	m.tty.SetBaud(baud)
	for p := make([]byte, 1); p[0] != key; {
		if _, err := m.tty.Receive(m.ctx, p); err != nil {
			return false
		}
	}
	return true
}

// receiveXModem takes packets up to the end. What looks like padding is dropped,
// as U-Boot does.
func (m *machine) receiveXModem(at uint64) (stored int64, packets map[byte]int) {
	packets = map[byte]int{}
	next, ask := byte(1), byte('C')
	for tries := 0; tries < loadyTries; {
		if m.tty.Send(m.ctx, []byte{ask}) != nil {
			return -1, nil
		}
		kind, n, data := m.packet()
		switch {
		case m.ctx.Err() != nil, kind == can, kind == 3:
			return -1, nil
		case kind == eot:
			_ = m.tty.Send(m.ctx, []byte{ack}) // a lost line is noticed by what reads it
			return stored, packets
		case data == nil:
			if tries++; len(packets) > 0 {
				ask = nak
			}
			continue
		case n == next:
			packets[kind]++
			if rest := bytes.TrimRight(data, "\x1a"); len(data)-len(rest) > 2 {
				data = rest
			}
			m.ram.write(at+uint64(stored), data)
			stored, next = stored+int64(len(data)), next+1
		case n != next-1: // its ACK was not lost either
			return -1, nil
		}
		tries, ask = 0, ack
	}
	return -1, nil
}

// receive takes the packet with the name, those of the file, and the empty one
// that ends the transfer. The size is -1 where nobody sends, or the sender or
// Ctrl-C cancelled.
func (m *machine) receive(at uint64) (size int64, packets map[byte]int) {
	packets = map[byte]int{}
	size, stored, next, named := -1, int64(0), byte(0), false
	ask := byte('C')
	for tries := 0; tries < loadyTries; {
		if ask != 0 && m.tty.Send(m.ctx, []byte{ask}) != nil {
			return -1, nil
		}
		ask = nak
		kind, n, data := m.packet()
		switch {
		case m.ctx.Err() != nil, kind == can, kind == 3:
			return -1, nil
		case kind == eot:
			_ = m.tty.Send(m.ctx, []byte{ack}) // a lost line is noticed by what reads it
			ask, named, next = 'C', false, 0
		case data == nil: // nothing, or a damaged one
			tries++
			if next == 0 && !named {
				ask = 'C'
			}
			continue
		case !named && n == 0 && data[0] == 0: // no further file
			_ = m.tty.Send(m.ctx, []byte{ack})
			return stored, packets
		case !named && n == 0:
			packets[kind]++
			_, rest, _ := bytes.Cut(data, []byte{0})
			digits, _, _ := bytes.Cut(rest, []byte(" "))
			var err error
			if size, err = strconv.ParseInt(string(digits), 10, 64); err != nil {
				return -1, nil
			}
			_ = m.tty.Send(m.ctx, []byte{ack})
			ask, named, next = 'C', true, 1
		case n == next-1 && named: // its ACK was lost
			ask = ack
		case n == next && named:
			packets[kind]++
			data = data[:min(int64(len(data)), size-stored)]
			m.ram.write(at+uint64(stored), data)
			stored, next, ask = stored+int64(len(data)), next+1, ack
		default:
			return -1, nil
		}
		tries = 0
	}
	return -1, nil
}

// packet waits for one. data is nil where it did not come or its check is wrong.
func (m *machine) packet() (kind, n byte, data []byte) {
	ctx, cancel := context.WithTimeout(m.ctx, loadyTimeout)
	defer cancel()
	var head [1]byte
	if _, err := m.tty.Receive(ctx, head[:]); err != nil {
		return 0, 0, nil
	}
	length := map[byte]int{soh: 128, stx: 1024}[head[0]]
	if length == 0 {
		return head[0], 0, nil
	}
	p := make([]byte, 2+length+2)
	for got := 0; got < len(p); {
		k, err := m.tty.Receive(ctx, p[got:])
		if err != nil {
			return 0, 0, nil
		}
		got += k
	}
	body := p[2 : 2+length]
	if p[0] != ^p[1] || binary.BigEndian.Uint16(p[2+length:]) != crc16(body) {
		return 0, 0, nil
	}
	return head[0], p[0], body
}

// crc16 is XMODEM's: polynomial 0x1021 from 0.
func crc16(data []byte) (crc uint16) {
	for _, b := range data {
		crc ^= uint16(b) << 8
		for range 8 {
			carry := crc & 0x8000
			if crc <<= 1; carry != 0 {
				crc ^= 0x1021
			}
		}
	}
	return crc
}
