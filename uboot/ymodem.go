package uboot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/Netflix/go-expect"
)

// LoadYModem loads a file into RAM over the console itself, by U-Boot's command
// loady and YMODEM with blocks of 1 KiB: for a board without a network. At 115200
// baud that is some 10 KB/s, so it is for small files. The line must carry all
// eight bits and no software flow control (XON/XOFF).
//
// Each block has a CRC and is sent again, up to ten times, where U-Boot found it
// damaged; what arrived is compared by size, and by the crc32 command where the
// build has it. Errors: [ErrYModem], [ErrSize], [ErrCRC], [ErrBaudRate], and
// [ErrUnknownCommand] where the build has no loady. When ctx ends, the transfer is
// cancelled and the prompt proved again. Without a deadline in ctx, the transfer
// has a minute and one millisecond per byte.
func (s *Session) LoadYModem(ctx context.Context, u Upload) (Loaded, error) {
	return s.upload(ctx, u, protocol{
		op: "ymodem", command: "loady", name: "YMODEM", ready: regexp.MustCompile(`Ready for binary \(ymodem\)[^\n]*\n[^\n]*C`),
		failed: ErrYModem, stop: cancelled, send: (*exchange).sendYModem,
	})
}

const (
	soh, stx, eot, ack, nak, can = 0x01, 0x02, 0x04, 0x06, 0x15, 0x18

	// cancelled ends a transfer. U-Boot wants three at once, and what is left of
	// them when it is at its prompt empties the line.
	cancelled = "\x18\x18\x18\x18\x18\x18\x18\x18"
)

// What U-Boot says to a block (common/xyzModem.c): ACK, or C for one that was
// damaged or did not come. When it prints text instead, the transfer has ended.
var (
	modemAnswer = regexp.MustCompile(`[\x06\x15\x18]|C|[ -BD-~]{3}`)
	modemText   = regexp.MustCompile(`[ -BD-~]`)
)

// quietTime tells a C from the beginning of a text, and the last of several
// answers; askTime is what U-Boot has to ask for more, which it need not do.
const quietTime, askTime = 150 * time.Millisecond, 300 * time.Millisecond

// errEnded is a U-Boot that is not in the transfer any more.
var errEnded = errors.New("U-Boot ended the transfer")

// sendYModem sends the block with name and size, the content, the end, and the
// empty block that says that no file follows.
func (x *exchange) sendYModem(ctx context.Context) error {
	x.stored = x.u.Size
	head := make([]byte, 128)
	copy(head, x.fileName()+"\x00"+strconv.FormatInt(x.u.Size, 10)+" ")
	if err := x.sendBlock(ctx, "the name", modemBlock(0, head)); err != nil {
		return err
	}
	// U-Boot's YMODEM waits for the file without asking for it.
	if _, err := x.within(ctx, askTime, expect.Regexp(regexp.MustCompile(`C`))); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	block := make([]byte, 1024)
	for sent, n := int64(0), byte(1); sent < x.u.Size; n++ {
		part, err := x.next(block, sent)
		if err != nil {
			return err
		}
		for i := len(part); i < len(block); i++ {
			block[i] = 0x1a // what is behind the size is not stored
		}
		if err := x.sendBlock(ctx, fmt.Sprintf("the block at %d", sent), modemBlock(n, block)); err != nil {
			return err
		}
		sent += int64(len(part))
		x.progress(sent)
	}
	if err := x.whole(); err != nil {
		return err
	}
	if err := x.sendBlock(ctx, "the end", string([]byte{eot})); err != nil {
		return err
	}
	m, err := x.within(ctx, answerTime, expect.Regexp(modemMore))
	switch {
	case err != nil:
		return x.silence(ctx, "U-Boot did not ask to end the transfer", err)
	case m.Text != "C": // it has not waited for it
		x.printed += m.Text
		return nil
	}
	err = x.sendBlock(ctx, "the empty block", modemBlock(0, make([]byte, 128)))
	if errors.Is(err, errEnded) { // it has everything
		return nil
	}
	return err
}

// modemMore is U-Boot asking for another file, or the text behind the transfer.
var modemMore = regexp.MustCompile(`C|[ -BD-~]{3}`)

// sendBlock sends what U-Boot has to acknowledge, again where it has not.
func (x *exchange) sendBlock(ctx context.Context, what, packet string) error {
	for try := range blockRetries + 1 {
		if text := x.con.Discard(); modemText.MatchString(text) {
			x.printed += text
			return x.over(ctx, what)
		}
		if err := x.con.Send(ctx, packet); err != nil {
			return err
		}
		m, err := x.within(ctx, answerTime, expect.Regexp(modemAnswer))
		switch {
		case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			x.cfg.log.Debug("No answer to a block", "block", what, "try", try)
		case err != nil:
			return x.silence(ctx, what, err)
		case m.Text[0] == ack:
			return x.settled(ctx, try)
		case m.Text[0] == can:
			return fmt.Errorf("%w: U-Boot cancelled the transfer at %s", x.failed, what)
		case len(m.Text) > 1:
			x.printed += m.Text
			return x.over(ctx, what)
		case m.Text[0] == 'C':
			if m, err := x.within(ctx, quietTime, expect.Regexp(modemText)); err == nil {
				x.printed += "C" + m.Before + m.Text
				return x.over(ctx, what)
			}
		}
	}
	return x.tooOften(what)
}

// settled waits, where a block was sent more than once, until it was acknowledged
// as often: or the answer for one would be taken for that to the next.
func (x *exchange) settled(ctx context.Context, again int) error {
	for range again {
		m, err := x.within(ctx, quietTime, expect.Regexp(modemAnswer))
		switch {
		case err != nil && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return nil
		case err != nil:
			return x.silence(ctx, "", err)
		case len(m.Text) > 1:
			x.printed += m.Text
			return nil // for whoever waits next
		}
	}
	return nil
}

// over is the error for a transfer that U-Boot has ended, or the reason.
func (x *exchange) over(ctx context.Context, what string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := x.await(ctx, nil, fatal(), nil); errors.Is(err, ErrReset) || errors.Is(err, ErrCrash) {
		return err
	}
	return fmt.Errorf("%w: %w at %s", x.failed, errEnded, what)
}

// modemBlock frames 128 or 1024 bytes.
func modemBlock(n byte, data []byte) string {
	p := []byte{stx, n, ^n}
	if len(data) == 128 {
		p[0] = soh
	}
	p = append(p, data...)
	crc := crc16(data)
	return string(append(p, byte(crc>>8), byte(crc)))
}

// crc16 is the CRC of XMODEM and YMODEM: polynomial 0x1021, from 0, not
// reflected.
func crc16(data []byte) (crc uint16) {
	for _, b := range data {
		crc ^= uint16(b) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
