package console

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	// maxLine is how many characters of a line without an end are held; a line
	// that is longer comes out in parts.
	maxLine = 4096
	// maxColumn bounds how far to the right a sequence can move the cursor, so
	// that a few bytes of noise do not make kilobytes of blanks.
	maxColumn = 255
	// maxParams bounds the parameters of a control sequence, and maxString the
	// length of a string sequence (a window title): what is longer is noise.
	maxParams, maxString = 32, 1024
)

// Clean returns s as a terminal would show it: without ANSI sequences, with
// carriage returns, backspaces and the cursor movements within a line carried
// out (so what was overwritten is gone), lines ending in "\n", and without
// other control characters except tabs. Bytes that are not UTF-8 stay as they
// are.
func Clean(s string) string {
	var b strings.Builder
	c := NewCleaner(&b)
	// A strings.Builder takes everything.
	_, _ = c.Write([]byte(s))
	_ = c.Flush()
	return b.String()
}

// Cleaner is [Clean] for a stream: what it writes does not depend on how its
// input is cut. A line is written when it ends, because a carriage return may
// change it until then. Memory is bounded: a line that is longer than 4096
// characters comes out in parts. It is not safe for concurrent use.
type Cleaner struct {
	w       io.Writer
	out     []byte
	line    []cell
	col     int
	state   func(*Cleaner, byte)
	partial []byte // the beginning of a UTF-8 sequence
	params  []byte // of the control sequence being read
	length  int    // of the string sequence being read
}

// cell is a character; a byte b that is no UTF-8 is -1-b.
type cell = rune

// NewCleaner returns a Cleaner that writes to w.
func NewCleaner(w io.Writer) *Cleaner { return &Cleaner{w: w, state: (*Cleaner).ground} }

// Write takes in p and writes the lines that it completes. The error is that of
// the underlying writer.
func (c *Cleaner) Write(p []byte) (int, error) {
	for _, b := range p {
		c.state(c, b)
	}
	if err := c.drain(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes the line that has not ended; call it at the end of the stream.
func (c *Cleaner) Flush() error {
	c.breakPartial()
	c.emit()
	c.state, c.params, c.length = (*Cleaner).ground, nil, 0
	return c.drain()
}

func (c *Cleaner) drain() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.w.Write(c.out)
	c.out = c.out[:0]
	if err != nil {
		return fmt.Errorf("console: writing cleaned output: %w", err)
	}
	return nil
}

// emit moves the line to the output.
func (c *Cleaner) emit() {
	for _, r := range c.line {
		if r < 0 {
			c.out = append(c.out, byte(-1-r))
		} else {
			c.out = utf8.AppendRune(c.out, r)
		}
	}
	c.line, c.col = c.line[:0], 0
}

// put writes a character at the cursor.
func (c *Cleaner) put(r cell) {
	for len(c.line) < c.col {
		c.line = append(c.line, ' ')
	}
	if c.col < len(c.line) {
		c.line[c.col] = r
	} else {
		c.line = append(c.line, r)
	}
	if c.col++; c.col >= maxLine {
		c.emit()
	}
}

// breakPartial puts the bytes of a sequence that was cut off.
func (c *Cleaner) breakPartial() {
	for len(c.partial) > 0 {
		r, n := utf8.DecodeRune(c.partial)
		if r == utf8.RuneError && n == 1 {
			r = -1 - rune(c.partial[0])
		}
		c.partial = c.partial[n:]
		c.put(r)
	}
	c.partial = nil
}

// ground is the state outside of any sequence.
func (c *Cleaner) ground(b byte) {
	if b >= utf8.RuneSelf {
		c.partial = append(c.partial, b)
		for len(c.partial) > 0 && utf8.FullRune(c.partial) {
			r, n := utf8.DecodeRune(c.partial)
			if r == utf8.RuneError && n == 1 {
				r = -1 - rune(c.partial[0])
			}
			c.partial = c.partial[n:]
			c.put(r)
		}
		return
	}
	if len(c.partial) > 0 {
		c.breakPartial()
	}
	switch {
	case b == 0x1b:
		c.state = (*Cleaner).escape
	case b == '\n':
		c.emit()
		c.out = append(c.out, '\n')
	case b == '\r':
		c.col = 0
	case b == '\b':
		c.col = max(0, c.col-1)
	case b == '\t' || b >= ' ' && b != 0x7f:
		c.put(rune(b))
	}
}

// abort leaves a sequence where a control character breaks it off, and reports
// whether it did.
func (c *Cleaner) abort(b byte) bool {
	switch b {
	case 0x18, 0x1a: // CAN, SUB
		c.state = (*Cleaner).ground
		return true
	case 0x1b:
		c.state = (*Cleaner).escape
		return true
	case '\n', '\r':
		c.state = (*Cleaner).ground
		c.ground(b)
		return true
	}
	return false
}

// escape is the state after ESC.
func (c *Cleaner) escape(b byte) {
	switch {
	case c.abort(b):
	case b == '[':
		c.params, c.state = c.params[:0], (*Cleaner).control
	case b == ']' || b == 'P' || b == 'X' || b == '^' || b == '_':
		c.length, c.state = 0, (*Cleaner).text
	case b >= 0x20 && b <= 0x2f: // intermediate: more follows
	case b >= 0x30 && b <= 0x7e: // final
		c.state = (*Cleaner).ground
	case b >= utf8.RuneSelf:
		c.state = (*Cleaner).ground
		c.ground(b)
	}
}

// control is the state within a control sequence (CSI).
func (c *Cleaner) control(b byte) {
	switch {
	case c.abort(b):
	case b >= 0x40 && b <= 0x7e:
		c.state = (*Cleaner).ground
		c.carryOut(b)
	case b >= utf8.RuneSelf || len(c.params) >= maxParams:
		c.state = (*Cleaner).ground
		c.ground(b)
	case b >= 0x20:
		c.params = append(c.params, b)
	}
}

// text is the state within a string sequence (OSC, DCS, SOS, PM, APC), which
// BEL or ESC \ ends.
func (c *Cleaner) text(b byte) {
	c.length++
	switch {
	case b == 0x07 || c.length > maxString:
		c.state = (*Cleaner).ground
	default:
		c.abort(b)
	}
}

// carryOut does what a control sequence asks for within the line.
func (c *Cleaner) carryOut(final byte) {
	n, given := 0, false
	for _, b := range c.params {
		if b < '0' || b > '9' {
			break
		}
		n, given = min(n*10+int(b-'0'), maxLine), true
	}
	count := max(n, 1)
	switch final {
	case 'C': // cursor right
		c.col = max(c.col, min(c.col+count, maxColumn))
	case 'D': // cursor left
		c.col = max(0, c.col-count)
	case 'G': // cursor to column
		c.col = min(count-1, max(maxColumn, len(c.line)))
	case 'K', 'J': // erase in line; in display, of which we know one line
		switch {
		case !given || n == 0:
			c.line = c.line[:min(c.col, len(c.line))]
		case n == 1:
			for i := range min(c.col+1, len(c.line)) {
				c.line[i] = ' '
			}
		case n == 2:
			c.line = c.line[:0]
		}
	case 'P': // delete characters
		if c.col < len(c.line) {
			c.line = append(c.line[:c.col], c.line[min(len(c.line), c.col+count):]...)
		}
	case '@': // insert blanks
		for range min(count, maxColumn, maxLine-1-len(c.line)) {
			if c.col >= len(c.line) {
				break
			}
			c.line = append(c.line, ' ')
			copy(c.line[c.col+1:], c.line[c.col:])
			c.line[c.col] = ' '
		}
	}
}
