package kernel

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Signal is a signal's Linux number.
type Signal int

// The signals that do something here.
const (
	SIGHUP  Signal = 1
	SIGINT  Signal = 2
	SIGQUIT Signal = 3
	SIGKILL Signal = 9
	SIGUSR1 Signal = 10
	SIGUSR2 Signal = 12
	SIGPIPE Signal = 13
	SIGALRM Signal = 14
	SIGTERM Signal = 15
	SIGCHLD Signal = 17
	SIGCONT Signal = 18
	SIGSTOP Signal = 19
	SIGTSTP Signal = 20
)

func (s Signal) Error() string { return fmt.Sprintf("killed by signal %d", int(s)) }

// Process is one process. Its goroutine calls Exit when it is done; the other
// methods may be called concurrently.
type Process struct {
	K    *Kernel
	PID  int
	PPID int
	Args []string          // only the process itself may look at these two;
	Env  map[string]string // see Command and Become
	FDs  *Table

	life context.Context // ends when the process is killed
	kill context.CancelCauseFunc

	mu      sync.Mutex
	pgid    int
	cwd     string
	ctx     context.Context // of the present system call
	intr    context.CancelCauseFunc
	caught  map[Signal]bool
	ignored map[Signal]bool
	pending []Signal
	notify  chan struct{} // holds a token when a signal has been caught
	resume  chan struct{} // not nil while stopped; closed by SIGCONT
	stopped chan struct{} // closed when the process was stopped

	done   chan struct{}
	status int
	signal Signal
}

// Spawn makes the first process, with all descriptors closed.
func (k *Kernel) Spawn(args ...string) *Process {
	p := &Process{Args: args, Env: map[string]string{}, FDs: newTable(), cwd: "/"}
	k.adopt(p)
	p.pgid = p.PID
	return p
}

func (k *Kernel) adopt(p *Process) {
	p.K = k
	p.life, p.kill = context.WithCancelCause(k.ctx)
	p.ctx, p.intr = context.WithCancelCause(p.life)
	p.notify, p.done, p.stopped = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	p.caught = map[Signal]bool{}
	if p.ignored == nil {
		p.ignored = map[Signal]bool{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lastPID++
	p.PID = k.lastPID
	k.procs[p.PID] = p
}

// Fork makes a child with the same descriptors, directory and group. Ignored
// signals stay ignored, caught ones are reset.
func (p *Process) Fork() *Process {
	p.mu.Lock()
	c := &Process{PPID: p.PID, Args: p.Args, Env: maps.Clone(p.Env), FDs: p.FDs.clone(), cwd: p.cwd, pgid: p.pgid, ignored: maps.Clone(p.ignored)}
	p.mu.Unlock()
	p.K.adopt(c)
	return c
}

// Become makes the process run another program.
func (p *Process) Become(args []string, env map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Args, p.Env = args, env
}

// Command returns the arguments; anybody may ask.
func (p *Process) Command() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.Args)
}

// Exit ends the process: its descriptors are closed and its status is set,
// unless a signal has killed it before.
func (p *Process) Exit(status int) {
	p.FDs.closeAll()
	p.mu.Lock()
	if p.signal != 0 {
		status = 128 + int(p.signal)
	}
	p.status = status & 0xff
	p.mu.Unlock()
	p.kill(context.Canceled)
	p.K.mu.Lock()
	delete(p.K.procs, p.PID)
	p.K.mu.Unlock()
	close(p.done)
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Status is the exit status after Done, 128 and the signal for a killed process.
func (p *Process) Status() (status int, by Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status, p.signal
}

// Context ends when the process is killed, and when Interrupt is called.
func (p *Process) Context() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ctx
}

// Interrupt makes the present system call fail; Renew makes new ones possible.
func (p *Process) Interrupt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.intr(EINTR)
}

// Renew ends an interruption.
func (p *Process) Renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		p.ctx, p.intr = context.WithCancelCause(p.life)
	}
}

