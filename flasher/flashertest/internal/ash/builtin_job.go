package ash

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// signalNumber reads "9", "KILL", "SIGKILL".
func signalNumber(name string) (kernel.Signal, bool) {
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < 65 {
		return kernel.Signal(n), true
	}
	name = strings.TrimPrefix(strings.ToUpper(name), "SIG")
	for sig, n := range signalNames {
		if n == name {
			return sig, true
		}
	}
	return 0, false
}

func (s *Shell) trap(args []string) int {
	rest := args[1:]
	if len(rest) > 0 && rest[0] == "--" {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		for _, name := range slices.Sorted(maps.Keys(s.traps)) {
			s.printf("trap -- %s %s\n", quoted(s.traps[name]), name)
		}
		return 0
	}
	action, reset := rest[0], false
	if _, isSignal := signalNumber(action); action == "-" || len(rest) == 1 && isSignal {
		reset = true
	}
	if len(rest) > 1 {
		rest = rest[1:]
	}
	for _, name := range rest {
		sig, ok := signalNumber(name)
		switch {
		case strings.EqualFold(name, "EXIT") || ok && sig == 0:
			name = "EXIT"
		case ok && signalNames[sig] != "":
			name = signalNames[sig]
		default:
			s.errorf("%s: invalid signal specification", name)
			return 1
		}
		if reset {
			delete(s.traps, name)
		} else {
			s.traps[name] = action
		}
		if name == "EXIT" {
			continue
		}
		keep := s.interactive && sig == kernel.SIGINT
		quiet := s.interactive && (sig == kernel.SIGQUIT || sig == kernel.SIGTERM || sig == kernel.SIGTSTP)
		switch {
		case reset:
			s.p.Catch(sig, keep)
			s.p.Ignore(sig, quiet)
			if keep {
				s.p.Catch(sig, true)
			}
		case action == "":
			s.p.Ignore(sig, true)
		default:
			s.p.Catch(sig, true)
		}
	}
	return 0
}

// findJob finds the job of "%1", "%%", "%+" or of a process number.
func (s *Shell) findJob(spec string) *job {
	all := slices.Concat(s.jobs, s.ended)
	if n, ok := strings.CutPrefix(spec, "%"); ok {
		if n == "" || n == "%" || n == "+" {
			if len(s.jobs) == 0 {
				return nil
			}
			return s.jobs[len(s.jobs)-1]
		}
		for _, j := range s.jobs {
			if strconv.Itoa(j.number) == n {
				return j
			}
		}
		return nil
	}
	pid, err := strconv.Atoi(spec)
	for _, j := range all {
		for _, p := range j.procs {
			if err == nil && p.PID == pid {
				return j
			}
		}
	}
	return nil
}

func (s *Shell) forget(j *job) {
	drop := func(x *job) bool { return x == j }
	s.jobs = slices.DeleteFunc(s.jobs, drop)
	s.ended = slices.DeleteFunc(s.ended, drop)
}

// waitFor waits for one process; a trapped signal ends it.
func (s *Shell) waitFor(p *kernel.Process) (status int, interrupted bool) {
	ended := func() (int, bool) {
		status, sig := p.Status()
		if sig != 0 && sig != kernel.SIGINT && sig != kernel.SIGPIPE {
			fmt.Fprintln(s.p.Stream(2), signalTexts[sig])
		}
		return status, false
	}
	select {
	case <-p.Done():
		return ended()
	default:
	}
	for {
		select {
		case <-p.Done():
			return ended()
		case <-s.p.Notify():
			return 128 + int(kernel.SIGINT), true
		case <-s.p.Dying():
			return 0, true
		}
	}
}

