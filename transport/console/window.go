package console

import (
	"bytes"
	"unicode/utf8"
)

// window holds the unconsumed output. Positions are offsets in the stream of
// all bytes that were ever read, so that they survive the window's moving.
type window struct {
	limit   int    // how many bytes are kept
	buf     []byte // backing store; the live part is buf[off:]
	off     int
	start   int64 // stream offset of the first live byte
	dropped int64 // bytes lost since the last consumption
}

func (w *window) end() int64 { return w.start + int64(len(w.buf)-w.off) }

// live returns the unconsumed bytes; valid until the next change.
func (w *window) live() []byte { return w.buf[w.off:] }

// add appends p; trim must follow once the bytes have been looked at.
func (w *window) add(p []byte) {
	if w.off > 0 && len(w.buf)+len(p) > cap(w.buf) {
		n := copy(w.buf, w.buf[w.off:])
		w.buf, w.off = w.buf[:n], 0
	}
	w.buf = append(w.buf, p...)
}

// trim drops the oldest bytes beyond the limit. A few more are kept, so that a
// match that ends a UTF-8 sequence earlier still sees the whole limit.
func (w *window) trim() {
	if over := len(w.live()) - w.limit - utf8.UTFMax; over > 0 {
		w.dropped += int64(over)
		w.skip(over)
	}
}

// visible returns the bytes that a match ending at stream offset end may
// consist of: at most limit bytes, none of them consumed. lost is how many
// bytes before them are out of reach. The result is the same however the input
// was cut, because it depends on end alone.
func (w *window) visible(end int64) (b []byte, lost int64) {
	b = w.live()[:end-w.start]
	if over := len(b) - w.limit; over > 0 {
		return b[over:], int64(over)
	}
	return b, 0
}

// buffer is the visible part up to end, as go-expect hands it to a matcher.
func (w *window) buffer(end int64) *bytes.Buffer {
	visible, _ := w.visible(end)
	return bytes.NewBuffer(visible[:len(visible):len(visible)])
}

// consume forgets everything before stream offset end.
func (w *window) consume(end int64) {
	w.skip(int(end - w.start))
	w.dropped = 0
}

func (w *window) skip(n int) {
	w.off += n
	w.start += int64(n)
	if w.off == len(w.buf) {
		w.buf, w.off = w.buf[:0], 0
	}
}
