// Package xz reads xz files in parallel, with bounded memory.
//
// An xz stream is a row of blocks that can be decoded independently of each
// other. [NewReader] decodes them at the same time where their headers say how
// long they are, as xz -T2 and every xz from 5.6 on write them; a block whose
// header does not say is decoded as it is read. [NewReaderAt] takes the sizes
// from the index at the end of a file and so does not need them in the
// headers. Output comes in order and while the blocks are still being decoded.
//
// Everything that the format has to check is checked: the CRC of each header,
// the sizes, the padding, the index against the blocks, the footer, and the
// integrity check of each block (CRC32, CRC64, SHA-256, or none). Since output
// is delivered before the check that follows it has been read, data is good
// only when the reader has returned io.EOF. Concatenated streams and stream
// padding are read as xz -dc reads them.
//
// The delta filter and the branch filters for x86, ARM, ARM-Thumb, ARM64,
// PowerPC and SPARC are undone; other filters give [ErrUnsupported].
//
// The format is that of "The .xz File Format", version 1.2.0.
package xz

import (
	"errors"
	"fmt"
	"io"
	"runtime"
)

// DefaultMemoryLimit is the memory that a reader may use unless its options
// say otherwise.
const DefaultMemoryLimit = 192 << 20

// Errors that a caller may want to tell apart. They are wrapped in errors that
// say where and what.
var (
	// ErrFormat says that the data does not start as an xz stream does.
	ErrFormat = errors.New("not xz data")
	// ErrTruncated says that the data ends too early. It wraps
	// io.ErrUnexpectedEOF.
	ErrTruncated = fmt.Errorf("xz data is cut off: %w", io.ErrUnexpectedEOF)
	// ErrCorrupt says that the data contradicts itself or a check.
	ErrCorrupt = errors.New("xz data is corrupt")
	// ErrUnsupported says that the data uses something that this package
	// cannot undo or verify, and which the error names.
	ErrUnsupported = errors.New("xz feature is not supported")
	// ErrMemoryLimit says that the data cannot be decoded within
	// Options.MemoryLimit; the error names what it takes.
	ErrMemoryLimit = errors.New("xz memory limit is too low")
	// ErrClosed says that the reader was closed.
	ErrClosed = errors.New("xz reader is closed")
)

// Options are the knobs of a reader. The zero value is a good choice.
type Options struct {
	// Workers is how many blocks are decoded at the same time; 0 is
	// runtime.GOMAXPROCS(0).
	Workers int
	// MemoryLimit bounds, in bytes, the buffers that blocks in flight hold:
	// dictionaries, output that was not yet read and input that was read
	// ahead. On top come about 300 KiB for each worker. Where blocks are too
	// large for all workers, fewer are busy; a single block that does not fit
	// is ErrMemoryLimit. 0 is DefaultMemoryLimit.
	MemoryLimit int64
}

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Workers < 0:
		return o, fmt.Errorf("xz: Options.Workers is %d, must not be negative", o.Workers)
	case o.MemoryLimit < 0:
		return o, fmt.Errorf("xz: Options.MemoryLimit is %d, must not be negative", o.MemoryLimit)
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.MemoryLimit == 0 {
		o.MemoryLimit = DefaultMemoryLimit
	}
	return o, nil
}
