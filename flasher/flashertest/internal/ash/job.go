package ash

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// job is a command that runs beside the shell, or was stopped.
type job struct {
	number  int
	procs   []*kernel.Process
	text    string
	stopped bool
}

func (j *job) last() *kernel.Process { return j.procs[len(j.procs)-1] }

func (j *job) done() bool {
	for _, p := range j.procs {
		select {
		case <-p.Done():
		default:
			return false
		}
	}
	return true
}

// spawn forks a child in a group of its own where there is job control; leader
// is the first process of the job, or nil.
func (s *Shell) spawn(leader *kernel.Process, foreground bool) *kernel.Process {
	c := s.p.Fork()
	if s.control {
		if leader == nil {
			leader = c
		}
		c.SetPGID(leader.PID)
		if foreground {
			s.p.K.TTY.SetForeground(leader.PID)
		}
	}
	if s.interactive {
		for _, sig := range []kernel.Signal{kernel.SIGQUIT, kernel.SIGTERM, kernel.SIGTSTP} {
			if action, set := s.traps[signalNames[sig]]; !set || action != "" {
				c.Ignore(sig, false)
			}
		}
	}
	return c
}

// fork runs f in a subshell in the foreground and returns its status.
func (s *Shell) fork(f func(*Shell), what syntax.Node) int {
	c := s.spawn(nil, true)
	sub := s.subshell(c)
	s.p.K.Go(func() {
		f(sub)
		c.Exit(sub.finish())
	})
	return s.foreground([]*kernel.Process{c}, what)[0]
}

// foreground waits for the processes of a job and returns their statuses.
func (s *Shell) foreground(procs []*kernel.Process, what syntax.Node) []int {
	out := make([]int, len(procs))
	for i, p := range procs {
		out[i] = s.await(p)
		if out[i] == stoppedStatus {
			s.suspended(procs, what)
			break
		}
	}
	if s.control {
		s.p.K.TTY.SetForeground(s.p.PGID())
	}
	return out
}

const stoppedStatus = 1000

// await waits for a child. Its status is 128 and the signal where one has
// killed it, and stoppedStatus where job control has stopped it.
func (s *Shell) await(c *kernel.Process) int {
	for {
		var stopped <-chan struct{}
		if s.control {
			stopped = c.Stopped()
		}
		select {
		case <-c.Done():
			status, sig := c.Status()
			switch {
			case sig == kernel.SIGINT && s.control:
				// The terminal has told the job only.
				if s.p.Signal(sig); s.interactive && s.traps["INT"] == "" {
					s.flow = aborting
				}
			case sig != 0 && sig != kernel.SIGINT && sig != kernel.SIGPIPE:
				fmt.Fprintln(s.p.Stream(2), signalTexts[sig])
			}
			return status
		case <-stopped:
			return stoppedStatus
		case <-s.p.Dying():
			return s.status
		}
	}
}

// suspended makes a job of a stopped command.
func (s *Shell) suspended(procs []*kernel.Process, what syntax.Node) {
	j := s.addJob(procs, what)
	j.stopped = true
	fmt.Fprintf(s.p.Stream(2), "[%d]+  Stopped                    %s\n", j.number, j.text)
	s.status = 128 + int(kernel.SIGTSTP)
}

func (s *Shell) addJob(procs []*kernel.Process, what syntax.Node) *job {
	n := 1
	for slices.ContainsFunc(s.jobs, func(j *job) bool { return j.number == n }) {
		n++
	}
	j := &job{number: n, procs: procs, text: commandText(what)}
	s.jobs = append(s.jobs, j)
	return j
}

// commandText is a command as `jobs` shows it.
func commandText(n syntax.Node) string {
	if st, ok := n.(*syntax.Stmt); ok {
		c := *st
		c.Background = false
		n = &c
	}
	var b strings.Builder
	syntax.NewPrinter(syntax.SingleLine(true)).Print(&b, n)
	return strings.TrimSpace(b.String())
}

// background starts a job and goes on.
func (s *Shell) background(st *syntax.Stmt) {
	c := s.spawn(nil, false)
	if !s.control {
		c.Ignore(kernel.SIGINT, true)
		c.Ignore(kernel.SIGQUIT, true)
		if null, err := s.p.K.FS.Open(c, "/dev/null", kernel.ReadOnly, 0); err == nil {
			c.FDs.Set(0, null)
		}
	}
	sub := s.subshell(c)
	s.addJob([]*kernel.Process{c}, st)
	s.lastBg = c.PID
	s.status = 0
	parent, reading := s.p, s.reading
	s.p.K.Go(func() {
		c.Exit(sub.only(st))
		if reading != nil && reading.CompareAndSwap(waitsForLine, childEnded) {
			parent.Interrupt()
		}
	})
}

// only runs the one command for which a subshell was made, and returns its
// status. A program runs in the subshell's own process, as after an exec.
func (s *Shell) only(st *syntax.Stmt) int {
	inner := *st
	inner.Background = false
	if call, ok := inner.Cmd.(*syntax.CallExpr); ok && !inner.Negated && len(call.Args) > 0 {
		s.replace = true
	}
	s.stmt(&inner)
	return s.finish()
}

