package uboot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/Netflix/go-expect"
)

// LoadKermit loads a file into RAM over the console as [Session.LoadYModem] does, by
// U-Boot's command loadb and the Kermit protocol: for a line that takes control
// characters for itself (XON/XOFF, a terminal server's escapes), because none is
// sent but SOH and CR. The line must carry eight bits.
//
// Packets have up to 1000 bytes where U-Boot takes as many. Their checksum is of six
// bits only, so a damaged packet may pass: a build without the crc32 command has
// nothing else to find it by (see Loaded.CRCChecked).
//
// Errors are those of LoadYModem with [ErrKermit] in place of [ErrYModem].
func (s *Session) LoadKermit(ctx context.Context, u Upload) (Loaded, error) {
	return s.upload(ctx, u, protocol{
		op: "kermit", command: "loadb", name: "Kermit", ready: regexp.MustCompile(`Ready for binary \(kermit\)[^\n]*\n`),
		failed: ErrKermit, stop: "\x03\x03\x03", send: (*exchange).sendKermit,
	})
}

// kermitParameters is the content of our Send-Init packet: packets of 94, 10 s, no
// padding, lines end with CR, # quotes, eight bits, checksums of one character, no
// repetition, long packets, no windows, long packets of 94*95+94.
const kermitParameters = "~* @-#N1 \" ~~"

// kermitLong is the data in a long packet, and kermitShort that in another.
const kermitLong, kermitShort = 1000, 91

// sendKermit sends the parameters, the name, the content and the end, each in
// packets that U-Boot acknowledges one by one.
func (x *exchange) sendKermit(ctx context.Context) error {
	x.stored = x.u.Size
	theirs, err := x.sendPacket(ctx, "the parameters", 0, 'S', []byte(kermitParameters))
	if err != nil {
		return err
	}
	room := kermitRoom(theirs)
	if _, err := x.sendPacket(ctx, "the name", 1, 'F', []byte(x.fileName())); err != nil {
		return err
	}
	n, block := 2, make([]byte, room)
	var rest []byte // of the file, which has not been sent
	for sent, read := int64(0), int64(0); sent < x.u.Size; n++ {
		part, err := x.next(block[len(rest):], read)
		if err != nil {
			return err
		}
		read += int64(len(part))
		rest = block[:len(rest)+len(part)]
		data, taken := kermitQuote(rest, room)
		if _, err := x.sendPacket(ctx, fmt.Sprintf("the packet at %d", sent), n, 'D', data); err != nil {
			return err
		}
		sent += int64(taken)
		rest = block[:copy(block, rest[taken:])]
		x.progress(sent)
	}
	if err := x.whole(); err != nil {
		return err
	}
	for _, kind := range []byte{'Z', 'B'} {
		if _, err := x.sendPacket(ctx, "the end", n, kind, nil); err != nil {
			return err
		}
		n++
	}
	return nil
}

// sendPacket sends a packet until U-Boot acknowledges it, and returns the data in
// its answer. U-Boot has no timeout of its own: a packet that lost a byte is only
// refused when the next comes.
func (x *exchange) sendPacket(ctx context.Context, what string, n int, kind byte, data []byte) ([]byte, error) {
	n %= 64
	packet := kermitPacket(n, kind, data)
	for try := 0; try <= blockRetries; try++ {
		x.con.Discard()
		if err := x.con.Send(ctx, packet); err != nil {
			return nil, err
		}
		theirs, err := x.kermitAnswer(ctx, n)
		switch {
		case err == nil:
			return theirs, nil
		case errors.Is(err, errRefused):
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			x.cfg.log.Debug("No answer to a packet", "packet", what, "try", try)
		case errors.Is(err, errEnded):
			return nil, x.over(ctx, what)
		default:
			return nil, x.silence(ctx, what, err)
		}
	}
	return nil, x.tooOften(what)
}

// errRefused is a packet that was damaged.
var errRefused = errors.New("packet was refused")

// kermitAnswer waits for the answer to packet n.
func (x *exchange) kermitAnswer(ctx context.Context, n int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for {
		m, err := x.con.Expect(ctx, expect.Regexp(kermitReply))
		if err != nil {
			return nil, err
		}
		if m.Text[0] != soh {
			x.printed += m.Before + m.Text
			return nil, errEnded
		}
		seq, kind, data, ok := parseKermit([]byte(m.Text))
		switch {
		case !ok || kind == 'N':
			return nil, errRefused
		case kind == 'E':
			return nil, fmt.Errorf("%w: U-Boot says %q", x.failed, data)
		case kind == 'Y' && seq == n:
			return data, nil
		}
	}
}

// kermitReply is a packet of U-Boot's, or the text that it prints when the transfer
// has ended.
var kermitReply = regexp.MustCompile(`\x01[^\x01\r]*\r|## `)

// parseKermit takes a packet apart, from SOH to CR.
func parseKermit(p []byte) (n int, kind byte, data []byte, ok bool) {
	if len(p) < 6 || p[0] != soh || p[len(p)-1] != '\r' {
		return 0, 0, nil, false
	}
	p = p[1 : len(p)-1] // from the length to the checksum
	if int(p[0])-' ' != len(p)-1 || p[1] < ' ' || p[1] >= ' '+64 || p[len(p)-1] != kermitSum(p[:len(p)-1]) {
		return 0, 0, nil, false
	}
	return int(p[1] - ' '), p[2], p[3 : len(p)-1], true
}

// kermitPacket frames data of any length.
func kermitPacket(n int, kind byte, data []byte) string {
	p := []byte{soh}
	if len(data) <= kermitShort {
		p = append(p, byte(' '+len(data)+3), byte(' '+n), kind)
	} else {
		length := len(data) + 1
		p = append(p, ' ', byte(' '+n), kind, byte(' '+length/95), byte(' '+length%95))
		p = append(p, kermitSum(p[1:]))
	}
	p = append(p, data...)
	return string(append(p, kermitSum(p[1:]), '\r'))
}

// kermitSum is the checksum of one character.
func kermitSum(p []byte) byte {
	sum := 0
	for _, b := range p {
		sum += int(b)
	}
	return byte(' ' + (sum+sum>>6&3)&0x3f)
}

// kermitRoom says how much data U-Boot takes in a packet: the tenth parameter says
// whether it takes long ones, the twelfth and thirteenth how long.
func kermitRoom(parameters []byte) int {
	if len(parameters) < 13 || (parameters[9]-' ')&2 == 0 {
		return kermitShort
	}
	long := int(parameters[11]-' ')*95 + int(parameters[12]-' ')
	if parameters[11] < ' ' || parameters[12] < ' ' || long <= 96 {
		return kermitShort
	}
	return min(kermitLong, long-1)
}

// kermitQuote quotes as much of a file as there is room for. What has the eighth bit
// set is no control character to U-Boot's k_recv.
func kermitQuote(file []byte, room int) (data []byte, taken int) {
	var out bytes.Buffer
	for _, b := range file {
		switch {
		case b < ' ' || b == 0x7f:
			if out.Len()+2 > room {
				return out.Bytes(), taken
			}
			out.Write([]byte{'#', b ^ 0x40})
		case b == '#':
			if out.Len()+2 > room {
				return out.Bytes(), taken
			}
			out.WriteString("##")
		default:
			if out.Len()+1 > room {
				return out.Bytes(), taken
			}
			out.WriteByte(b)
		}
		taken++
	}
	return out.Bytes(), taken
}
