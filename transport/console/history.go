package console

import "strings"

// historySize is how much of the session is remembered for Tail, in bytes.
const historySize = 32 << 10

// history remembers the last bytes of the session, consumed or not.
type history struct {
	buf []byte
}

func (h *history) add(p []byte) {
	if len(p) >= historySize {
		h.buf = append(h.buf[:0], p[len(p)-historySize:]...)
		return
	}
	if len(h.buf)+len(p) > 2*historySize {
		n := copy(h.buf, h.buf[len(h.buf)-historySize+len(p):])
		h.buf = h.buf[:n]
	}
	h.buf = append(h.buf, p...)
}

func (h *history) bytes() []byte {
	if len(h.buf) > historySize {
		return h.buf[len(h.buf)-historySize:]
	}
	return h.buf
}

// lastLines returns the last n lines of s that are not the emptiness after a
// final newline.
func lastLines(s string, n int) string {
	s = strings.TrimRight(s, "\n")
	if n <= 0 {
		return ""
	}
	i := len(s)
	for ; n > 0; n-- {
		if i = strings.LastIndexByte(s[:i], '\n'); i < 0 {
			return s
		}
	}
	return s[i+1:]
}