func (s *Shell) wait(args []string) int {
	select { // an old token
	case <-s.p.Notify():
	default:
	}
	if len(args) == 1 {
		for _, j := range slices.Clone(s.jobs) {
			for _, p := range j.procs {
				if status, interrupted := s.waitFor(p); interrupted {
					return status
				}
			}
			s.forget(j)
		}
		s.ended = nil
		return 0
	}
	status := 0
	for _, spec := range args[1:] {
		j := s.findJob(spec)
		if j == nil {
			if _, err := strconv.Atoi(spec); err != nil {
				s.fail(2, "%s: no such job", spec)
				return 2
			}
			status = 127
			continue
		}
		for _, p := range j.procs {
			var interrupted bool
			if status, interrupted = s.waitFor(p); interrupted {
				return status
			}
		}
		s.forget(j)
	}
	return status
}

func (s *Shell) killJobs(args []string) int {
	rest := args[1:]
	sig := kernel.SIGTERM
	if len(rest) > 0 && strings.HasPrefix(rest[0], "-") && rest[0] != "--" {
		name := rest[0][1:]
		rest = rest[1:]
		if name == "s" && len(rest) > 0 {
			name, rest = rest[0], rest[1:]
		}
		n, ok := signalNumber(name)
		if !ok {
			s.plainf("bad signal name '%s'", name)
			return 1
		}
		sig = n
	}
	if len(rest) > 0 && rest[0] == "--" {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		s.plainf("you need to specify whom to kill")
		return 1
	}
	failed := 0
	for _, spec := range rest {
		if strings.HasPrefix(spec, "%") {
			j := s.findJob(spec)
			if j == nil {
				s.errorf("%s: no such job", spec)
				return 2
			}
			for _, p := range j.procs {
				target := p.PID
				if p.PGID() != s.p.PGID() {
					target = -p.PGID()
				}
				s.p.K.Kill(target, sig)
			}
			if j.stopped && sig != kernel.SIGCONT {
				s.await2(j)
			}
			continue
		}
		pid, err := strconv.Atoi(spec)
		if err != nil {
			s.plainf("invalid number '%s'", spec)
			failed++
			continue
		}
		if err := s.p.K.Kill(pid, sig); err != nil {
			s.plainf("can't kill pid %d: %v", pid, err)
			failed++
		}
	}
	return min(failed, 1)
}

// await2 gives a killed job the time to end.
func (s *Shell) await2(j *job) {
	for _, p := range j.procs {
		select {
		case <-p.Done():
		case <-s.p.Dying():
		case <-s.context().Done():
		}
	}
}

func (s *Shell) listJobs([]string) int {
	for i, j := range s.jobs {
		state := "Running"
		switch {
		case j.stopped:
			state = "Stopped"
		case j.done():
			state = "Done"
		}
		s.printf("[%d]%s  %-26s %s\n", j.number, mark(i, len(s.jobs)), state, j.text)
	}
	return 0
}

func mark(i, n int) string {
	switch i {
	case n - 1:
		return "+"
	case n - 2:
		return "-"
	}
	return " "
}

// report says that a background job has ended.
func (s *Shell) report(j *job) {
	state := "Done"
	status, sig := j.last().Status()
	switch {
	case sig != 0:
		state = signalTexts[sig]
	case status != 0:
		state = fmt.Sprintf("Done(%d)", status)
	}
	fmt.Fprintf(s.p.Stream(2), "[%d]%s  %-26s %s\n", j.number, mark(slices.Index(s.jobs, j), len(s.jobs)), state, j.text)
}

// resume is fg and bg.
func (s *Shell) resume(args []string) int {
	spec := "%%"
	if len(args) > 1 {
		spec = args[1]
	}
	j := s.findJob(spec)
	if j == nil {
		s.errorf("%s: no such job", strings.Join(args[1:], ""))
		return 2
	}
	j.stopped = false
	if args[0] == "bg" {
		s.printf("[%d] %s\n", j.number, j.text)
		s.p.K.Kill(-j.procs[0].PGID(), kernel.SIGCONT)
		return 0
	}
	s.printf("%s\n", j.text)
	s.p.K.TTY.SetForeground(j.procs[0].PGID())
	s.p.K.Kill(-j.procs[0].PGID(), kernel.SIGCONT)
	s.forget(j)
	out := s.foreground(j.procs, nil)
	return out[len(out)-1] & 0xff
}
