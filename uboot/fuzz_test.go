package uboot_test

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/uboot"
)

// printer is a board whose commands all print the same and exit with the same
// status.
type printer struct {
	output, status string
	cuts           []byte // how many bytes each Read gives, over and over; empty is all

	mu      sync.Mutex
	cond    *sync.Cond
	pending string
	reads   int
	typed   string
	closed  bool
}

var framed = regexp.MustCompile(`^(?:if )?echo '([A-Z]+)''([A-Z]+)'; .*; echo '[A-Z]+'\$\?'[A-Z]+'; setenv _(?:; fi)?$`)

func (p *printer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.cond.Broadcast()
	switch text := string(b); text {
	case "\x03":
		p.pending += "<INTERRUPT>\r\n=> "
		p.typed = ""
	case "\r":
		m := framed.FindStringSubmatch(p.typed)
		if m == nil {
			return 0, fmt.Errorf("%q is no command between markers", p.typed)
		}
		p.pending += "\r\n" + m[1] + m[2] + "\r\n" + p.output + m[2] + p.status + m[1] + "\r\n=> "
		p.typed = ""
	default:
		p.pending += text
		p.typed += text
	}
	return len(b), nil
}

func (p *printer) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.pending == "" && !p.closed {
		p.cond.Wait()
	}
	if p.closed {
		return 0, io.EOF
	}
	if len(p.cuts) > 0 {
		b = b[:min(len(b), 1+int(p.cuts[p.reads%len(p.cuts)]))]
		p.reads++
	}
	n := copy(b, p.pending)
	p.pending = p.pending[n:]
	return n, nil
}

func (p *printer) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.cond.Broadcast()
	return nil
}

// with runs f with a session on the printer, in virtual time.
func (p *printer) with(t *testing.T, hush bool, f func(*testing.T, *uboot.Session)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p.cond = sync.NewCond(&p.mu)
		c, err := console.New(p)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := uboot.New(c)
		if err != nil {
			t.Fatal(err)
		}
		s.Assume("=> ", hush)
		f(t, s)
	})
}

// seeds gives some of what real builds printed between two of our lines.
func seeds(f *testing.F, add func(output string)) {
	for _, b := range builds {
		tr, err := load(b.transcript())
		if err != nil {
			f.Fatal(err)
		}
		var printed strings.Builder
		for i, e := range tr.events {
			if !e.typed {
				printed.WriteString(e.data)
			} else if printed.Len() > 0 {
				if printed.Len() < 2048 && i%5 == 0 {
					add(printed.String())
				}
				printed.Reset()
			}
		}
		if len(tr.events) == 0 {
			f.Fatalf("%s is empty", filepath.Base(b.transcript()))
		}
	}
}

// FuzzRun checks that the output of a command comes back as it is, in whatever
// pieces it arrives, and whatever it says; only the signs of a board that died end
// it early.
func FuzzRun(f *testing.F) {
	f.Add("", []byte{}, 0)
	f.Add("=> ", []byte{0}, 0)
	f.Add("BCGHJKMPQSTUVXYZ0BCGHJKM\r\n", []byte{3}, 1)
	f.Add("BCGHJKMP0QSTUVXYZ\r\nBCGHJKMP$?QSTUVXYZ\r\n", []byte{1}, 0)
	f.Add("\x1b[2J\r\r\n\x00\xff", []byte{0, 1}, -1)
	f.Add("U-Boot 2023.01\r\nDRAM:  512 MiB\r\n", []byte{2}, 0)
	f.Add("## Error: \"x\" not defined\r\n", []byte{5}, 1)
	seeds(f, func(output string) { f.Add(output, []byte{12}, 0) })
	f.Fuzz(func(t *testing.T, output string, cuts []byte, status int) {
		if len(output) > 8192 {
			return // it would take long, and the console's window has an end
		}
		want := strings.TrimSuffix(strings.ReplaceAll(output, "\r", ""), "\n")
		for _, hush := range []bool{true, false} {
			shown := strconv.Itoa(status)
			if !hush {
				shown = "$?"
			}
			var first string
			for i, pieces := range [][]byte{nil, {0}, cuts} {
				(&printer{output: output, status: shown, cuts: pieces}).with(t, hush, func(t *testing.T, s *uboot.Session) {
					out, err := s.Run(t.Context(), "x")
					got := fmt.Sprintf("%q, %v", out, rootOf(err))
					if i == 0 {
						first = got
					}
					if got != first {
						t.Errorf("pieces of %v: %s, in one piece %s", pieces, got, first)
					}
					if errors.Is(err, uboot.ErrReset) || errors.Is(err, uboot.ErrCrash) {
						return
					}
					var failed *uboot.CommandError
					errors.As(err, &failed)
					switch {
					case out != want || (err != nil) != (failed != nil):
						t.Errorf("got %s, want %q", got, want)
					case hush && (failed != nil) != (status != 0), hush && failed != nil && failed.Status != status:
						t.Errorf("got %s, want status %d", got, status)
					case !hush && failed != nil && failed.Status != -1:
						t.Errorf("got %s, want status -1", got)
					}
				})
			}
		}
	})
}

