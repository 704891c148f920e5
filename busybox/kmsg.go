package busybox

// maxRecord bounds how much of a line that looks like a kernel message is held
// back; the kernel's own limit for one record is 1024 bytes (CONSOLE_LOG_MAX,
// LOG_LINE_MAX in kernel/printk).
const maxRecord = 1200

// kmsgFilter takes kernel messages out of a stream in which everything else
// ends its lines with a bare LF. A message starts with its time stamp
// ("[   12.345678] ", with an optional "[ T123]" or "[C0]" after it), may stand
// anywhere, also in the middle of a word, and ends with CR LF, because the
// kernel's console drivers add the CR themselves whatever the terminal settings.
type kmsgFilter struct {
	held []byte // starts with '[' and is not decided yet
}

// feed takes the next bytes of the stream and returns what is not a kernel
// message, and the kernel messages.
func (f *kmsgFilter) feed(b []byte) (rest []byte, records []string) {
	buf := b
	if len(f.held) > 0 {
		buf = append(f.held, b...)
		f.held = nil
	}
	rest = make([]byte, 0, len(buf))
	for i := 0; i < len(buf); {
		if buf[i] != '[' {
			rest = append(rest, buf[i])
			i++
			continue
		}
		switch n := recordLen(buf[i:]); {
		case n > 0:
			records = append(records, string(buf[i:i+n-2]))
			i += n
		case n < 0:
			f.held = append([]byte(nil), buf[i:]...)
			return rest, records
		default:
			rest = append(rest, buf[i])
			i++
		}
	}
	return rest, records
}

// flush returns what is still held back: it was no kernel message after all.
func (f *kmsgFilter) flush() []byte {
	h := f.held
	f.held = nil
	return h
}

// recordLen returns the length of the kernel message at the start of b with
// its CR LF, 0 where there is none, and -1 where more bytes must decide.
func recordLen(b []byte) int {
	i := 1
	skip := func(ok func(byte) bool, min, max int) int { // 1 go on, 0 no, -1 undecided
		n := 0
		for i < len(b) && n < max && ok(b[i]) {
			i++
			n++
		}
		if i == len(b) && n < max {
			return -1
		}
		if n < min {
			return 0
		}
		return 1
	}
	is := func(c byte) func(byte) bool { return func(x byte) bool { return x == c } }
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	for _, part := range []struct {
		ok       func(byte) bool
		min, max int
	}{
		{is(' '), 0, 6}, {digit, 1, 9}, {is('.'), 1, 1}, {digit, 6, 6}, {is(']'), 1, 1},
	} {
		if r := skip(part.ok, part.min, part.max); r != 1 {
			return r
		}
	}
	if i == len(b) {
		return -1
	}
	if b[i] == '[' { // CONFIG_PRINTK_CALLER
		for _, part := range []struct {
			ok       func(byte) bool
			min, max int
		}{
			{is('['), 1, 1}, {is(' '), 0, 8}, {func(c byte) bool { return c == 'T' || c == 'C' }, 1, 1}, {digit, 1, 9}, {is(']'), 1, 1},
		} {
			if r := skip(part.ok, part.min, part.max); r != 1 {
				return r
			}
		}
	}
	if r := skip(is(' '), 1, 1); r != 1 {
		return r
	}
	for ; i < len(b) && i < maxRecord; i++ {
		if b[i] == '\n' {
			if b[i-1] == '\r' {
				return i + 1
			}
			return 0
		}
	}
	if i < maxRecord {
		return -1
	}
	return 0
}
