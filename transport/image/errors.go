package image

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// What a caller may want to tell apart. Errors of this package wrap them.
var (
	// ErrNotFound: there is no such file, URL, artefact or member.
	ErrNotFound = errors.New("image not found")
	// ErrEmpty: the source, or what it unpacks to, has no bytes.
	ErrEmpty = errors.New("image is empty")
	// ErrTruncated: the data ends too early. It wraps io.ErrUnexpectedEOF.
	ErrTruncated = fmt.Errorf("image is truncated: %w", io.ErrUnexpectedEOF)
	// ErrCorrupt: the data contradicts itself or a check that it carries.
	ErrCorrupt = errors.New("image is corrupt")
	// ErrChecksum: the data is not what the given checksum is of.
	ErrChecksum = errors.New("checksum mismatch")
	// ErrUnsupportedFormat: the format is recognised and cannot be flashed; the
	// message has the command that converts it.
	ErrUnsupportedFormat = errors.New("unsupported image format")
	// ErrTooLarge: the raw image exceeds [WithMaxSize], or decoding it would
	// exceed [WithMemoryLimit].
	ErrTooLarge = errors.New("image is too large")
	// ErrNoSpace: the disk of the cache directory is full.
	ErrNoSpace = errors.New("no space left for the prepared image")
	// ErrUnauthorized: the server wants credentials, or others.
	ErrUnauthorized = errors.New("access to the image denied")
	// ErrUnreachable: the server cannot be reached, or keeps failing.
	ErrUnreachable = errors.New("image server unreachable")
	// ErrChanged: the source changed while it was being read, or a raw local
	// file since it was prepared.
	ErrChanged = errors.New("image changed while it was being used")
	// ErrAmbiguous: an OCI artefact has several files that could be meant; the
	// message lists them.
	ErrAmbiguous = errors.New("several files could be the image")
	// ErrInvalid: an option or a reference is malformed.
	ErrInvalid = errors.New("invalid argument")
	// ErrClosed: the Prepared, Reader or stream was closed.
	ErrClosed = errors.New("image is closed")
)

// Error says what was done with which image when it failed.
type Error struct {
	Op     string // "open", "read", "decode xz", "prepare", ...
	Source string // name of the source, without anything secret; may be ""
	Offset int64  // in the data that Op reads or makes, in bytes; -1 if it has no meaning
	Err    error
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("image: " + e.Op)
	if e.Source != "" {
		b.WriteString(" " + e.Source)
	}
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " at offset %d", e.Offset)
	}
	return b.String() + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// fail wraps err once more only where it says something new.
func fail(op, source string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		if e.Source != "" || source == "" {
			return err
		}
		named := *e
		named.Source = source
		return &named
	}
	return &Error{Op: op, Source: source, Offset: -1, Err: err}
}

// diskError tells a full disk from other failures to write.
func diskError(err error, dir string) error {
	if errors.Is(err, syscall.ENOSPC) || diskFull(err) {
		return fmt.Errorf("%w in %s: free some, or choose another directory with WithCacheDir: %w", ErrNoSpace, dir, err)
	}
	return err
}
