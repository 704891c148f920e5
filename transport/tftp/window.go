package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// windows is the sender of RFC 7440: up to window blocks go out at once, and
// sending goes on behind the last block that the client has in order.
//
// What it does about loss is made for U-Boot's receiver (net/tftp.c), of which
// the RFC allows more than it does. It acknowledges when a window is whole,
// counted from its last acknowledgement. To any other block than the next in
// order, old or new, it says what it has, but only once until it has more; and by
// itself it repeats nothing before five seconds have passed.
type windows struct {
	t       *transfer
	content io.ReaderAt
	buf     []byte
	timer   *time.Timer

	next, last int64 // first block not acknowledged; the short or empty one that ends it
	high       int64 // highest block ever sent
	told       int64 // block that the client has said that it misses
	copied     int64 // highest block of which the client may have got a copy that it had no use for
	echoes     int   // answers that may come to copies: U-Boot answers the first, others each
	unsure     bool  // what is sent again next may be there already
	burst      int   // blocks at once: the window, or less where the board loses bursts
	losses     int   // rounds with loss, less those without
	single     bool  // several blocks with one call cannot be had
}

// sendWindows sends the file by windows of the agreed size; 1 is lock step.
func (t *transfer) sendWindows() error {
	content, err := t.file.Open()
	if err != nil {
		return t.abort(codeUndefined, fmt.Errorf("open: %w", err))
	}
	defer content.Close()
	w := &windows{t: t, content: content, buf: make([]byte, max(1, min(t.window, maxBurstBytes/(4+t.block)))*(4+t.block)), timer: time.NewTimer(time.Hour),
		next: 1, last: t.file.Size/int64(t.block) + 1, burst: t.window}
	defer w.timer.Stop()
	if oack := t.oack(); len(oack) > 2 {
		if w.echoes, err = t.sendOack(oack, w.timer); err != nil {
			return err
		}
	}
	for w.next <= w.last {
		if err := w.round(min(w.next+int64(w.burst)-1, w.last)); err != nil {
			return err
		}
	}
	return nil
}

// round sends the blocks up to end and returns when more are to be sent, those
// that the client misses among them.
func (w *windows) round(end int64) error {
	t, copies := w.t, -w.t.retransmits
	if err := w.send(w.next, end); err != nil {
		return err
	}
	if copies += t.retransmits; w.unsure && copies > 0 {
		w.copied = max(w.copied, w.next+int64(copies)-1)
	} else {
		copies = 0 // it has said that it needs them
	}
	w.unsure = false
	if w.burst < t.window && end < w.last {
		// The client's window is not full yet. A block that it has already makes
		// it say how far it is.
		if err := w.send(end, end); err != nil {
			return err
		}
	}
	sent, silences := time.Now(), 0
	w.timer.Reset(t.timing.wait())
	for {
		ack, ok, err := t.receive(w.timer)
		if err != nil {
			t.farewell(err)
			return err
		}
		if !ok {
			if err := t.silence(w.missing(end)); err != nil {
				return t.abort(codeUndefined, err)
			}
			if silences++; silences > 1 {
				w.single = true // in case that what several blocks pass through drops them
			}
			again := t.retransmits
			if err := w.prompt(end, silences); err != nil {
				return err
			}
			copies += t.retransmits - again
			w.timer.Reset(t.timing.wait())
			continue
		}
		// Blocks are numbered modulo 65536; how far ahead of what is known is
		// this one?
		switch ahead := int64(ack - uint16(w.next-1)); {
		case ahead >= 1 && ahead <= w.high-w.next+1:
			full, took := w.next+ahead-1 >= end, time.Since(sent)
			t.progress(min((w.next+ahead-1)*int64(t.block), t.file.Size) - t.bytes)
			w.next += ahead
			switch {
			case full && silences == 0:
				t.timing.sample(took)
			case full:
				t.timing.doubtful(took)
			}
			if !full && w.next-1 <= w.copied && (silences == 0 || silences == 1 && w.next == end) {
				// This may be the answer to a copy, with the rest under way. The
				// client counts its window from here.
				w.told = w.next
				if more := min(w.next-1+int64(w.burst), w.last); more > end && w.burst == t.window {
					if err := w.send(end+1, more); err != nil {
						return err
					}
					end = more
				}
				w.timer.Reset(t.timing.wait())
				continue
			}
			if !full {
				w.told = w.next // this acknowledgement says that it is missing
			}
			w.echoes = copies
			w.judge(full && silences == 0)
			return nil
		case ahead == 0 && w.burst < t.window:
			// The second answer to a burst that ended where the window did.
		case ahead == 0 && t.window > 1 && w.echoes > 0 && w.next-1 <= w.copied:
			// U-Boot had all of what was sent twice, and answers the second copy
			// as if something were missing. To believe that would send each
			// window from here on twice.
			w.echoes--
			if t.timing.echoed() {
				w.losses = max(0, w.losses-1) // the board was busy, and lost nothing
			}
		case ahead == 0 && t.window > 1 && (w.told != w.next || time.Since(sent) >= 2*t.timing.srtt):
			// The client misses the first block of this window. It may say so
			// once, as U-Boot does, or for each block behind the gap; those
			// echoes must not start it again, or every gap would multiply. In
			// lock step a repeated ACK never causes sending (RFC 1123 4.2.3.1).
			w.told, w.unsure = w.next, true
			w.echoes = copies + silences + 1
			w.judge(false)
			return nil
		case ahead == 0 && t.window == 1:
			t.timing.echoed()
		}
	}
}