// Dying is closed when the process must end.
func (p *Process) Dying() <-chan struct{} { return p.life.Done() }

// Killed reports whether the process must end.
func (p *Process) Killed() bool { return p.life.Err() != nil }

// Cwd is the working directory.
func (p *Process) Cwd() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cwd
}

// Chdir sets the working directory, which must exist.
func (p *Process) Chdir(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cwd = path
}

// PGID is the process group.
func (p *Process) PGID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pgid
}

// SetPGID sets it.
func (p *Process) SetPGID(g int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pgid = g
}

// Catch has a signal queued for Caught instead of its default action.
func (p *Process) Catch(sig Signal, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.caught[sig] = on
	if on {
		p.ignored[sig] = false
	}
}

// Ignore has a signal ignored, also by children.
func (p *Process) Ignore(sig Signal, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ignored[sig] = on
	if on {
		p.caught[sig] = false
	}
}

// Ignores reports whether it is.
func (p *Process) Ignores(sig Signal) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ignored[sig]
}

// Caught returns the signals that were caught since the last call.
func (p *Process) Caught() []Signal {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.pending
	p.pending = nil
	return s
}

// Notify holds a token after a signal was caught.
func (p *Process) Notify() <-chan struct{} { return p.notify }

// Signal delivers a signal.
func (p *Process) Signal(sig Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sig == SIGCONT || sig == SIGKILL {
		p.unstop()
	}
	switch {
	case sig == 0 || sig == SIGCONT:
	case sig == SIGSTOP:
		p.halt()
	case sig == SIGKILL:
		p.die(sig)
	case p.ignored[sig]:
	case p.caught[sig]:
		if !slices.Contains(p.pending, sig) {
			p.pending = append(p.pending, sig)
		}
		select {
		case p.notify <- struct{}{}:
		default:
		}
		if sig == SIGINT {
			p.intr(EINTR)
		}
	case sig == SIGTSTP:
		p.halt()
	case sig == SIGCHLD:
	default:
		p.die(sig)
	}
}

func (p *Process) die(sig Signal) {
	if p.signal == 0 {
		p.signal = sig
	}
	p.kill(sig)
}

func (p *Process) halt() {
	if p.resume == nil {
		p.resume = make(chan struct{})
		close(p.stopped)
	}
}

func (p *Process) unstop() {
	if p.resume != nil {
		close(p.resume)
		p.resume = nil
		p.stopped = make(chan struct{})
	}
}

// Stopped is closed when SIGSTOP or SIGTSTP has stopped the process.
func (p *Process) Stopped() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

// Check blocks while the process is stopped, and returns EINTR when it has to
// give up what it is doing. Everything that may take long calls it.
func (p *Process) Check() error {
	p.mu.Lock()
	resume, ctx, life := p.resume, p.ctx, p.life
	p.mu.Unlock()
	if resume != nil {
		select {
		case <-resume:
		case <-life.Done():
		}
	}
	if ctx.Err() != nil {
		return EINTR
	}
	return nil
}

// Sleep waits, unless the process is interrupted.
func (p *Process) Sleep(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return p.Check()
	case <-p.Context().Done():
		return EINTR
	}
}

// Process returns the process with that number, or nil.
func (k *Kernel) Process(pid int) *Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.procs[pid]
}

// Processes returns all processes in the order of their numbers.
func (k *Kernel) Processes() []*Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []*Process
	for _, pid := range slices.Sorted(maps.Keys(k.procs)) {
		all = append(all, k.procs[pid])
	}
	return all
}

// Kill sends a signal to a process, or to a group where pid is negative.
func (k *Kernel) Kill(pid int, sig Signal) error {
	found := false
	for _, p := range k.Processes() {
		if p.PID == pid || pid < 0 && p.PGID() == -pid {
			found = true
			p.Signal(sig)
		}
	}
	if !found {
		return ESRCH
	}
	return nil
}
