package console

import (
	"bytes"
	"fmt"
)

// escape finds the sequence that ends an attachment in what a person types.
type escape struct {
	seq  []byte
	held []byte // the beginning of the sequence, typed so far
}

// feed returns what goes to the board, and whether the person leaves.
func (e *escape) feed(p []byte) (out []byte, left bool) {
	b := append(e.held, p...)
	e.held = nil
	if i := bytes.Index(b, e.seq); i >= 0 {
		return b[:i], true
	}
	for n := min(len(e.seq)-1, len(b)); n > 0; n-- {
		if bytes.HasSuffix(b, e.seq[:n]) {
			e.held = append([]byte(nil), b[len(b)-n:]...)
			return b[:len(b)-n], false
		}
	}
	return b, false
}

// String names the keys of the sequence as a person types them.
func (e *escape) String() string {
	var s []byte
	for i, b := range e.seq {
		if i > 0 {
			s = append(s, ' ')
		}
		switch {
		case b == 0x1b:
			s = append(s, "Esc"...)
		case b < 0x20:
			s = append(s, "Ctrl-"...)
			s = append(s, b+'@')
		case b < 0x7f:
			s = append(s, b)
		default:
			s = fmt.Appendf(s, "0x%02x", b)
		}
	}
	return string(s)
}