// prompt gets an answer out of a client that gave none. First with the last block
// alone: the end of the window was lost, or its acknowledgement, and that cures
// both; a board that was only busy gets little twice. If the client has told which
// block it waits for, that one was lost again, and it will not say so again. Where
// that does not help, it has said how far it is, unheard, and does not repeat it
// until it has something new: that may be any block of the window, or one behind it.
func (w *windows) prompt(end int64, silences int) error {
	if w.t.window == 1 {
		return w.send(end, end)
	}
	w.copied = max(w.copied, end)
	if silences == 1 {
		if w.told == w.next && w.next < end {
			if err := w.send(w.next, w.next); err != nil {
				return err
			}
		}
		return w.send(end, end)
	}
	w.copied = min(w.high+1, end+int64(w.t.window), w.last)
	if err := w.send(w.next, w.copied); err != nil {
		return err
	}
	return w.send(end, end)
}

// judge takes note of how a round went. One that lost something among many is
// chance; many in a row are a network driver that drops bursts: it gets half of
// them at once from here on, in the end single blocks, and so it does in its next
// transfers.
func (w *windows) judge(clean bool) {
	const enough = 8
	if clean {
		w.losses = max(0, w.losses-1)
		return
	}
	if w.losses++; w.losses < enough || w.burst == 1 {
		return
	}
	w.losses = 0
	w.burst /= 2
	w.t.burst = w.burst
	w.t.s.learn(w.t.key.Addr(), w.burst)
	w.t.s.cfg.log.Warn("this board loses blocks that come at once, it gets fewer", "file", w.t.req.name,
		"client", w.t.addr.String(), "blocks", w.burst)
}

func (w *windows) missing(end int64) string {
	if end == w.last {
		return fmt.Sprintf("block %d, though it may have all: only the acknowledgement of the last, %d, is missing", w.next, w.last)
	}
	return fmt.Sprintf("block %d", w.next)
}

// maxBurstBytes is what goes out with one call: the most that a UDP datagram, of
// which the kernel makes several, may hold.
const maxBurstBytes = 65000

// send sends the blocks from first to end.
func (w *windows) send(first, end int64) error {
	w.t.retransmits += int(max(0, min(end, w.high)-first+1))
	for b := first; b <= end; {
		n := min(end-b+1, int64(len(w.buf)/(4+w.t.block)))
		if err := w.sendSome(b, n); err != nil {
			return err
		}
		b += n
	}
	w.high = max(w.high, end)
	return nil
}

// sendSome sends n blocks that fit the buffer, with one call where that can be had:
// most of the processor time of a transfer is that of calls.
func (w *windows) sendSome(first, n int64) error {
	t, used, size := w.t, 0, 4+w.t.block
	for b := first; b < first+n; b++ {
		k, err := t.fillBlock(w.content, w.buf[used:used+size], b)
		if err != nil {
			return err
		}
		used += k
	}
	if n > 1 && !w.single {
		if t.wire.writeSegments(w.buf[:used], size, &t.end) {
			return nil
		}
		w.single = true // an error that stays comes back below
	}
	for p := w.buf[:used]; len(p) > 0; first++ {
		k := min(size, len(p))
		if err := t.write(p[:k]); err != nil {
			return fmt.Errorf("write block %d: %w", first, err)
		}
		p = p[k:]
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

// sendOack returns how many times it was sent again: U-Boot answers each.
func (t *transfer) sendOack(oack []byte, timer *time.Timer) (again int, err error) {
	for ; ; again++ {
		if err := t.write(oack); err != nil {
			return again, fmt.Errorf("write options: %w", err)
		}
		if again > 0 {
			t.retransmits++
		}
		sent := time.Now()
		timer.Reset(t.timing.wait())
		for waiting := true; waiting; {
			ack, ok, err := t.receive(timer)
			if err != nil {
				t.farewell(err)
				return again, err
			}
			if !ok {
				if err := t.silence("the options"); err != nil {
					return again, t.abort(codeUndefined, err)
				}
				waiting = false
			} else if ack == 0 {
				t.progress(0)
				if again == 0 {
					t.timing.options(time.Since(sent))
				}
				return again, nil
			}
		}
	}
}

// fillBlock makes the DATA packet of block b in buf and returns its length.
func (t *transfer) fillBlock(content io.ReaderAt, buf []byte, b int64) (int, error) {
	off := (b - 1) * int64(t.block)
	n := int(min(int64(t.block), t.file.Size-off))
	binary.BigEndian.PutUint16(buf, opDATA)
	binary.BigEndian.PutUint16(buf[2:], uint16(b))
	if got, err := content.ReadAt(buf[4:4+n], off); got < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, t.abort(codeUndefined, fmt.Errorf("read at %d: %w", off, err))
	}
	return 4 + n, nil
}
