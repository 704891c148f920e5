package tftp

import "errors"

// Conditions that an [Error] may wrap.
var (
	// ErrNotFound tells that a client asked for a name that is not served.
	ErrNotFound = errors.New("file is not served")
	// ErrNoAnswer tells that the client stopped acknowledging.
	ErrNoAnswer = errors.New("no answer from the board")
	// ErrSuperseded tells that the client asked anew, as after a reset.
	ErrSuperseded = errors.New("the board asked anew")
	// ErrBusy tells that the transfer had to go, or could not start, because
	// of WithMaxTransfers.
	ErrBusy = errors.New("too many transfers")
	// ErrRequest tells that a request was malformed or asked to write.
	ErrRequest = errors.New("bad request")
	// ErrRefused tells that the client ended the transfer with an ERROR packet.
	ErrRefused = errors.New("the board gave up")
)

// Error tells which operation on which file failed, and for which client.
type Error struct {
	Op     string // "request", "send", "open", "serve", "add", "option"
	File   string // the name as served, or empty
	Client string // address of the board, or empty
	Err    error
}

// Error returns the operation, the file, the client and the cause.
func (e *Error) Error() string {
	s := "tftp: " + e.Op
	if e.File != "" {
		s += " " + e.File
	}
	if e.Client != "" {
		s += " to " + e.Client
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
