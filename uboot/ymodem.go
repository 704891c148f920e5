package uboot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/Netflix/go-expect"
)

// Upload is what [Session.LoadYModem] sends over the serial line.
type Upload struct {
	// Name is told to U-Boot, which ignores it. Default "file".
	Name string
	// Address in RAM, as in [File].
	Address string
	// Content is read to its end once; Size is how many bytes it has.
	Content io.Reader
	Size    int64
	// Progress, where not nil, is called after each block with how many bytes
	// U-Boot has acknowledged.
	Progress func(sent int64)
}

const (
	soh, stx, eot, ack, nak, can = 0x01, 0x02, 0x04, 0x06, 0x15, 0x18

	// blockRetries is how often a block is sent again that U-Boot found damaged
	// or that it did not answer in answerTime.
	blockRetries = 10
	answerTime   = 10 * time.Second
)

var (
	ymodemReady  = regexp.MustCompile(`Ready for binary \(ymodem\)[^\n]*\n[^\n]*C`)
	ymodemAnswer = regexp.MustCompile(`[\x06\x15\x18]`)
	totalSize    = regexp.MustCompile(`Total Size\s*= 0x[0-9a-f]+ = (\d+) Bytes`)
)

// LoadYModem loads a file into RAM over the console itself, by U-Boot's command
// loady and YMODEM with blocks of 1 KiB: for a board without a network. At 115200
// baud that is some 10 KB/s, so it is for small files. The line must carry all
// eight bits and no software flow control (XON/XOFF).
//
// Each block has a CRC and is sent again, up to ten times, where U-Boot found it
// damaged; what arrived is compared by size, and by the crc32 command where the
// build has it. Errors: [ErrYModem], [ErrSize], [ErrCRC], and [ErrUnknownCommand]
// where the build has no loady. When ctx ends, the transfer is cancelled and the
// prompt proved again. Without a deadline in ctx, the transfer has a minute and
// one millisecond per byte.
func (s *Session) LoadYModem(ctx context.Context, u Upload) (Loaded, error) {
	cmd := "loady " + u.Address
	ctx, cancel := limit(ctx, time.Minute+time.Duration(max(u.Size, 0))*time.Millisecond)
	defer cancel()
	l, err := s.loadYModem(ctx, u, cmd)
	if err != nil {
		return l, s.fail("ymodem", cmd, err)
	}
	return l, nil
}

func (s *Session) loadYModem(ctx context.Context, u Upload, cmd string) (l Loaded, err error) {
	if !safeWord.MatchString(u.Address) {
		return l, fmt.Errorf("address %q has a character that U-Boot's command line does not take", u.Address)
	}
	if u.Size < 1 || u.Content == nil {
		return l, fmt.Errorf("%w: YMODEM sends the size first, and %d is none", ErrSize, u.Size)
	}
	m := s.newMarker()
	if err := s.con.SendLine(ctx, s.frame(m, cmd)); err != nil {
		return l, err
	}
	if err := s.begin(ctx, m); err != nil {
		return l, s.recover(err)
	}
	var hit match
	err = s.await(ctx, []expect.ExpectOpt{expect.Regexp(ymodemReady), expect.Regexp(m.last())}, fatal(), &hit)
	switch {
	case err != nil:
		return l, s.cancelYModem(err)
	case hit.Index == 1: // the command ended before it began
		out := normalise(hit.Before)
		return l, s.shown(named(&CommandError{Command: cmd, Status: 1, Output: out}))
	}
	sum := crc32.NewIEEE()
	if err := s.sendYModem(ctx, u, io.TeeReader(u.Content, sum)); err != nil {
		return l, s.cancelYModem(err)
	}
	out, err := s.collect(ctx, m, cmd, nil)
	if err != nil {
		return l, err
	}
	size := totalSize.FindStringSubmatch(out)
	if size == nil {
		return l, fmt.Errorf("%w: loady did not say how much arrived: %q", ErrSize, out)
	}
	if l.Size, err = strconv.ParseInt(size[1], 10, 64); err != nil {
		return l, err
	}
	if l.Size != u.Size {
		return l, fmt.Errorf("%w: %d bytes arrived, the file has %d", ErrSize, l.Size, u.Size)
	}
	l.CRCChecked, err = s.checkCRC(ctx, u.Address, l.Size, sum.Sum32())
	return l, err
}

