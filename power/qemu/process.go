package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dutflash/dutflash/power"
)

// quitGrace is how long a QEMU that was told to quit may take before it is
// killed: it flushes its disks meanwhile.
const quitGrace = 10 * time.Second

// Process is a [power.Controller] and [power.StateReader] that starts a QEMU for
// On and ends it for Off. It may be used concurrently; the calls happen one after
// the other. Call Off or Close in the end, or QEMU stays.
type Process struct {
	config  config
	command []string

	busy chan struct{} // holds one token while a call works
	run  *run          // nil while off
}

var (
	_ power.Controller  = (*Process)(nil)
	_ power.StateReader = (*Process)(nil)
)

// New returns a Process for the command, a program and its arguments such as
// "qemu-system-aarch64", "-M", "virt", "-serial", "unix:/run/dut1.console,server=on,wait=off".
// A monitor of the driver's own is added. Nothing is started yet. The command's
// standard input is empty and its standard output is discarded: a console goes
// over a socket.
func New(command []string, opts ...Option) (*Process, error) {
	if len(command) == 0 || command[0] == "" {
		return nil, errNoCommand
	}
	c, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	return &Process{config: c, command: slices.Clone(command), busy: make(chan struct{}, 1)}, nil
}

func (p *Process) device() string { return "process " + filepath.Base(p.command[0]) }

// On starts QEMU and returns when the machine runs. Where it runs already nothing
// happens; where the guest has shut down or crashed the machine starts anew. A
// QEMU that ends at once is [power.ErrRefused] with what it said last.
func (p *Process) On(ctx context.Context) error {
	return p.config.switching.Switch(ctx, p.device(), true, p.set, p.state)
}

// Off tells QEMU to quit, and kills it where it does not within ten seconds or
// where ctx ends before. When it returns nil the process is gone.
func (p *Process) Off(ctx context.Context) error {
	return p.config.switching.Switch(ctx, p.device(), false, p.set, p.state)
}

// State tells whether the process is there and its machine runs.
func (p *Process) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, p.config.switching, "state", p.device(), p.state)
}

// Close kills the process, where there is one, and returns when it is gone.
func (p *Process) Close() error {
	p.busy <- struct{}{}
	defer func() { <-p.busy }()
	if p.run != nil {
		p.run.kill()
		p.run = nil
	}
	return nil
}

// lock waits for the call before.
func (p *Process) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case p.busy <- struct{}{}:
		return func() { <-p.busy }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *Process) set(ctx context.Context, on bool) error {
	unlock, err := p.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	switch {
	case p.run != nil && p.run.ended(): // by itself, for instance because the guest powered off
		p.run.remove()
		p.run = nil
	case p.run != nil && !on:
		p.run.quit(ctx)
		p.run = nil
		return nil
	}
	if !on {
		return nil
	}
	if p.run == nil {
		if p.run, err = start(p.command); err != nil {
			return err
		}
	}
	if err = p.run.on(ctx); err != nil && !p.run.wasOn {
		p.run.kill()
		p.run = nil
	}
	return err
}

func (p *Process) state(ctx context.Context) (bool, error) {
	unlock, err := p.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	if p.run == nil || p.run.ended() {
		return false, nil
	}
	mon, err := p.run.monitor(ctx)
	if err != nil {
		return false, err
	}
	defer mon.close()
	status, err := mon.status()
	return status == "running", err
}

// run is one QEMU process.
type run struct {
	cmd    *exec.Cmd
	dir    string // holds the monitor's socket
	stderr *tail
	done   chan struct{} // closed when the process is gone
	wasOn  bool
}

func start(command []string) (*run, error) {
	dir, err := os.MkdirTemp("", "dutflash-qemu-")
	if err != nil {
		return nil, err
	}
	r := &run{dir: dir, stderr: &tail{}, done: make(chan struct{})}
	r.cmd = exec.Command(command[0], slices.Concat(command[1:], []string{"-qmp", "unix:" + r.socket() + ",server=on,wait=off"})...)
	r.cmd.Stderr = r.stderr
	r.cmd.WaitDelay = time.Second
	if err := r.cmd.Start(); err != nil {
		r.remove()
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w", power.ErrNotFound, err)
		}
		return nil, err
	}
	go func() {
		defer close(r.done)
		r.cmd.Wait() // how it ends is told by stderr
	}()
	return r, nil
}

func (r *run) socket() string { return filepath.Join(r.dir, "qmp") }

func (r *run) remove() { os.RemoveAll(r.dir) }

func (r *run) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// monitorEvery is how often the monitor of a QEMU that starts is dialled.
const monitorEvery = 50 * time.Millisecond

// monitor dials the process's monitor, which a QEMU that has just been started
// opens after a moment.
func (r *run) monitor(ctx context.Context) (*monitor, error) {
	for {
		mon, err := dialMonitor(ctx, "unix", r.socket())
		if err == nil || ctx.Err() != nil || !errors.Is(err, power.ErrNotFound) {
			return mon, err
		}
		t := time.NewTimer(monitorEvery)
		select {
		case <-r.done:
			t.Stop()
			return nil, r.failure()
		case <-ctx.Done():
			t.Stop()
			return nil, err
		case <-t.C:
		}
	}
}

func (r *run) failure() error {
	return fmt.Errorf("%w: QEMU ended with %v: %s", power.ErrRefused, r.cmd.ProcessState, r.stderr)
}

// on lets the machine run.
func (r *run) on(ctx context.Context) error {
	mon, err := r.monitor(ctx)
	if err != nil {
		if r.ended() {
			err = r.failure()
		}
		return err
	}
	defer mon.close()
	if err := mon.on(); err != nil {
		return err
	}
	r.wasOn = true
	return nil
}

// quit ends the process, by force where it does not go.
func (r *run) quit(ctx context.Context) {
	grace, cancel := context.WithTimeout(ctx, quitGrace)
	defer cancel()
	if mon, err := r.monitor(grace); err == nil {
		if _, err := mon.execute("quit"); err == nil {
			select {
			case <-r.done:
			case <-grace.Done():
			}
		}
		mon.close()
	}
	r.kill()
}

func (r *run) kill() {
	r.cmd.Process.Kill() // fails only where the process is gone
	<-r.done
	r.remove()
}

// tail keeps the end of what a process says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 2 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-tailSize):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
