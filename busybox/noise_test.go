//go:build unix

package busybox_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/busybox"
)

// line is a serial line with faults, between the host and a real shell.
type line struct {
	io.ReadWriteCloser
	in      chan []byte
	wake    chan struct{}
	mu      sync.Mutex
	rand    *rand.Rand
	kernel  float64 // chance that a kernel message breaks in, per byte from the board
	garble  float64 // chance that a typed byte is lost or doubled
	corrupt float64 // chance that a byte from the board is changed
	pending []byte
	taken   string // once not empty, all that comes from the board
	faults  int
}

func newLine(rwc io.ReadWriteCloser, seed uint64) *line {
	l := &line{ReadWriteCloser: rwc, rand: rand.New(rand.NewPCG(seed, 0)), in: make(chan []byte), wake: make(chan struct{}, 1)}
	go func() { // ends when the console closes rwc
		defer close(l.in)
		for {
			buf := make([]byte, 4096)
			n, err := rwc.Read(buf)
			if err != nil {
				return
			}
			l.in <- buf[:n]
		}
	}()
	return l
}

// set changes the line's faults.
func (l *line) set(kernel, garble, corrupt float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kernel, l.garble, l.corrupt = kernel, garble, corrupt
}

// spoilt is how many faults there were.
func (l *line) spoilt() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults
}

func (l *line) Read(b []byte) (int, error) {
	for {
		l.mu.Lock()
		if len(l.pending) > 0 {
			n := copy(b, l.pending)
			l.pending = l.pending[n:]
			l.mu.Unlock()
			return n, nil
		}
		l.mu.Unlock()
		var buf []byte
		select {
		case got, ok := <-l.in:
			if !ok {
				return 0, io.EOF
			}
			buf = got
		case <-l.wake:
		}
		l.mu.Lock()
		if l.taken == "" {
			for _, c := range buf {
				if l.rand.Float64() < l.kernel {
					l.faults++
					l.pending = fmt.Appendf(l.pending, "[%5d.%06d] mmc%d: host does not support reading read-only switch\r\n", l.rand.IntN(9999), l.rand.IntN(1e6), l.rand.IntN(9))
				}
				if l.rand.Float64() < l.corrupt {
					l.faults++
					c ^= 1 << l.rand.IntN(7)
				}
				l.pending = append(l.pending, c)
			}
		}
		l.mu.Unlock()
	}
}

func (l *line) Write(b []byte) (int, error) {
	l.mu.Lock()
	var out []byte
	for _, c := range b {
		if l.rand.Float64() < l.garble {
			l.faults++
			if l.rand.IntN(2) == 0 {
				continue
			}
			out = append(out, c)
		}
		out = append(out, c)
	}
	gone := l.taken != ""
	l.mu.Unlock()
	if !gone && len(out) > 0 {
		if _, err := l.ReadWriteCloser.Write(out); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// take ends the shell's part: from now on the board says only text.
func (l *line) take(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = text
	l.pending = append(l.pending, text...)
	l.wake <- struct{}{}
}

// noisy is a session on a line, logged in while the line is good.
func noisy(t *testing.T, seed uint64, opts ...busybox.Option) (*busybox.Shell, *line) {
	t.Helper()
	l := newLine(program(t, busyboxArgs(t)...), seed)
	s := session(t, l, opts...)
	return s, l
}

func TestKernelMessagesAnywhere(t *testing.T) {
	t.Parallel()
	s, l := noisy(t, 1)
	login(t, s)
	l.set(0.02, 0, 0)
	var want strings.Builder
	for i := range 200 {
		fmt.Fprintf(&want, "%d\n", i)
	}
	for range 20 {
		if got := run(t, s, "i=0; while [ $i -lt 200 ]; do echo $i; i=$((i+1)); done"); got != want.String() {
			t.Fatalf("got %q", got)
		}
		if _, err := s.Run(ctx(t), "(exit 7)"); status(err) != 7 {
			t.Fatalf("error %v, want status 7", err)
		}
	}
	t.Logf("%d kernel messages", l.spoilt())
}

func TestLoginAmongKernelMessages(t *testing.T) {
	t.Parallel()
	s, l := noisy(t, 2)
	l.set(0.002, 0, 0)
	login(t, s)
	if got := run(t, s, "echo a"); got != "a\n" {
		t.Errorf("got %q", got)
	}
}

// A command on a line that loses and doubles typed characters is run as it is
// or not at all.
func TestTypedCharactersGetLost(t *testing.T) {
	t.Parallel()
	s, l := noisy(t, 3)
	login(t, s)
	l.set(0, 1.0/400, 0)
	right, refused := 0, 0
	run(t, s, ": >log")
	began := time.Now()
	for i := 0; i < 60 && time.Since(began) < 8*time.Second; i++ {
		want := fmt.Sprintf("%d %s", i, strings.Repeat("abc/def ", 10))
		out, err := s.Run(ctx(t), "echo '"+want+"' | tee -a log")
		switch {
		case err == nil && out == want+"\n":
			right++
		case err == nil:
			t.Fatalf("got %q and no error, want %q", out, want)
		case errors.Is(err, busybox.ErrCorrupt) || errors.Is(err, busybox.ErrShellLost):
			refused++
		default:
			t.Fatalf("error %v", err)
		}
	}
	l.set(0, 0, 0)
	if n := run(t, s, "sort log | uniq -d | wc -l"); n != "0\n" {
		t.Errorf("%s commands ran twice", n)
	}
	if n := run(t, s, "grep -cv '^[0-9]* \\(abc/def \\)*$' log; :"); n != "0\n" {
		t.Errorf("%s commands ran that nobody typed", n)
	}
	t.Logf("%d right, %d refused, %d characters spoilt", right, refused, l.spoilt())
	if right == 0 {
		t.Error("nothing got through")
	}
}

func TestUploadOverABadLine(t *testing.T) {
	t.Parallel()
	s, l := noisy(t, 4)
	login(t, s)
	l.set(0.0005, 1.0/3000, 1.0/5000)
	data := noise(20_000)
	err := s.Upload(ctx(t), "f", data)
	t.Logf("upload: %v, %d faults", err, l.spoilt())
	l.set(0, 0, 0)
	got, derr := s.Download(ctx(t), "f")
	if err == nil && (derr != nil || string(got) != string(data)) {
		t.Errorf("an upload without an error and other bytes on the board (%v)", derr)
	}
	if err != nil && derr == nil {
		t.Error("an upload with an error left a file under its name")
	}
}

// status is the exit status in an error, or -1.
func status(err error) int {
	var ce *busybox.CommandError
	if errors.As(err, &ce) {
		return ce.Status
	}
	return -1
}
