package busybox

import (
	"regexp"
	"strings"
)

// omen is what a line on the console says about the life of the board.
type omen int

const (
	omenNone   omen = iota
	omenPanic       // the kernel died
	omenUBoot       // a boot loader started
	omenKernel      // a kernel started
)

// The texts are those of Linux (kernel/panic.c, arch/*/kernel/traps.c and
// mm/fault.c, init/main.c) and U-Boot (display_options, spl.c, reset commands).
var (
	rePanic     = regexp.MustCompile(`Kernel panic - not syncing|Unable to handle kernel|Internal error: Oops|BUG: unable to handle|"Synchronous Abort" handler|### ERROR ### Please RESET the board ###`)
	reLoader    = regexp.MustCompile(`^(?:\x00|\s)*U-Boot (?:SPL |TPL |VPL )?\d{4}\.\d\d|^\s*NOTICE:\s+BL\d+: v\d`)
	reKernelRun = regexp.MustCompile(`\] Booting Linux on |Linux version \d+\.\d+\S* \(`)
)

// omenIn is what one line says.
func omenIn(line string) omen {
	switch {
	case rePanic.MatchString(line):
		return omenPanic
	case reLoader.MatchString(line):
		return omenUBoot
	case reKernelRun.MatchString(line):
		return omenKernel
	}
	return omenNone
}

// watch reads the whole console stream and notes the first line that means
// that the board died or started anew.
type watch struct {
	crlf bool // only lines that end with CR LF count: commands end theirs with LF
	line []byte
	last omen
	dead omen
	text strings.Builder // from the fatal line on
}

const (
	maxLine  = 4096
	maxDeath = 8192
)

// feed takes the next bytes of the console and reports whether the board has
// been found dead, now or before.
func (w *watch) feed(b string) bool {
	for len(b) > 0 {
		i := strings.IndexByte(b, '\n')
		part := b
		if i >= 0 {
			part = b[:i+1]
		}
		b = b[len(part):]
		if len(w.line)+len(part) <= maxLine {
			w.line = append(w.line, part...)
		}
		if i < 0 {
			break
		}
		w.full(string(w.line))
		w.line = w.line[:0]
	}
	return w.dead != omenNone
}

// full judges one line with its line feed.
func (w *watch) full(line string) {
	if w.dead != omenNone {
		if w.text.Len() < maxDeath {
			w.text.WriteString(line)
		}
		return
	}
	if w.crlf && !strings.HasSuffix(line, "\r\n") {
		return
	}
	if o := omenIn(line); o != omenNone {
		w.see(o, line)
	}
}

// see takes an omen in. A panic is always the end. In a session so is any
// start; while a board boots a start is expected once: the boot loader, then
// the kernel, and only what comes out of that order is a reset.
func (w *watch) see(o omen, line string) {
	fatal := o == omenPanic
	switch {
	case fatal:
	case w.crlf || w.session():
		fatal = true
	case o == omenUBoot:
		// SPL, TPL and U-Boot proper print a banner each: only one after a
		// kernel is a reset.
		fatal = w.last == omenKernel || w.last == omenHandedOver
		w.last = o
	case o == omenKernel:
		// "Booting Linux on" and "Linux version" are one start.
		fatal = w.last == omenKernel && strings.Contains(line, "] Booting Linux on ")
		w.last = o
	}
	if fatal {
		w.dead = o
		w.text.WriteString(line)
	}
}

// omenHandedOver as the last start means that the boot loader is done, and that
// the kernel is to be heard of next.
const omenHandedOver omen = -2

// omenSession as the last start means that no start is expected any more.
const omenSession omen = -1

func (w *watch) session() bool { return w.last == omenSession }

// err is the error for the death that was seen.
func (w *watch) err(op, cmd string) error {
	e := &Error{Op: op, Command: cmd, Tail: firstLines(w.text.String(), 2048), Err: ErrReset,
		Detail: "the session is over; log in again after the board has booted"}
	if w.dead == omenPanic {
		e.Err = ErrPanic
		e.Detail = "the session is over; power-cycle the board"
		if strings.Contains(w.text.String(), "Out of memory") || strings.Contains(w.text.String(), "out of memory") {
			e.Err = panicOOM{}
		}
	}
	return e
}

// panicOOM is a kernel that died for want of memory: both conditions hold.
type panicOOM struct{}

func (panicOOM) Error() string   { return "kernel panic, out of memory" }
func (panicOOM) Unwrap() []error { return []error{ErrPanic, ErrOutOfMemory} }

// firstLines keeps the start of the panic text, which names the cause, within
// what an error message shows.
func firstLines(s string, n int) string {
	s = strings.ReplaceAll(s, "\r", "")
	if len(s) > n {
		s = s[:n]
	}
	return strings.TrimSpace(s)
}
