package console_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/Netflix/go-expect"
	"github.com/creack/pty"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/console"
)

// deskScreen is what a person has before him.
type deskScreen struct {
	*io.PipeReader
	*io.PipeWriter
}

func (s deskScreen) Close() error { return errors.Join(s.PipeReader.Close(), s.PipeWriter.Close()) }

// TestIdleLines has a real busybox shell on a real terminal, which edits its line: it
// gets the lines at its prompt only, whatever the person does meanwhile.
func TestIdleLines(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	busybox := testtool.Need(t, "busybox", "apt-get install busybox-static")
	cmd := exec.Command(busybox, "sh", "-i")
	cmd.Dir = "/"
	cmd.Env = []string{"TERM=vt100", "HOME=/root", "PATH=" + os.Getenv("PATH"), `PS1=\w # `}
	board, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	c, err := console.New(board)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Expect(ctx, expect.String("/ # ")); err != nil {
		t.Fatal(err)
	}
	keys, typing := io.Pipe()
	showing, shown := io.Pipe()
	person, err := console.New(deskScreen{showing, typing})
	if err != nil {
		t.Fatal(err)
	}
	defer person.Close()
	lines := make(chan string)
	attached := make(chan error, 1)
	go func() {
		attached <- c.Attach(ctx, keys, shown, console.WithReplay(0), console.WithIdleLines(regexp.MustCompile(`^[/~]\S* # $`), lines))
	}()
	types := func(text string) {
		t.Helper()
		if err := person.Send(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	sees := func(text string) (before string) {
		t.Helper()
		m, err := person.Expect(ctx, expect.String(text))
		if err != nil {
			t.Fatal(err)
		}
		return m.Before
	}
	// A line that waits long enough to be typed would be, if it ever were.
	const long = 2500 * time.Millisecond

	lines <- "echo to''ld-1"
	sees("told-1\r\n")
	sees("/ # ")

	// In the middle of a line.
	types("echo ha")
	sees("echo ha")
	lines <- "echo to''ld-2"
	time.Sleep(long)
	types("lf\r")
	if before := sees("half\r\n"); strings.Contains(before, "told") {
		t.Errorf("in the middle of a line: %q", before)
	}
	sees("told-2\r\n")
	sees("/ # ")

	// In a program, which was typed ahead of the prompt.
	types("sleep 1\rcat\r")
	lines <- "echo to''ld-3"
	time.Sleep(long)
	types("into the program\r")
	if before := sees("into the program\r\ninto the program\r\n"); strings.Contains(before, "ld-3") {
		t.Errorf("into a program: %q", before)
	}
	types("\x04")
	sees("# ")
	time.Sleep(long) // who typed into a program may have typed on
	types("echo no'w'\r")
	if before := sees("now\r\n"); strings.Contains(before, "ld-3") {
		t.Errorf("behind a program: %q", before)
	}
	sees("told-3\r\n")
	sees("/ # ")

	// What looks like a prompt to everybody else.
	types("printf '# '; cat\r")
	sees("\r\n# ")
	lines <- "echo to''ld-4"
	time.Sleep(long)
	types("\x03")
	if before := sees("/ # "); strings.Contains(before, "ld-4") {
		t.Errorf("at a program's prompt: %q", before)
	}
	types("cd /tmp\r")
	sees("told-4\r\n")

	types("\x1d")
	if err := <-attached; err != nil {
		t.Error(err)
	}
}
