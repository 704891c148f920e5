package uboot

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
)

// LoadXModem loads a file into RAM over the console as [Session.LoadYModem] does, by
// U-Boot's command loadx and XMODEM with CRC and blocks of 1 KiB, or of 128 bytes
// at the end.
//
// XMODEM does not know a file's size: zeros follow the file up to the end of its
// last block, up to 1023 bytes of them, mostly fewer than 128. They are in RAM behind
// the file and in $filesize; Loaded.Stored counts them, Loaded.Size does not. U-Boot
// takes three or more bytes of 0x1a at the end of any block for padding and drops
// them, so the blocks are laid out such that none ends so. A file in which 0x1a is
// repeated for too long is [ErrXModem] therefore: use YMODEM or Kermit.
func (s *Session) LoadXModem(ctx context.Context, u Upload) (Loaded, error) {
	return s.upload(ctx, u, protocol{
		op: "xmodem", command: "loadx", name: "XMODEM", ready: regexp.MustCompile(`Ready for binary \(xmodem\)[^\n]*\n[^\n]*C`),
		failed: ErrXModem, stop: cancelled, send: (*exchange).sendXModem,
	})
}

// sendXModem sends the content and the end.
func (x *exchange) sendXModem(ctx context.Context) error {
	ahead := make([]byte, 1024) // the part of the file that comes next
	have, read, sent := 0, int64(0), int64(0)
	for n := byte(1); sent < x.u.Size; n++ {
		part, err := x.next(ahead[have:], read)
		if err != nil {
			return err
		}
		have += len(part)
		read += int64(len(part))
		clear(ahead[have:])
		size := xmodemSize(ahead, have)
		if size == 0 {
			return fmt.Errorf("%w: there are too many bytes of 0x1a behind %d, which U-Boot's loadx drops: use YMODEM or Kermit", x.failed, sent)
		}
		if err := x.sendBlock(ctx, fmt.Sprintf("the block at %d", sent), modemBlock(n, ahead[:size])); err != nil {
			return err
		}
		x.stored += int64(size)
		sent += int64(min(size, have))
		have = copy(ahead, ahead[min(size, have):have])
		x.progress(sent)
	}
	if err := x.whole(); err != nil {
		return err
	}
	return x.sendBlock(ctx, "the end", string([]byte{eot}))
}

// xmodemSize says how long the next block is, of which have bytes are the file's: 0
// where either would end with what U-Boot takes for padding.
func xmodemSize(block []byte, have int) int {
	sizes := []int{1024, 128}
	if have <= 1024-128 {
		sizes = []int{128, 1024}
	}
	for _, size := range sizes {
		if !bytes.HasSuffix(block[:size], []byte{0x1a, 0x1a, 0x1a}) {
			return size
		}
	}
	return 0
}
