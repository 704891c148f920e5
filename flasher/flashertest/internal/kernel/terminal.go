package kernel

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Output is where the terminal's bytes go.
type Output = io.Writer

// Termios is a terminal's settings as `stty -g` shows them.
type Termios struct {
	Iflag, Oflag, Cflag, Lflag uint32
	CC                         [32]byte
}

// The flags that do something here, with Linux's values.
const (
	ISTRIP = 0o40
	INLCR  = 0o100
	IGNCR  = 0o200
	ICRNL  = 0o400

	OPOST = 0o1
	ONLCR = 0o4

	ISIG    = 0o1
	ICANON  = 0o2
	ECHO    = 0o10
	ECHOE   = 0o20
	ECHOK   = 0o40
	ECHONL  = 0o100
	NOFLSH  = 0o200
	ECHOCTL = 0o1000
	ECHOKE  = 0o4000
	IEXTEN  = 0o100000
)

// The control characters by their index in CC.
const (
	VINTR   = 0
	VQUIT   = 1
	VERASE  = 2
	VKILL   = 3
	VEOF    = 4
	VMIN    = 6
	VSUSP   = 10
	VWERASE = 14
	VLNEXT  = 15
)

// DefaultTermios is what a serial console has after boot.
func DefaultTermios() Termios {
	t := Termios{Iflag: 0o2400 | 0o100, Oflag: OPOST | ONLCR, Cflag: 0o6275, Lflag: 0o105073}
	t.Iflag = ICRNL | 0o2000 // ixon
	copy(t.CC[:], []byte{3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0xf, 0x17, 0x16, 0})
	return t
}

const (
	maxLine    = 4095     // characters of a line, N_TTY_BUF_SIZE less the newline
	maxBacklog = 64 << 10 // received, and not looked at while lines wait
	maxQueued  = 8 << 10  // output that a program may have waiting
)

// Terminal is the board's serial console with Linux's line discipline. All
// methods may be called concurrently.
type Terminal struct {
	k   *Kernel
	out Output

	mu      sync.Mutex
	tio     Termios
	fg      int    // foreground process group
	session bool   // somebody has it as controlling terminal
	edit    []byte // the line that is being typed
	literal bool   // the next character is not special
	ready   []byte // what may be read
	lines   []int  // lengths of the lines in ready; a line without LF ended by ^D
	backlog []byte
	queued  []byte // output
	change  chan struct{}
}

func newTerminal(k *Kernel, out Output) *Terminal {
	return &Terminal{k: k, out: out, tio: DefaultTermios(), change: make(chan struct{})}
}

func (t *Terminal) changed() {
	close(t.change)
	t.change = make(chan struct{})
}

// Termios returns the settings.
func (t *Terminal) Termios() Termios {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tio
}

// SetTermios changes them; flush throws away what was typed and not read.
func (t *Terminal) SetTermios(tio Termios, flush bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if flush {
		t.edit, t.ready, t.lines, t.backlog = nil, nil, nil, nil
	}
	if t.tio.Lflag&ICANON != 0 && tio.Lflag&ICANON == 0 {
		t.ready = append(t.ready, t.edit...)
		t.edit = nil
	}
	t.tio = tio
	t.changed()
}

// Foreground returns the process group that Ctrl-C reaches, 0 for none.
func (t *Terminal) Foreground() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fg
}

// SetForeground sets it.
func (t *Terminal) SetForeground(pgid int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fg = pgid
}

// Control says whether the terminal is somebody's controlling terminal.
func (t *Terminal) Control() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.session
}

// SetControl makes it so.
func (t *Terminal) SetControl(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.session = on
}

// Raw prints text as it is, as the kernel does.
func (t *Terminal) Raw(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queued = append(t.queued, text...)
	t.changed()
}

// put prints a character for echo; mu is held.
func (t *Terminal) put(b ...byte) {
	for _, c := range b {
		if c == '\n' && t.tio.Oflag&(OPOST|ONLCR) == OPOST|ONLCR {
			t.queued = append(t.queued, '\r')
		}
		t.queued = append(t.queued, c)
	}
}

// drain carries the output out until the system is down.
func (t *Terminal) drain() {
	for {
		t.mu.Lock()
		b, change := t.queued, t.change
		t.queued = nil
		if len(b) > 0 {
			t.changed()
		}
		t.mu.Unlock()
		if len(b) > 0 {
			// An error means that nobody listens, which no UART notices.
			t.out.Write(b)
			continue
		}
		select {
		case <-change:
		case <-t.k.Done():
			t.lastWords()
			return
		}
	}
}

// lastWords carries out what a system printed before it went down by itself.
func (t *Terminal) lastWords() {
	var down *Shutdown
	if !errors.As(t.k.Cause(), &down) {
		return
	}
	t.mu.Lock()
	b := t.queued
	t.queued = nil
	t.mu.Unlock()
	if len(b) > 0 {
		t.out.Write(b)
	}
}

// Driver returns the terminal as an open file's driver.
func (t *Terminal) Driver() Driver { return ttyFile{t} }

type ttyFile struct{ t *Terminal }

func (f ttyFile) Seekable() bool { return false }
func (f ttyFile) Size() int64    { return 0 }
func (f ttyFile) Close()         {}

func (f ttyFile) Write(ctx context.Context, b []byte, _ int64) (int, error) {
	t := f.t
	n := 0
	for len(b) > 0 {
		t.mu.Lock()
		room, change := maxQueued-len(t.queued), t.change
		if room > 0 {
			piece := b[:min(room, len(b))]
			t.put(piece...)
			t.changed()
			b, n = b[len(piece):], n+len(piece)
			t.mu.Unlock()
			continue
		}
		t.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return n, EINTR
		}
	}
	return n, nil
}

func (f ttyFile) Read(ctx context.Context, b []byte, _ int64) (int, error) {
	t := f.t
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		if t.tio.Lflag&ICANON != 0 && len(t.lines) > 0 {
			return t.takeLine(b)
		}
		if t.tio.Lflag&ICANON == 0 && (len(t.ready) > 0 || t.tio.CC[VMIN] == 0) {
			n := copy(b, t.ready)
			t.ready, t.lines = t.ready[n:], nil
			t.again()
			return n, nil
		}
		change := t.change
		t.mu.Unlock()
		select {
		case <-change:
			t.mu.Lock()
		case <-ctx.Done():
			t.mu.Lock()
			return 0, EINTR
		}
	}
}

// takeLine gives at most one line.
func (t *Terminal) takeLine(b []byte) (int, error) {
	length := t.lines[0]
	n := copy(b, t.ready[:length])
	t.ready = t.ready[n:]
	if t.lines[0] -= n; t.lines[0] == 0 {
		t.lines = t.lines[1:]
	}
	t.again()
	if n == 0 && length == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// again looks at what came in while there was no room; mu is held.
func (t *Terminal) again() {
	b := t.backlog
	t.backlog = nil
	t.changed()
	t.input(b)
}
