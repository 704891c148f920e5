package busybox

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Conditions that a caller may want to branch on, found with [errors.Is].
var (
	// ErrLoginIncorrect: the board refused the user name or the password.
	ErrLoginIncorrect = errors.New("login incorrect")
	// ErrLoginRequired: the board asks for a user name or a password and none
	// is configured.
	ErrLoginRequired = errors.New("the board asks for a login that is not configured")
	// ErrNotLoggedIn: there is no session; call Login first.
	ErrNotLoggedIn = errors.New("no shell session")
	// ErrShellLost: nothing on the console proves any more that a shell listens.
	ErrShellLost = errors.New("the shell does not answer")
	// ErrPanic: the kernel died. The error carries its text.
	ErrPanic = errors.New("kernel panic")
	// ErrReset: the board started anew in the middle of the session.
	ErrReset = errors.New("the board was reset")
	// ErrOutOfMemory: the board ran out of memory.
	ErrOutOfMemory = errors.New("out of memory on the board")
	// ErrNoTool: the board lacks a program that is needed.
	ErrNoTool = errors.New("not on the board")
	// ErrNoDevice: there is no such block device on the board.
	ErrNoDevice = errors.New("no such block device on the board")
	// ErrReadOnly: the device or file system cannot be written.
	ErrReadOnly = errors.New("read-only")
	// ErrInUse: the device is mounted, swapped on, or held by another device.
	ErrInUse = errors.New("in use on the board")
	// ErrTooSmall: the device is smaller than what is to be written.
	ErrTooSmall = errors.New("device too small")
	// ErrNoSpace: a file system or device on the board is full.
	ErrNoSpace = errors.New("no space left on the board")
	// ErrIO: the kernel of the board reported an input or output error.
	ErrIO = errors.New("input/output error on the board")
	// ErrCorrupt: what arrived is not what was sent, also after repetition.
	ErrCorrupt = errors.New("data damaged on the console")
	// ErrCommandText: the command cannot be typed as it is.
	ErrCommandText = errors.New("command cannot be typed")
	// ErrFetch: the board could not fetch a URL.
	ErrFetch = errors.New("fetch on the board failed")
	// ErrConfig: an option or an argument is not valid.
	ErrConfig = errors.New("invalid argument")
	// ErrOutputLost: output arrived faster than the console's window allows.
	ErrOutputLost = errors.New("output lost")
	// ErrOutputTooLong: a command printed more than Run keeps; use Stream.
	ErrOutputTooLong = errors.New("output too long")
)

// Error says which step of the session failed, on what, and what the console
// showed last.
type Error struct {
	Op      string // what was done: "login", "run", "upload", ...
	Command string // the command on the board, if there was one
	Detail  string // what happened and what to do next, one sentence without a full stop
	Tail    string // the last lines of the console, bounded; the panic text with ErrPanic
	Err     error  // the cause: a sentinel of this package, a context's error, an error of the console
}

// Error returns one line: the step, the command, what happened, the last
// console lines.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("busybox: ")
	b.WriteString(e.Op)
	if e.Command != "" {
		fmt.Fprintf(&b, " %q", short(e.Command, 120))
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, ": %s", e.Detail)
	}
	t := lastLines(e.Tail, 6, 400)
	if errors.Is(e.Err, ErrPanic) || errors.Is(e.Err, ErrReset) {
		t = firstLines(e.Tail, 400) // the first line of a panic says why
	}
	if t != "" {
		fmt.Fprintf(&b, "; console: %q", t)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CommandError is a command that ran on the board and did not end with
// status 0.
type CommandError struct {
	Command string // as given to Run, Stream or Script, without secrets
	Status  int    // exit status; 128+n where signal n ended it
	Output  string // what it printed, stdout and stderr, without secrets; with Stream its last part
	Tail    string // the last lines of Output
	Err     error  // what the output says went wrong: ErrNoSpace, ErrIO, ErrReadOnly, ErrOutOfMemory, ErrNoTool (status 127), or nil
}

// Error names the command, its status and its last lines.
func (e *CommandError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "busybox: command %q on the board: exit status %d", short(e.Command, 120), e.Status)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if t := lastLines(e.Tail, 6, 400); t != "" {
		fmt.Fprintf(&b, "; last output lines: %q", t)
	} else {
		b.WriteString("; it printed nothing")
	}
	return b.String()
}

// Unwrap returns what the output says went wrong, or nil.
func (e *CommandError) Unwrap() error { return e.Err }

// The texts are those of the C library's strerror (glibc, musl) and of the
// kernel's out-of-memory killer.
var (
	reNoSpace  = regexp.MustCompile(`No space left on device`)
	reReadOnly = regexp.MustCompile(`Read-only file system`)
	reIO       = regexp.MustCompile(`(?i)Input/output error|\bI/O error\b`)
	reNoMemory = regexp.MustCompile(`(?i)Out of memory|Cannot allocate memory`)
)

// causeOf is what a failed command's last lines say went wrong, or nil.
func causeOf(tail string) error {
	switch {
	case reNoSpace.MatchString(tail):
		return ErrNoSpace
	case reReadOnly.MatchString(tail):
		return ErrReadOnly
	case reIO.MatchString(tail):
		return ErrIO
	case reNoMemory.MatchString(tail):
		return ErrOutOfMemory
	}
	return nil
}

// commandError makes the error of a command from its status and output.
func (s *Shell) commandError(cmd string, status int, output string) *CommandError {
	cmd, output = s.hide(cmd), s.hide(output)
	e := &CommandError{Command: cmd, Status: status, Output: output, Tail: lastLines(output, 10, 1024)}
	e.Err = causeOf(e.Tail)
	if e.Err == nil && status == 127 && strings.Contains(e.Tail, "not found") {
		e.Err = ErrNoTool
	}
	return e
}

// short cuts s to about n bytes and says so.
func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}

// lastLines returns at most n lines and max bytes from the end of s.
func lastLines(s string, n, max int) string {
	s = strings.TrimRight(strings.ReplaceAll(s, "\r", ""), "\n \t")
	if len(s) > max {
		s = s[len(s)-max:]
	}
	lines := strings.Split(s, "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.TrimLeft(strings.Join(lines, "\n"), "\n")
}