func (s *Shell) pipeline(list []*syntax.Stmt) {
	procs := make([]*kernel.Process, len(list))
	shells := make([]*Shell, len(list))
	var before *kernel.File
	for i := range list {
		procs[i] = s.spawn(procs[0], true)
		shells[i] = s.subshell(procs[i])
		if before != nil {
			procs[i].FDs.Set(0, before)
		}
		if i < len(list)-1 {
			r, w := kernel.Pipe()
			procs[i].FDs.Set(1, w)
			before = r
		}
	}
	for i, st := range list {
		s.p.K.Go(func() { procs[i].Exit(shells[i].only(st)) })
	}
	statuses := s.foreground(procs, &syntax.Stmt{Cmd: rejoin(list)})
	if slices.Contains(statuses, stoppedStatus) {
		return
	}
	s.status = statuses[len(statuses)-1]
	if s.pipeFail && s.status == 0 {
		for _, st := range statuses {
			if st != 0 {
				s.status = st
			}
		}
	}
}

// rejoin makes one command of a pipeline again.
func rejoin(list []*syntax.Stmt) syntax.Command {
	if len(list) == 1 {
		return list[0].Cmd
	}
	return &syntax.BinaryCmd{Op: syntax.Pipe, X: list[0], Y: &syntax.Stmt{Cmd: rejoin(list[1:])}}
}

// external runs a program, in a child or in the shell's place.
func (s *Shell) external(args []string, assigns []*syntax.Assign, redirs []*syntax.Redirect, replace bool) {
	p := s.p
	if !replace {
		p = s.spawn(nil, true)
	}
	forked := p != s.p
	give := func(status int) {
		if forked {
			p.Exit(status)
			if s.control {
				s.p.K.TTY.SetForeground(s.p.PGID())
			}
		}
		s.status = status
	}
	for _, r := range redirs {
		if !s.apply(r, p) {
			give(1)
			return
		}
	}
	restore, ok := s.temporary(assigns)
	defer restore()
	if !ok {
		give(s.status)
		return
	}
	s.traceCall(args)
	program, status := s.find(args[0], p)
	if program == nil {
		give(status)
		return
	}
	p.Become(args, s.exported())
	if !forked {
		s.status = program(p)
		s.flow = exiting
		return
	}
	s.p.K.Go(func() { p.Exit(program(p)) })
	text := &syntax.CallExpr{}
	for _, a := range args {
		text.Args = append(text.Args, &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{Value: a}}})
	}
	if status := s.foreground([]*kernel.Process{p}, &syntax.Stmt{Cmd: text})[0]; status != stoppedStatus {
		s.status = status
	}
}

// find looks a program up, and complains on p's standard error.
func (s *Shell) find(name string, p *kernel.Process) (program func(*kernel.Process) int, status int) {
	complain := func(format string, args ...any) {
		saved := s.p
		s.p = p
		s.errorf(format, args...)
		s.p = saved
	}
	path, err := s.lookPath(name)
	if err == nil {
		program, err = Program(p, path)
	}
	switch {
	case err == nil:
		return program, 0
	case errors.Is(err, kernel.ENOENT) || errors.Is(err, kernel.ENOTDIR):
		complain("%s: not found", name)
		return nil, 127
	}
	complain("%s: %v", name, err)
	return nil, 126
}

// lookPath finds a program's file.
func (s *Shell) lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range strings.Split(s.get("PATH"), ":") {
		path := dir + "/" + name
		if n, err := s.p.K.FS.Stat(s.p, path, true); err == nil && !n.Mode().IsDir() && n.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", kernel.ENOENT
}

// Program returns what runs the program file path: the simulation's own code,
// or a shell for a script.
func Program(p *kernel.Process, path string) (func(*kernel.Process) int, error) {
	n, err := p.K.FS.Stat(p, path, true)
	switch {
	case err != nil:
		return nil, err
	case n.Mode().IsDir() || n.Mode()&0o111 == 0:
		return nil, kernel.EACCES
	case n.Program != nil:
		return n.Program, nil
	}
	f, err := p.K.FS.Open(p, path, kernel.ReadOnly, 0)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	text, err := readAll(p, f)
	if err != nil {
		return nil, err
	}
	interpreter := []string{"/bin/sh"}
	if first, _, _ := strings.Cut(text, "\n"); strings.HasPrefix(first, "#!") {
		interpreter = strings.Fields(first[2:])
	}
	if len(interpreter) == 0 {
		return nil, kernel.ENOEXEC
	}
	in, err := p.K.FS.Stat(p, interpreter[0], true)
	if err != nil {
		return nil, err
	}
	if in.Program == nil {
		return nil, kernel.ENOEXEC
	}
	return func(p *kernel.Process) int {
		p.Become(slices.Concat(interpreter, []string{path}, p.Args[1:]), p.Env)
		return in.Program(p)
	}, nil
}

var signalNames = map[kernel.Signal]string{
	kernel.SIGHUP: "HUP", kernel.SIGINT: "INT", kernel.SIGQUIT: "QUIT", kernel.SIGKILL: "KILL", kernel.SIGUSR1: "USR1",
	kernel.SIGUSR2: "USR2", kernel.SIGPIPE: "PIPE", kernel.SIGALRM: "ALRM", kernel.SIGTERM: "TERM", kernel.SIGCHLD: "CHLD",
	kernel.SIGCONT: "CONT", kernel.SIGSTOP: "STOP", kernel.SIGTSTP: "TSTP",
}

var signalTexts = map[kernel.Signal]string{
	kernel.SIGHUP: "Hangup", kernel.SIGQUIT: "Quit", kernel.SIGKILL: "Killed", kernel.SIGUSR1: "User defined signal 1",
	kernel.SIGUSR2: "User defined signal 2", kernel.SIGALRM: "Alarm clock", kernel.SIGTERM: "Terminated",
}