// cancelYModem ends a transfer from our side and proves the prompt.
func (s *Session) cancelYModem(cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if err := s.con.Send(ctx, "\x18\x18\x18"); err != nil {
		s.cfg.log.Debug("The transfer could not be cancelled", "error", err)
	}
	return s.recover(cause)
}

// sendYModem sends the block with name and size, the content, the end, and the
// empty block that says that no file follows.
func (s *Session) sendYModem(ctx context.Context, u Upload, content io.Reader) error {
	name := u.Name
	if name == "" || len(name) > 60 || !safeWord.MatchString(name) {
		name = "file"
	}
	head := make([]byte, 128)
	copy(head, name+"\x00"+strconv.FormatInt(u.Size, 10)+" ")
	if err := s.sendBlock(ctx, "the name", ymodemBlock(0, head)); err != nil {
		return err
	}
	if err := s.expectYModem(ctx, "begin the file"); err != nil {
		return err
	}
	block := make([]byte, 1024)
	for sent, n := int64(0), byte(1); sent < u.Size; n++ {
		part := block[:min(int64(len(block)), u.Size-sent)]
		if _, err := io.ReadFull(content, part); err != nil {
			return fmt.Errorf("%w: read the file at %d of %d: %w", ErrSize, sent, u.Size, err)
		}
		for i := len(part); i < len(block); i++ {
			block[i] = 0x1a // what is behind the size is not stored
		}
		if err := s.sendBlock(ctx, fmt.Sprintf("the block at %d", sent), ymodemBlock(n, block)); err != nil {
			return err
		}
		sent += int64(len(part))
		if u.Progress != nil {
			u.Progress(sent)
		}
	}
	if n, _ := content.Read(make([]byte, 1)); n > 0 {
		return fmt.Errorf("%w: the file has more than %d bytes", ErrSize, u.Size)
	}
	if err := s.sendBlock(ctx, "the end", string([]byte{eot})); err != nil {
		return err
	}
	if err := s.expectYModem(ctx, "end the transfer"); err != nil {
		return err
	}
	return s.sendBlock(ctx, "the empty block", ymodemBlock(0, make([]byte, 128)))
}

// expectYModem waits for the C with which U-Boot asks for the next block.
func (s *Session) expectYModem(ctx context.Context, to string) error {
	_, err := s.within(ctx, answerTime, expect.Regexp(regexp.MustCompile(`C`)))
	if err != nil {
		return s.yModemSilence(ctx, "U-Boot did not ask to "+to, err)
	}
	return nil
}

func (s *Session) yModemSilence(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %s in %v", ErrYModem, what, answerTime)
	}
	return err
}

// sendBlock sends what U-Boot has to acknowledge, again where it has not.
func (s *Session) sendBlock(ctx context.Context, what, packet string) error {
	for try := range blockRetries + 1 {
		if err := s.con.Send(ctx, packet); err != nil {
			return err
		}
		m, err := s.within(ctx, answerTime, expect.Regexp(ymodemAnswer))
		switch {
		case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			s.cfg.log.Debug("No answer to a YMODEM block", "block", what, "try", try)
		case err != nil:
			return s.yModemSilence(ctx, what, err)
		case m.Text[0] == ack:
			return nil
		case m.Text[0] == can:
			return fmt.Errorf("%w: U-Boot cancelled the transfer at %s", ErrYModem, what)
		}
	}
	return fmt.Errorf("%w: U-Boot did not take %s in %d tries: is the line clean, with eight bits and without XON/XOFF?", ErrYModem, what, blockRetries+1)
}

// ymodemBlock frames 128 or 1024 bytes.
func ymodemBlock(n byte, data []byte) string {
	p := []byte{stx, n, ^n}
	if len(data) == 128 {
		p[0] = soh
	}
	p = append(p, data...)
	return string(binary.BigEndian.AppendUint16(p, crc16(data)))
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