// rootOf is an error without the console lines, in which markers differ.
func rootOf(err error) error {
	var own *uboot.Error
	if errors.As(err, &own) {
		return own.Err
	}
	return err
}

// FuzzEnv checks that what printenv prints gives a value, or an error, in whatever
// pieces it arrives.
func FuzzEnv(f *testing.F) {
	for _, value := range []string{"", "x", "a=b", "two\r\nlines", `## Error: "x" not defined`, "BCGHJKMP0QSTUVXYZ", "\x00"} {
		f.Add("x="+value+"\r\n", []byte{1})
		f.Add("x="+value, []byte{2})
		f.Add(value, []byte{0})
	}
	seeds(f, func(output string) {
		for line := range strings.Lines(output) {
			if name, value, ok := strings.Cut(line, "="); ok && !strings.ContainsAny(name, " '") {
				f.Add("x="+value, []byte{7})
			}
		}
	})
	f.Fuzz(func(t *testing.T, output string, cuts []byte) {
		if len(output) > 8192 {
			return // longer than what U-Boot prints
		}
		var first string
		for i, pieces := range [][]byte{nil, {0}, cuts} {
			(&printer{output: output, status: "0", cuts: pieces}).with(t, true, func(t *testing.T, s *uboot.Session) {
				value, err := s.Env(t.Context(), "x")
				got := fmt.Sprintf("%q, %v", value, rootOf(err))
				if i == 0 {
					first = got
				}
				if got != first {
					t.Errorf("pieces of %v: %s, in one piece %s", pieces, got, first)
				}
				want, ok := strings.CutPrefix(strings.ReplaceAll(output, "\r", ""), "x=")
				want, ended := strings.CutSuffix(want, "\n")
				switch {
				case err == nil && (!ok || !ended || value != want), err != nil && ok && ended && !errors.Is(err, uboot.ErrReset) && !errors.Is(err, uboot.ErrCrash):
					t.Errorf("got %q from %q", value, output)
				case errors.Is(err, uboot.ErrTruncated) && (!ok || ended):
					t.Errorf("%q is truncated: %v", output, err)
				}
			})
		}
	})
}

// FuzzSetEnv checks that a value arrives on a board without hush as it is, or is
// refused.
func FuzzSetEnv(f *testing.F) {
	for _, value := range []string{"", "plain", "two words", `it's`, `\'`, `'\`, `\\'\`, "$x", "${x}", "a;b", "  ", "tab\t", `\;'$(x)`, `'';''`} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !utf8.ValidString(value) {
			return // the simulated line editor prints characters
		}
		b := &oldBoard{}
		synctest.Test(t, func(t *testing.T) {
			c := b.on(t)
			s := promptOf(t, c)
			err := s.SetEnv(t.Context(), "x", value)
			if got := b.env["x"]; err == nil && got != value {
				t.Errorf("the board has %q, want %q", got, value)
			}
			if value == strings.Join(strings.Fields(value), " ") && len(value) < 60 && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) && strings.Count(value, " ") < 10 && err != nil {
				t.Errorf("%q is refused: %v", value, err)
			}
			answers(t, s)
		})
	})
}

// promptOf is a session at the prompt of the board.
func promptOf(t *testing.T, c *console.Console) *uboot.Session {
	t.Helper()
	s, err := uboot.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Interrupt(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}
