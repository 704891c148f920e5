package flasher

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Step names one step of an operation on a board, in errors, progress events
// and the result. The order of the constants is the order of a flash.
type Step string

// The steps of [Flasher.Flash]. The shells take those up to StepBootloader or
// StepLogin.
const (
	StepCheck      Step = "check"       // what can be refused without the board
	StepBundle     Step = "bundle"      // pull the bundle, read its manifest
	StepServe      Step = "serve"       // TFTP and HTTP servers of the session
	StepConsole    Step = "console"     // open the serial console
	StepPower      Step = "power"       // power cycle
	StepBootloader Step = "bootloader"  // stop autoboot, prove the U-Boot prompt
	StepNetwork    Step = "network"     // DHCP or a static address in U-Boot
	StepLoad       Step = "load"        // kernel, initramfs and DTB into RAM
	StepBoot       Step = "boot"        // the boot command
	StepLogin      Step = "login"       // until the shell on the board is proved
	StepShell      Step = "shell"       // the board's tools, network and clock
	StepImage      Step = "image"       // the image is wholly prepared and checked
	StepTarget     Step = "target"      // the block device to write to
	StepPreflash   Step = "preflash"    // the manifest's preflash commands
	StepWrite      Step = "write"       // the image onto the device
	StepSync       Step = "sync"        // flush what the board holds back
	StepVerify     Step = "verify"      // read back and compare
	StepDump       Step = "dump"        // read the device and bring it to the host
	StepTable      Step = "table"       // partition table: move its backup, have the kernel read it
	StepPowerState Step = "power state" // the power state asked for at the end
)

// What a caller may want to branch on. They are wrapped by an [*Error].
var (
	// ErrBusy: the Flasher is in the middle of another operation. A board has
	// one console and one power switch.
	ErrBusy = errors.New("another operation on this board is under way")
	// ErrClosed: the Flasher was closed.
	ErrClosed = errors.New("the flasher is closed")
	// ErrImageTooLarge: the raw image does not fit the target. Nothing was
	// written.
	ErrImageTooLarge = errors.New("image is larger than the target")
	// ErrTargetInUse: the target or a part of it is mounted, or used as swap.
	// Nothing was written.
	ErrTargetInUse = errors.New("target is in use")
	// ErrTargetReadOnly: the target is write-protected. Nothing was written.
	ErrTargetReadOnly = errors.New("target is read-only")
	// ErrPartitionNotFound: the target's disk has no partition of that label
	// or number. The error lists those that it has. Nothing was written.
	ErrPartitionNotFound = errors.New("no such partition")
	// ErrPartitionAmbiguous: several partitions of the disk have that label, or
	// one has it as its label and another as its number. Nothing was written.
	ErrPartitionAmbiguous = errors.New("more than one such partition")
	// ErrPartitionTable: there is no usable partition table where one is
	// needed: on the target's disk, or in the image for [WithMoveBackupGPT].
	ErrPartitionTable = errors.New("unusable partition table")
	// ErrTargetChanged: what the target's name leads to is not the disk that it
	// was: in an earlier attempt, before the preflash commands, or when it was
	// found. Nothing was written to the other one.
	ErrTargetChanged = errors.New("the target has become another device")
	// ErrTargetGone: the target went away while it was written or read, as a card
	// that is pulled out or a USB disk whose bus was reset. A retry looks for it
	// again.
	ErrTargetGone = errors.New("the target went away")
	// ErrTargetOverlap: two parts of one flash would write to the same place.
	// Nothing was written.
	ErrTargetOverlap = errors.New("targets overlap")
	// ErrVerify: what was read back from the target is not the image.
	ErrVerify = errors.New("the target does not hold the image")
	// ErrDeviceRead: the board cannot read its device at some place.
	ErrDeviceRead = errors.New("the device cannot be read")
	// ErrDumpWriter: the writer given to [Flasher.Dump] failed.
	ErrDumpWriter = errors.New("the dump could not be saved")
	// ErrDumpTransfer: the board could not send the same piece many times.
	ErrDumpTransfer = errors.New("the board cannot send what it read")
	// ErrStalled: the board took no more bytes for longer than the limit.
	ErrStalled = errors.New("the board stopped taking data")
	// ErrNoServerAddress: no address of this host faces the board.
	ErrNoServerAddress = errors.New("no address of this host faces the board")
	// ErrPortTaken: a TFTP or HTTP port is in use by another program.
	ErrPortTaken = errors.New("port is taken")
	// ErrPortPermission: the TFTP port may not be bound by this user.
	ErrPortPermission = errors.New("port may not be bound by this user")
	// ErrConfig is wrapped by every error about options: nothing was touched.
	ErrConfig = errors.New("bad configuration")
)

