package virtboard

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
)

// process is one run of QEMU, from power on to power off.
type process struct {
	pid    int
	stderr tail
	done   chan struct{} // closed when the process is gone and err is set
	err    error         // how it ended; nil for status 0

	mu     sync.Mutex
	cmd    *exec.Cmd // nil once it has ended
	killed bool      // it was asked for
}

// startProcess runs QEMU with its console connected to line, and with files as
// its descriptors 3 and up.
func startProcess(program string, args []string, line *uart, files ...*os.File) (*process, error) {
	cmd := exec.Command(program, args...)
	cmd.ExtraFiles = files
	cmd.SysProcAttr = dieWithParent()
	p := &process{done: make(chan struct{}), cmd: cmd}
	cmd.Stderr = &p.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		stdin.Close()
		return nil, err
	}
	started := make(chan error)
	go func() {
		// Linux sends the signal of a parent's death when the thread that
		// started the process ends, so that thread is kept until the end.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		// Until the process is gone. Another thread copies: to wake this one for each
		// piece would cost more than the rest of it.
		var copying sync.WaitGroup
		copying.Go(func() { line.attach(stdout, stdin, make(chan struct{})) })
		copying.Wait()
		err := cmd.Wait()
		p.mu.Lock()
		p.cmd, p.err = nil, err
		p.mu.Unlock()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// kill ends the process and returns when it is gone.
func (p *process) kill() {
	p.mu.Lock()
	if p.cmd != nil {
		p.killed = p.cmd.Process.Kill() == nil // fails only where it is gone already
	}
	p.mu.Unlock()
	<-p.done
}

// failure returns, once done is closed, how the process ended by itself, or nil
// where it ended well or was killed.
func (p *process) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var exit *exec.ExitError
	signalled := errors.As(p.err, &exit) && exit.ExitCode() == -1
	if p.err == nil || p.killed && signalled {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDied, p.err)
}

// tail keeps the end of what a process says. It may be used concurrently.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if over := len(t.b) - tailSize; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return tailOf(t.b)
}

func tailOf(b []byte) string {
	return strings.TrimSpace(string(b[max(0, len(b)-tailSize):]))
}
