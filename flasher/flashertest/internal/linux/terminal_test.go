//go:build linux

package linux_test

import (
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
)

// typist types on a terminal and collects what it shows.
type typist struct {
	t  *testing.T
	w  io.Writer
	mu sync.Mutex
	b  []byte
}

func newTypist(t *testing.T, rw io.ReadWriter) *typist {
	y := &typist{t: t, w: rw}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := rw.Read(buf)
			y.mu.Lock()
			y.b = append(y.b, buf[:n]...)
			y.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return y
}

func (y *typist) text() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return string(y.b)
}

func (y *typist) send(s string) {
	y.t.Helper()
	if _, err := io.WriteString(y.w, s); err != nil {
		y.t.Fatal(err)
	}
}

// await waits until the text from byte from on has the expression.
func (y *typist) await(re string, from int) {
	y.t.Helper()
	x := regexp.MustCompile(re)
	for end := time.Now().Add(limit); ; {
		text := y.text()
		if from <= len(text) && x.MatchString(text[from:]) {
			return
		}
		if time.Now().After(end) {
			y.t.Fatalf("no %q in %q", re, text[min(from, len(text)):])
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// The keystrokes of one line, and what must be there before the next are sent.
type keys struct{ send, await string }

// typings are played on Debian's busybox and on the simulation, on a terminal
// that echoes nothing: with echo, busybox edits the line by itself.
var typings = []struct {
	name string
	keys []keys
}{
	{"commands", []keys{{"echo a; false\n", "# $"}, {"echo $?\n", "1\r\n# $"}}},
	{"continued lines", []keys{{"for i in 1 2\n", "> $"}, {"do echo $i\n", "> $"}, {"done\n", "2\r\n# $"}, {"echo a \\\n", "> $"}, {"b\n", "a b\r\n# $"}}},
	{"here-document", []keys{{"cat <<X\n", "> $"}, {"one\n", "> $"}, {"X\n", "one\r\n# $"}}},
	{"open quotation", []keys{{"echo 'a\n", "> $"}, {"b'\n", "a\r\nb\r\n# $"}}},
	{"erase and kill", []keys{{"echo axx\x7f\x7fb\n", "ab\r\n# $"}, {"rubbish\x15echo c\n", "c\r\n# $"}, {"echo one two\x17three\n", "one three\r\n# $"}}},
	{"carriage return", []keys{{"echo r\r", "r\r\n# $"}}},
	{"end of input", []keys{{"cat\n", ""}, {"x\n", "x\r\n$"}, {"\x04", "# $"}, {"cat\n", ""}, {"abc\x04\x04", "abc# $"}}},
	{"ctrl-c of a program", []keys{{"sleep 60\n", ""}, {"\x03", "# $"}, {"echo $?\n", "130\r\n# $"}}},
	{"ctrl-c of a loop of programs", []keys{{"while :; do sleep 60; done; echo no\n", ""}, {"\x03", "# $"}, {"echo ok\n", "ok\r\n# $"}}},
	// Not one whose last program ends by itself when the others are gone: whether the
	// signal or the end of its input comes first, nobody knows.
	{"ctrl-c of a pipeline", []keys{{"sleep 60 | sleep 60; echo no\n", ""}, {"\x03", "# $"}, {"echo ok\n", "ok\r\n# $"}}},
	{"ctrl-c of a subshell", []keys{{"(sleep 60; echo no)\n", ""}, {"\x03", "# $"}, {"echo ok\n", "ok\r\n# $"}}},
	{"ctrl-c of a substitution", []keys{{"x=$(sleep 60; echo no); echo no\n", ""}, {"\x03", "# $"}, {"echo ok\n", "ok\r\n# $"}}},
	{"ctrl-c at the prompt", []keys{{"echo no\x03", "# $"}, {"echo ok\n", "ok\r\n# $"}}},
	{"ctrl-c in a continued line", []keys{{"if true; then\n", "> $"}, {"\x03", "# $"}, {"echo ok\n", "ok\r\n# $"}}},
	{"ctrl-c of read", []keys{{"read x; echo no\n", ""}, {"\x03", "# $"}, {"echo ok\n", "ok\r\n# $"}}},
	{"ctrl-backslash", []keys{{"sleep 60\n", ""}, {"\x1c", "# $"}, {"echo $?\n", "131\r\n# $"}}},
	{"ctrl-c ignored, ctrl-backslash", []keys{{"(trap '' INT; sleep 60)\n", ""}, {"\x03", ""}, {"\x1c", "# $"}, {"echo $?\n", "131\r\n# $"}}},
	{"ctrl-z and kill", []keys{{"sleep 60\n", ""}, {"\x1a", "# $"}, {"kill -9 %%; sleep 0.3\n", "# $"}, {"echo ok\n", "(?s)ok.*# $"}, {"wait; jobs\n", "# $"}}},
	{"ctrl-z and fg", []keys{{"sleep 60\n", ""}, {"\x1a", "# $"}, {"fg\n", "sleep 60\r\n"}, {"\x03", "# $"}, {"echo $?\n", "130\r\n# $"}}},
	{"trap on INT", []keys{{"trap 'echo caught' INT\n", "# $"}, {"sleep 60\n", ""}, {"\x03", "# $"}, {"trap - INT\n", "# $"}, {"echo ok\n", "ok\r\n# $"}}},
	// Not one that ends while the shell waits for a line: without line editing,
	// SIGCHLD in the middle of its read is the end of input for busybox 1.35.
	{"job that ends", []keys{{"true & sleep 0.3\n", "# $"}, {"echo ok\n", "(?s)ok.*# $"}}},
	{"inner shell", []keys{{"PS1='in> ' sh -i\n", "in> $"}, {"echo $((6*7))\n", "42\r\nin> $"}, {"sleep 60\n", ""}, {"\x03", "in> $"}, {"exit 3\n", "# $"}, {"echo $?\n", "3\r\n# $"}}},
	{"syntax error", []keys{{"echo )\n", "# $"}, {"echo $?\n", "2\r\n# $"}, {"nosuch\n", "# $"}, {"cd /nosuch\n", "# $"}, {": ${x?gone}; echo no\n", "# $"}, {"echo $((1/0)) no\n", "# $"}}},
	{"exit status of signals", []keys{{"sh -c 'kill -9 $$'\n", "# $"}, {"sh -c 'kill -TERM $$'; echo $?\n", "143\r\n# $"}}},
	{"output processing", []keys{{"stty -opost; echo a; stty opost; echo b\n", "b\r\n# $"}}},
	{"typed ahead", []keys{{"sleep 0.3\necho one\necho two\n", "two\r\n# $"}}},
	{"long line", []keys{{"x=" + strings.Repeat("y", 4000) + "; echo ${#x}\n", "4000\r\n# $"}}},
	{"too long a line", []keys{{": " + strings.Repeat("y", 5000) + "\n", "# $"}, {"echo ok\n", "ok\r\n# $"}}},
}

// quiet takes the echo off a terminal.
func quiet(t *testing.T) func(tty *os.File) {
	return func(tty *os.File) {
		tio, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err == nil {
			tio.Lflag &^= unix.ECHO
			err = unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, tio)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

var version = regexp.MustCompile(`BusyBox v\S+ \(.*?\) built`)

func TestTypingGivesTheSameAsOnRealBusybox(t *testing.T) {
	play := func(y *typist, script []keys) string {
		y.t.Helper()
		from := len(y.text())
		for _, k := range script {
			if k.await == "" {
				// Time for the program to start: nothing tells when it has.
				y.send(k.send)
				time.Sleep(150 * time.Millisecond)
				continue
			}
			at := len(y.text())
			y.send(k.send)
			y.await(k.await, at)
		}
		return y.text()[from:]
	}
	for _, tc := range typings {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			real := newTypist(t, realBusybox(t, quiet(t)))
			sim := newTypist(t, start(t, linux.Config{Quiet: true, Prompt: "# "}))
			real.await("# $", 0)
			sim.await("# $", 0)
			sim.send("stty -echo\n")
			sim.await("stty -echo\r\n# $", 0)
			want, got := play(real, tc.keys), play(sim, tc.keys)
			want, got = version.ReplaceAllString(want, "BusyBox"), version.ReplaceAllString(got, "BusyBox")
			if got != want {
				t.Errorf("simulation:\n%q\nreal busybox:\n%q", got, want)
			}
		})
	}
}

// TestCtrlCOfALoop is not played on the real busybox: on a busy machine, 1.35
// deadlocks in one of some 70 (it leaves the signal's handler by longjmp, and waits
// for a lock of the C library ever after).
func TestCtrlCOfALoop(t *testing.T) {
	t.Parallel()
	y := newTypist(t, start(t, linux.Config{Quiet: true, Prompt: "# "}))
	y.await("# $", 0)
	from := len(y.text())
	y.send("while :; do :; done\n")
	time.Sleep(150 * time.Millisecond) // nothing tells when it runs
	y.send("\x03")
	y.await("# $", from+1)
	from = len(y.text())
	y.send("echo $?\n")
	y.await("130\r\n# $", from)
}