// Error says which step of which operation failed. errors.Is and errors.As
// reach the cause: the sentinels of this package, *uboot.CommandError,
// *busybox.CommandError, *bundle.Error, *image.Error, *power.Error, and
// context.DeadlineExceeded for a step that took longer than its limit.
type Error struct {
	// Op is "flash", "dump", "bootloader shell", "busybox shell" or "new".
	Op string
	// Step is where it failed.
	Step Step
	// Err is the cause.
	Err error
	// Tail holds the last lines that the console showed, without escape
	// sequences and secrets; empty before the console was open.
	Tail string
	// Hint says what to do next, where that is known.
	Hint string
	// Attempts are all tries in their order, the last of them this error;
	// empty where it was never tried.
	Attempts []Attempt
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %v", e.Op, e.Step, e.Err)
	if n := len(e.Attempts); n > 1 {
		if before, same := e.before(); same {
			fmt.Fprintf(&b, " (the same in each of %d attempts)", n)
		} else {
			fmt.Fprintf(&b, " (attempt %d; before: %s)", n, before)
		}
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, " (%s)", e.Hint)
	}
	if e.Tail != "" && !strings.Contains(b.String(), lastLine(e.Tail)) {
		fmt.Fprintf(&b, "\nlast console lines:\n%s", indent(e.Tail))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// before is what the earlier attempts failed with, each reason once. same is true where
// each of them failed as the last one did.
func (e *Error) before() (_ string, same bool) {
	last := e.Attempts[len(e.Attempts)-1].firstLine()
	same = true
	var reasons []string
	times := map[string]int{}
	for _, a := range e.Attempts[:len(e.Attempts)-1] {
		reason := a.short(e.Op)
		same = same && a.firstLine() == last
		if times[reason]++; times[reason] == 1 {
			reasons = append(reasons, reason)
		}
	}
	for i, reason := range reasons {
		if n := times[reason]; n > 1 {
			reasons[i] += fmt.Sprintf(", %d times", n)
		}
	}
	return strings.Join(reasons, "; "), same
}

// lastLine returns the last line of s that is not blank. An error from a
// session below shows the console already; then it need not be shown twice.
func lastLine(s string) string {
	s = strings.TrimRight(s, "\r\n\t ")
	return s[strings.LastIndexByte(s, '\n')+1:]
}

func indent(s string) string {
	return "  | " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  | ")
}

// reasonLength is how many bytes of an earlier attempt's reason an error shows.
const reasonLength = 120

func (a Attempt) firstLine() string {
	line, _, _ := strings.Cut(a.Reason, "\n")
	return line
}

// short is the step and the beginning of the reason, without the operation's name.
func (a Attempt) short(op string) string {
	reason := strings.TrimPrefix(a.firstLine(), op+": ")
	if len(reason) > reasonLength {
		reason = strings.ToValidUTF8(reason[:reasonLength], "") + "..."
	}
	return reason
}

var (
	frameStart = regexp.MustCompile(`<([a-z]{9})\.([a-z]{9}):`)
	frameRest  = regexp.MustCompile(`^(?:<[a-z]{9}\.[a-z]{9}(?::[^<>\n]*)?>)+$`)
)

// withoutFrames takes what the session of a shell types and prints for its own sake
// out of the last lines of a console, and returns at most n of those that are left:
// what the board's kernel and programs said. A frame is "<A.B:TEXT:B.A>", which may
// have many lines, or a line "<A.B:NUMBERS>".
func withoutFrames(text string, n int) string {
	for at := 0; ; {
		m := frameStart.FindStringSubmatchIndex(text[at:])
		if m == nil {
			break
		}
		begin := at + m[0]
		end := ":" + text[at+m[4]:at+m[5]] + "." + text[at+m[2]:at+m[3]] + ">"
		i := strings.Index(text[begin:], end)
		if i < 0 {
			at += m[1]
			continue
		}
		text = text[:begin] + text[begin+i+len(end):]
		at = begin
	}
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimRight(line, "\r"); line != "" && !frameRest.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
