package serial

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
	"unicode"
)

// command is a console on the standard input and output of a process.
type command struct {
	io.Reader
	io.WriteCloser
	kill func() // all that it started
	wait func() error
}

// openCommand starts a command. It is split at blanks, without a shell: a command
// that needs quoting goes into a script.
func openCommand(line string) (io.ReadWriteCloser, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil, fmt.Errorf("%w: want exec:COMMAND", ErrURL)
	}
	cmd := exec.Command(words[0], words[1:]...)
	kill := ownSession(cmd)
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	cmd.Stdout = w
	complaints := &lastWords{}
	cmd.Stderr = complaints
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
		}
		return nil, err
	}
	c := &command{Reader: r, WriteCloser: in, kill: kill, wait: sync.OnceValue(func() error {
		err := cmd.Wait()
		kill() // what it left behind; at once, before its number belongs to others
		return err
	})}
	// The reader sees the end of the process as the end of the console.
	go func() {
		err := c.wait()
		if err == nil {
			err = io.EOF
		} else if said := complaints.line(); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		w.CloseWithError(err)
	}()
	return c, nil
}

// lastWords keeps the end of what a process writes to its standard error, which
// says more about a failed ssh than its exit status 255. It is read when the
// process is gone.
type lastWords struct{ text []byte }

// maxLastWords is how much is kept.
const maxLastWords = 1024

func (l *lastWords) Write(b []byte) (int, error) {
	l.text = append(l.text, b...)
	if over := len(l.text) - maxLastWords; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(b), nil
}

// line is the last one, with nothing that could move a terminal's cursor.
func (l *lastWords) line() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(l.text), ""))
	text = text[strings.LastIndexAny(text, "\r\n")+1:]
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}

// Close ends the process: by the end of its input, and by force a second later. What
// it started and left behind ends, too.
func (c *command) Close() error {
	c.WriteCloser.Close()
	r, _ := c.Reader.(*io.PipeReader)
	r.CloseWithError(io.EOF)
	kill := time.AfterFunc(time.Second, c.kill)
	defer kill.Stop()
	c.wait() // how a process ends that is told to is of no interest
	return nil
}
