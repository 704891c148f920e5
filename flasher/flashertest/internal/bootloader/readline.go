package bootloader

import "strings"

func contains(typed, key string) bool {
	return typed != "" && (key == "" || strings.Contains(typed, key))
}

// readLine is the line editor, as far as it is for keys at the end of the line. An ESC that begins no sequence that it knows goes
// into the line with the character behind it, as in cread_line of U-Boot. ok is
// false where Ctrl-C ended the line.
func (m *machine) readLine() (line string, ok bool) {
	var b []byte
	begin, escape := false, false // the cursor is at the beginning of the line
	for {
		var p [1]byte
		if _, err := m.tty.Receive(m.ctx, p[:]); err != nil {
			return "", false
		}
		c := p[0]
		if escape {
			escape = false
			if c == '[' {
				m.skipSequence()
				continue
			}
			if c != '\r' && c != '\n' && c != 3 {
				b = m.take(m.take(b, 0x1b), c)
				continue
			}
		}
		switch {
		case c == '\r' || c == '\n':
			m.print("\n")
			return string(b), true
		case c == 3:
			m.print("<INTERRUPT>\n")
			return "", false
		case c == 0x1b:
			escape = true
		case c == '\b' || c == 0x7f:
			if len(b) > 0 {
				b = b[:len(b)-1]
				m.print("\b \b")
			}
		case c == 1 && !begin: // Ctrl-A
			m.print(strings.Repeat("\b", len(b)))
			begin = true
		case c == 5 && begin: // Ctrl-E
			_ = m.tty.Send(m.ctx, b) // see print
			begin = false
		case c == 1 || c == 5:
		case c == 0x15: // Ctrl-U
			m.print(strings.Repeat("\b \b", len(b)))
			b = nil
		default:
			b = m.take(b, c)
		}
	}
}

// take puts a character into the line and echoes it, unless the line is full.
func (m *machine) take(b []byte, c byte) []byte {
	if len(b) >= m.cfg.LineLimit-1 {
		m.print("\a")
		return b
	}
	_ = m.tty.Send(m.ctx, []byte{c}) // see print
	return append(b, c)
}

// skipSequence takes the rest of a cursor sequence.
func (m *machine) skipSequence() {
	for {
		var p [1]byte
		if _, err := m.tty.Receive(m.ctx, p[:]); err != nil || p[0] >= 0x40 {
			return
		}
	}
}
