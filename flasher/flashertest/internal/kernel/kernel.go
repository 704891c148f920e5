// Package kernel is what a shell and its tools need of an operating system, in
// memory: processes with signals, files with descriptors, pipes, a terminal, and
// a log. Nothing in it touches the machine that it runs on.
package kernel

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Kernel is a running system. All methods may be called concurrently.
type Kernel struct {
	FS  *FS
	TTY *Terminal
	Log *Log
	// Clock is the board's wall clock.
	Clock *Clock

	ctx  context.Context
	stop context.CancelCauseFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	procs   map[int]*Process
	lastPID int
}

// Shutdown is the cause with which a system ends.
type Shutdown struct{ Action string } // "reboot", "poweroff", "halt", "panic"

func (s *Shutdown) Error() string { return "system is going down: " + s.Action }

// New boots a kernel that lives until ctx ends, Stop is called, or both.
// out receives what the terminal prints; a call of its Write must return once
// ctx has ended.
func New(ctx context.Context, out Output) *Kernel {
	k := &Kernel{procs: map[int]*Process{}, Clock: &Clock{boot: time.Now()}}
	k.ctx, k.stop = context.WithCancelCause(ctx)
	k.FS = newFS(k)
	k.TTY = newTerminal(k, out)
	k.Log = &Log{k: k, levels: [4]int{7, 4, 1, 7}}
	k.wg.Go(k.TTY.drain)
	return k
}

// Stop ends all processes. The first cause is the one that counts.
func (k *Kernel) Stop(cause error) { k.stop(cause) }

// Done is closed when the system goes down.
func (k *Kernel) Done() <-chan struct{} { return k.ctx.Done() }

// Cause is why the system went down: a [*Shutdown], or the context's own.
func (k *Kernel) Cause() error { return context.Cause(k.ctx) }

// Wait waits until every goroutine of the system has ended.
func (k *Kernel) Wait() { k.wg.Wait() }

// Go runs f in a goroutine that Wait waits for.
func (k *Kernel) Go(f func()) { k.wg.Go(f) }

// Clock is a clock that can be set.
type Clock struct {
	boot   time.Time
	mu     sync.Mutex
	offset time.Duration
}

// Now is the board's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// Set sets it.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = time.Until(t)
}

// Uptime is the time since the kernel was started.
func (c *Clock) Uptime() time.Duration { return time.Since(c.boot) }

// Log is the kernel's log. All methods may be called concurrently.
type Log struct {
	k      *Kernel
	mu     sync.Mutex
	lines  []string
	levels [4]int // as in /proc/sys/kernel/printk
}

const maxLog = 1000

// Print writes a message of a level from 0 (emergency) to 7 (debug) into the
// log, and on the console where the console's level lets it through.
func (l *Log) Print(level int, text string) {
	up := l.k.Clock.Uptime()
	line := fmt.Sprintf("[%5d.%06d] %s", int(up.Seconds()), up.Microseconds()%1e6, text)
	l.mu.Lock()
	l.lines = append(l.lines, line)
	if over := len(l.lines) - maxLog; over > 0 {
		l.lines = append(l.lines[:0], l.lines[over:]...)
	}
	shown := level < l.levels[0]
	l.mu.Unlock()
	if shown {
		l.k.TTY.Raw(line + "\r\n")
	}
}

// Lines returns what the log holds.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// Levels returns the four numbers of /proc/sys/kernel/printk.
func (l *Log) Levels() [4]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.levels
}

// SetLevels sets the first of them.
func (l *Log) SetLevels(levels ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	copy(l.levels[:], levels)
}
