package kernel

// Type is what arrives at the board's UART. It never blocks: what there is no
// room for is lost, as it is on a board.
func (t *Terminal) Type(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.input(b)
	t.changed()
}

// input does for received characters what n_tty does; mu is held.
func (t *Terminal) input(b []byte) {
	for i, c := range b {
		// With a whole line waiting and the buffer full, characters wait in the
		// driver; without one the line is cut.
		if len(t.ready)+len(t.edit) >= maxLine && len(t.ready) > 0 {
			room := max(maxBacklog-len(t.backlog), 0)
			t.backlog = append(t.backlog, b[i:min(len(b), i+room)]...)
			return
		}
		t.char(c)
	}
}

func (t *Terminal) char(c byte) {
	tio := &t.tio
	echo := tio.Lflag&ECHO != 0
	if tio.Iflag&ISTRIP != 0 {
		c &= 0x7f
	}
	if t.literal {
		t.literal = false
		t.add(c, echo)
		return
	}
	switch {
	case c == '\r' && tio.Iflag&IGNCR != 0:
		return
	case c == '\r' && tio.Iflag&ICRNL != 0:
		c = '\n'
	case c == '\n' && tio.Iflag&INLCR != 0:
		c = '\r'
	}
	if tio.Lflag&ISIG != 0 && c != 0 {
		for _, s := range []struct {
			key int
			sig Signal
		}{{VINTR, SIGINT}, {VQUIT, SIGQUIT}, {VSUSP, SIGTSTP}} {
			if c != tio.CC[s.key] {
				continue
			}
			if tio.Lflag&NOFLSH == 0 {
				t.edit, t.ready, t.lines, t.backlog = nil, nil, nil, nil
			}
			if echo {
				t.echo(c)
			}
			if fg := t.fg; fg != 0 && t.session {
				// Not with mu held: a signal may end a read of the terminal.
				t.mu.Unlock()
				t.k.Kill(-fg, s.sig)
				t.mu.Lock()
			}
			return
		}
	}
	if tio.Lflag&ICANON == 0 {
		if echo {
			t.echo(c)
		}
		t.ready = append(t.ready, c)
		return
	}
	switch {
	case c == '\n':
		if echo || tio.Lflag&ECHONL != 0 {
			t.put('\n')
		}
		t.edit = append(t.edit, c)
		t.commit()
	case c == tio.CC[VERASE] && c != 0:
		t.erase(1, echo)
	case c == tio.CC[VKILL] && c != 0:
		t.erase(len(t.edit), echo)
	case c == tio.CC[VWERASE] && c != 0 && tio.Lflag&IEXTEN != 0:
		n := 0
		for n < len(t.edit) && t.edit[len(t.edit)-1-n] == ' ' {
			n++
		}
		for n < len(t.edit) && t.edit[len(t.edit)-1-n] != ' ' {
			n++
		}
		t.erase(n, echo)
	case c == tio.CC[VLNEXT] && c != 0 && tio.Lflag&IEXTEN != 0:
		t.literal = true
		if echo && tio.Lflag&ECHOCTL != 0 {
			t.put('^', '\b')
		}
	case c == tio.CC[VEOF] && c != 0:
		t.commit()
	default:
		t.add(c, echo)
	}
}

// add puts a character into the line; the last one of a full line is replaced.
func (t *Terminal) add(c byte, echo bool) {
	if len(t.edit) >= maxLine {
		t.edit = t.edit[:maxLine-1]
	}
	t.edit = append(t.edit, c)
	if echo {
		t.echo(c)
	}
}

// echo shows a character, a control character as ^X.
func (t *Terminal) echo(c byte) {
	if (c < ' ' && c != '\t' && c != '\n' || c == 0x7f) && t.tio.Lflag&ECHOCTL != 0 {
		t.put('^', c^0x40)
		return
	}
	t.put(c)
}

// erase takes n characters off the end of the line.
func (t *Terminal) erase(n int, echo bool) {
	for ; n > 0 && len(t.edit) > 0; n-- {
		c := t.edit[len(t.edit)-1]
		t.edit = t.edit[:len(t.edit)-1]
		if !echo {
			continue
		}
		t.put('\b', ' ', '\b')
		if (c < ' ' || c == 0x7f) && c != '\t' && t.tio.Lflag&ECHOCTL != 0 {
			t.put('\b', ' ', '\b')
		}
	}
}

// commit makes the line readable.
func (t *Terminal) commit() {
	t.ready = append(t.ready, t.edit...)
	t.lines = append(t.lines, len(t.edit))
	t.edit = nil
}
