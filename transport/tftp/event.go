package tftp

import "net"

// Kind tells what an [Event] is about.
type Kind int

const (
	// Started is sent once the options are chosen, before the first packet.
	Started Kind = iota + 1
	// Progress is sent at most about a hundred times per transfer.
	Progress
	// Done is sent after the last block was acknowledged.
	Done
	// Failed is sent when a transfer ended otherwise or a request was refused.
	Failed
)

// String returns the name of k in lower case.
func (k Kind) String() string {
	switch k {
	case Started:
		return "started"
	case Progress:
		return "progress"
	case Done:
		return "done"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// Event tells what happens to one transfer.
type Event struct {
	Kind        Kind
	File        string   // name as asked for, without a leading slash
	Client      net.Addr // the board
	Bytes       int64    // acknowledged by the board so far
	Size        int64    // of the file
	BlockSize   int      // agreed, in bytes
	WindowSize  int      // agreed, in blocks; 1 is lock step
	Burst       int      // blocks sent at once: WindowSize, or less where the board lost more
	Retransmits int      // packets sent again
	Err         error    // of Failed: an *Error
}

// Stats counts what a Server did since New.
type Stats struct {
	Active      int   // transfers under way
	Started     int64 // transfers begun
	Done        int64 // ended with every block acknowledged
	Failed      int64 // ended otherwise, and requests refused
	Bytes       int64 // acknowledged
	Retransmits int64 // packets sent again
}
