package serial

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// command is a console on the standard input and output of a process.
type command struct {
	io.Reader
	io.WriteCloser
	cmd  *exec.Cmd
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
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
		}
		return nil, err
	}
	c := &command{Reader: r, WriteCloser: in, cmd: cmd, wait: sync.OnceValue(cmd.Wait)}
	// The reader sees the end of the process as the end of the console.
	go func() {
		err := c.wait()
		if err == nil {
			err = io.EOF
		}
		w.CloseWithError(err)
	}()
	return c, nil
}

// Close ends the process: by the end of its input, and by force a second later.
func (c *command) Close() error {
	c.WriteCloser.Close()
	r, _ := c.Reader.(*io.PipeReader)
	r.CloseWithError(io.EOF)
	kill := time.AfterFunc(time.Second, func() { c.cmd.Process.Kill() })
	defer kill.Stop()
	c.wait() // how a process ends that is told to is of no interest
	return nil
}
