package uboot

import (
	"errors"
	"fmt"
	"strings"
)

// What a caller may want to branch on. They are wrapped by an [*Error].
var (
	// ErrSilent: the board printed nothing at all.
	ErrSilent = errors.New("the board is silent")
	// ErrNoPrompt: the board printed something, but no U-Boot prompt answered.
	ErrNoPrompt = errors.New("no U-Boot prompt answered")
	// ErrPastBootloader: the board ran past U-Boot into its operating system.
	ErrPastBootloader = errors.New("the board ran past U-Boot into its operating system")
	// ErrPassword: U-Boot asks for a password to stop autoboot.
	ErrPassword = errors.New("U-Boot asks for a password")
	// ErrReset: the board was reset in the middle.
	ErrReset = errors.New("the board was reset")
	// ErrCrash: U-Boot crashed (an exception, or "Please RESET the board").
	ErrCrash = errors.New("U-Boot crashed")
	// ErrNotDefined: the environment variable does not exist.
	ErrNotDefined = errors.New("environment variable is not defined")
	// ErrTruncated: the value is longer than this U-Boot can print.
	ErrTruncated = errors.New("value is longer than U-Boot prints")
	// ErrLineTooLong: the command does not fit into U-Boot's line buffer and
	// cannot be brought there in pieces.
	ErrLineTooLong = errors.New("command is longer than U-Boot's line")
	// ErrControlCharacter: U-Boot's line editor takes a control character (a tab,
	// a line break) for a key, so that it cannot be brought into a command.
	ErrControlCharacter = errors.New("a control character cannot be typed")
	// ErrEcho: what U-Boot echoes of a command is not what was typed, however often.
	// U-Boot got no Enter: nothing of it was run. The serial line loses or damages
	// characters.
	ErrEcho = errors.New("U-Boot does not echo what is typed")
	// ErrCorrupt: what U-Boot answers arrives damaged, in another way each time.
	ErrCorrupt = errors.New("what U-Boot prints arrives damaged")
	// ErrEarlyEnter: a damaged character of a command arrived as Enter, and U-Boot ran
	// what had arrived before it. With a hush shell this takes more than one of them.
	ErrEarlyEnter = errors.New("a part of the command was run, because a character arrived as Enter")
	// ErrNoHush: this build has no hush shell, which the call needs.
	ErrNoHush = errors.New("this U-Boot has no hush shell")
	// ErrUnknownCommand: this build does not have the command.
	ErrUnknownCommand = errors.New("this U-Boot does not have the command")
	// ErrNoEthernet: U-Boot found no network interface.
	ErrNoEthernet = errors.New("U-Boot found no Ethernet interface")
	// ErrNoDHCP: no DHCP server answered.
	ErrNoDHCP = errors.New("no DHCP answer")
	// ErrNoServer: the TFTP server cannot be reached (no ARP answer, or
	// requests time out).
	ErrNoServer = errors.New("the server does not answer U-Boot")
	// ErrNoARP is an [ErrNoServer] of which more is known: nobody on the board's
	// network says (ARP) that the server's address is his, or the gateway's where
	// the server is behind one.
	ErrNoARP = fmt.Errorf("%w: nobody on the board's network answers for its address", ErrNoServer)
	// ErrTFTP: the TFTP server refused; the message has its text.
	ErrTFTP = errors.New("TFTP error")
	// ErrHTTP: the HTTP server refused, or a transfer by HTTP broke off; the message
	// has what U-Boot printed.
	ErrHTTP = errors.New("HTTP transfer failed")
	// ErrWgetPort: this U-Boot's wget cannot be told the port.
	ErrWgetPort = errors.New("this U-Boot's wget cannot be told the port")
	// ErrSize: another number of bytes arrived than the file has.
	ErrSize = errors.New("wrong size in RAM")
	// ErrCRC: the bytes in RAM are not those of the file.
	ErrCRC = errors.New("wrong CRC in RAM")
	// ErrYModem, ErrXModem and ErrKermit: a transfer over the serial line did not
	// come to its end.
	ErrYModem = errors.New("YMODEM transfer failed")
	ErrXModem = errors.New("XMODEM transfer failed")
	ErrKermit = errors.New("transfer by Kermit failed")
	// ErrBaudRate: the baud rate was not switched as it should be.
	ErrBaudRate = errors.New("baud rate was not switched")
	// ErrBadImage: the boot command refused kernel, initramfs or DTB.
	ErrBadImage = errors.New("U-Boot refuses to boot this image")
	// ErrBootReturned: the boot command came back to the prompt.
	ErrBootReturned = errors.New("the boot command came back")
)

// Error says which step of a session failed.
type Error struct {
	// Op is "interrupt", "run", "env", "dhcp", "network", "tftp", "wget",
	// "ymodem", "xmodem", "kermit" or "boot".
	Op string
	// Command is what was typed, if anything.
	Command string
	// Tail holds the last console lines at the failure, without escape sequences
	// and secrets.
	Tail string
	Err  error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "uboot %s", e.Op)
	if e.Command != "" {
		fmt.Fprintf(&b, " %q", e.Command)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if e.Tail != "" && !strings.Contains(b.String(), "last console lines") {
		fmt.Fprintf(&b, "; last console lines:\n  | %s", strings.ReplaceAll(e.Tail, "\n", "\n  | "))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CommandError is a command whose exit status was not 0.
type CommandError struct {
	Command string
	// Status is the exit status; -1 where U-Boot has no hush shell to ask, and
	// a known error message was printed.
	Status int
	// Output is what the command printed.
	Output string
}

func (e *CommandError) Error() string {
	out := strings.TrimSpace(e.Output)
	if i := strings.LastIndexByte(out, '\n'); i >= 0 {
		out = out[i+1:]
	}
	return fmt.Sprintf("exit status %d: %s", e.Status, out)
}

// shownError is an error and the console lines that showed it, kept because more
// is typed before the caller gets to know: a prompt is proved again, a variable
// put back.
type shownError struct {
	error
	tail string
}

func (e *shownError) Unwrap() error { return e.error }

func (s *Session) shown(err error) error { return &shownError{err, s.con.Tail(tailLines)} }

// fail makes an *Error with the console lines that showed the failure, or the last
// ones.
func (s *Session) fail(op, command string, err error) error {
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	tail := s.con.Tail(tailLines)
	var shown *shownError
	if errors.As(err, &shown) {
		tail = shown.tail
	}
	return &Error{Op: op, Command: command, Tail: tail, Err: err}
}

// tailLines is how many console lines an error carries.
const tailLines = 12
