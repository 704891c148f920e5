package uboot_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// badLine is a serial line that does something to what is typed, and to what is
// printed. It is a good one until it is turned on.
type badLine struct {
	io.ReadWriteCloser
	typed, printed func([]byte) []byte

	mu sync.Mutex
	on bool

	rest []byte // what was printed and not read yet
}

// between puts the line between the host and a board.
func (l *badLine) between(host io.ReadWriteCloser) io.ReadWriteCloser {
	l.ReadWriteCloser = host
	return l
}

func (l *badLine) turn(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on = on
}

func (l *badLine) spoil(p []byte, by func([]byte) []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.on || by == nil {
		return p
	}
	return by(p)
}

func (l *badLine) Write(p []byte) (int, error) {
	if out := l.spoil(p, l.typed); len(out) > 0 {
		if _, err := l.ReadWriteCloser.Write(out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (l *badLine) Read(p []byte) (int, error) {
	if l.rest == nil {
		n, err := l.ReadWriteCloser.Read(p)
		if l.rest = l.spoil(p[:n:n], l.printed); err != nil {
			return 0, err
		}
		l.rest = bytes.Clone(l.rest)
	}
	n := copy(p, l.rest)
	if l.rest = l.rest[n:]; len(l.rest) == 0 {
		l.rest = nil
	}
	return n, nil
}

// each does something to a share of characters.
func each(share float64, seed uint64, do func(c byte, r *rand.Rand) []byte) func([]byte) []byte {
	r := rand.New(rand.NewPCG(seed, 3))
	return func(p []byte) []byte {
		var out []byte
		for _, c := range p {
			if r.Float64() < share {
				out = append(out, do(c, r)...)
			} else {
				out = append(out, c)
			}
		}
		return out
	}
}

func dropped(byte, *rand.Rand) []byte      { return nil }
func repeated(c byte, _ *rand.Rand) []byte { return []byte{c, c} }
func flipped(c byte, r *rand.Rand) []byte  { return []byte{c ^ 1<<r.IntN(8)} }
func replaced(_ byte, r *rand.Rand) []byte { return []byte{byte(r.IntN(256))} }
func entered(byte, *rand.Rand) []byte      { return []byte{'\r'} }
func noise(c byte, _ *rand.Rand) []byte    { return append([]byte("\r\nlink up\r\n"), c) }
func letterM(byte, *rand.Rand) []byte      { return []byte{'M'} }

// first spoils the first so many of one character only.
func first(n int, c byte, do func(byte, *rand.Rand) []byte) func([]byte) []byte {
	return func(p []byte) []byte {
		var out []byte
		for _, b := range p {
			if b == c && n > 0 {
				n--
				out = append(out, do(b, nil)...)
			} else {
				out = append(out, b)
			}
		}
		return out
	}
}

// piped is a line of which the host reads what is put into a pipe.
type piped struct {
	io.ReadWriteCloser
	r     *io.PipeReader
	write func(p []byte) (int, error)
}

func (p piped) Read(b []byte) (int, error)  { return p.r.Read(b) }
func (p piped) Write(b []byte) (int, error) { return p.write(b) }
func (p piped) Close() error                { return errors.Join(p.r.Close(), p.ReadWriteCloser.Close()) }

// echoing is a line with a serial server that echoes what is typed, beside the board.
func echoing(board io.ReadWriteCloser) io.ReadWriteCloser {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, board)
		w.CloseWithError(err)
	}()
	return piped{board, r, func(p []byte) (int, error) {
		if _, err := w.Write(p); err != nil {
			return 0, err
		}
		return board.Write(p)
	}}
}

// late is a line on which everything that the board prints takes its time.
func late(board io.ReadWriteCloser) io.ReadWriteCloser {
	type printed struct {
		data []byte
		due  time.Time
	}
	r, w := io.Pipe()
	on := make(chan printed, 1<<16)
	go func() {
		defer close(on)
		for {
			b := make([]byte, 256)
			n, err := board.Read(b)
			if err != nil {
				return
			}
			on <- printed{b[:n], time.Now().Add(2500 * time.Millisecond)}
		}
	}()
	go func() {
		for p := range on {
			time.Sleep(time.Until(p.due))
			w.Write(p.data)
		}
		w.Close()
	}()
	return piped{board, r, board.Write}
}
