package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// sendWindows is the sender of RFC 7440: up to window blocks go out at once,
// and sending goes on behind the last block that the client has in order.
func (t *transfer) sendWindows() error {
	content, err := t.file.Open()
	if err != nil {
		return t.abort(codeUndefined, fmt.Errorf("open: %w", err))
	}
	defer content.Close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()

	if oack := t.oack(); len(oack) > 2 {
		if err := t.sendOack(oack, timer); err != nil {
			return err
		}
	}
	buf := make([]byte, 4+t.block)
	last := t.file.Size/int64(t.block) + 1 // the short or empty one that ends it
	next, resend := int64(1), false        // next: first block not acknowledged
	var high int64                         // highest block ever sent
	var told int64                         // block that was sent again because the client misses it
	echo := false                          // the client may yet answer the second copy of what it had
	for next <= last {
		end := min(next+int64(t.window)-1, last)
		for b := next; b <= end; b++ {
			if b <= high {
				t.retransmits++
			}
			if err := t.sendBlock(content, buf, b); err != nil {
				return err
			}
		}
		high = max(high, end)
		sent := time.Now()
		timer.Reset(t.timing.wait())
		for waiting := true; waiting; {
			ack, ok, err := t.receive(timer)
			if err != nil {
				t.farewell(err)
				return err
			}
			if !ok {
				if err := t.silence(fmt.Sprintf("block %d", next)); err != nil {
					return t.abort(codeUndefined, err)
				}
				resend, waiting = true, false
				continue
			}
			// Blocks are numbered modulo 65536; how far ahead of what is
			// known is this one?
			switch ahead := int64(ack - uint16(next-1)); {
			case ahead >= 1 && ahead <= end-next+1:
				if !resend && next+ahead-1 == end {
					t.timing.sample(time.Since(sent))
				}
				t.progress(min((next+ahead-1)*int64(t.block), t.file.Size) - t.bytes)
				next += ahead
				if next <= end {
					told = next // this acknowledgement says that it is missing
				}
				echo = resend
				resend, waiting = false, false
			case ahead == 0 && t.window > 1 && echo:
				// U-Boot had all of the window that was sent twice, and answers its
				// second copy as if something were missing. To believe that would
				// send each window from here on twice.
				echo = false
			case ahead == 0 && t.window > 1 && (told != next || time.Since(sent) >= 2*t.timing.srtt):
				// The client misses the first block of this window. It may say so
				// once, as U-Boot does, or for each block behind the gap; those
				// echoes must not start it again, or every gap would multiply. In
				// lock step a repeated ACK never causes sending (RFC 1123 4.2.3.1).
				told = next
				resend, waiting = true, false
			}
		}
	}
	return nil
}

func (t *transfer) oack() []byte {
	p := []byte{0, opOACK}
	if t.req.blksize > 0 {
		p = appendOption(p, "blksize", int64(t.block))
	}
	if t.req.windowsize > 0 {
		p = appendOption(p, "windowsize", int64(t.window))
	}
	if t.req.timeout > 0 {
		p = appendOption(p, "timeout", int64(t.req.timeout))
	}
	if t.req.tsize {
		p = appendOption(p, "tsize", t.file.Size)
	}
	return p
}

func (t *transfer) sendOack(oack []byte, timer *time.Timer) error {
	for try := 0; ; try++ {
		if err := t.write(oack); err != nil {
			return fmt.Errorf("write options: %w", err)
		}
		if try > 0 {
			t.retransmits++
		}
		sent := time.Now()
		timer.Reset(t.timing.wait())
		for {
			ack, ok, err := t.receive(timer)
			if err != nil {
				t.farewell(err)
				return err
			}
			if !ok {
				if err := t.silence("the options"); err != nil {
					return t.abort(codeUndefined, err)
				}
				break
			}
			if ack == 0 {
				if try == 0 {
					t.timing.sample(time.Since(sent))
				}
				t.progress(0)
				return nil
			}
		}
	}
}

func (t *transfer) sendBlock(content io.ReaderAt, buf []byte, b int64) error {
	off := (b - 1) * int64(t.block)
	n := int(min(int64(t.block), t.file.Size-off))
	binary.BigEndian.PutUint16(buf, opDATA)
	binary.BigEndian.PutUint16(buf[2:], uint16(b))
	if got, err := content.ReadAt(buf[4:4+n], off); got < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return t.abort(codeUndefined, fmt.Errorf("read at %d: %w", off, err))
	}
	if err := t.write(buf[:4+n]); err != nil {
		return fmt.Errorf("write block %d: %w", b, err)
	}
	return nil
}
