package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dutflash/dutflash/bundle/internal/blobstore"
)

// What a caller may want to branch on. Every error of this package that has
// one of these causes matches it with [errors.Is].
var (
	// ErrNotFound: the registry, layout or disk has no such reference.
	ErrNotFound = errors.New("no such bundle")
	// ErrUnauthorized: the registry wants credentials, or refuses the ones it got.
	ErrUnauthorized = errors.New("registry refuses access")
	// ErrUnreachable: the registry cannot be reached or keeps failing.
	ErrUnreachable = errors.New("registry cannot be reached")
	// ErrOffline: [WithOffline] was asked for and the cache lacks what is needed.
	ErrOffline = errors.New("not in the cache and offline")
	// ErrReference: the text is no reference and no path.
	ErrReference = errors.New("invalid reference")
	// ErrNoManifest: the bundle has no such flasher manifest.
	ErrNoManifest = errors.New("no flasher manifest")
	// ErrNoFile: the bundle has no such file.
	ErrNoFile = errors.New("no such file in the bundle")
	// ErrUnknownTarget: the manifest has no target of that name.
	ErrUnknownTarget = errors.New("unknown target")
	// ErrUnknownVariant: the manifest has no DTB variant of that name.
	ErrUnknownVariant = errors.New("unknown DTB variant")
	// ErrUnknownBoard: no board of that name is known.
	ErrUnknownBoard = errors.New("unknown board")
	// ErrUnsafePath: a path is absolute, leaves the bundle, or is a link.
	ErrUnsafePath = errors.New("unsafe path")
	// ErrDuplicatePath: two entries of the bundle claim the same path.
	ErrDuplicatePath = errors.New("duplicate path")
	// ErrDigest: content is not what its digest or announced size says.
	ErrDigest = blobstore.ErrMismatch
	// ErrTooLarge: something exceeds the [Limits].
	ErrTooLarge = errors.New("too large")
	// ErrClosed: the bundle was closed.
	ErrClosed = errors.New("bundle is closed")
)

// Error says which step failed on which bundle, and where in it.
type Error struct {
	Op   string // the step: "open", "pull", "read", "create", "push", ...
	Ref  string // the bundle as the caller named it
	Path string // the file in the bundle, "" where none is to blame
	Err  error
}

// Error describes the failure in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(" bundle")
	if e.Ref != "" {
		b.WriteString(" " + e.Ref)
	}
	cause := e.Err.Error()
	if e.Path != "" && !strings.Contains(cause, e.Path) {
		fmt.Fprintf(&b, ": %q", e.Path)
	}
	b.WriteString(": " + cause)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// fail wraps err in an [*Error] unless it already is one for the same bundle.
func fail(op, ref, path string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Ref == ref {
		return err
	}
	return &Error{Op: op, Ref: ref, Path: path, Err: err}
}

// Problem is one thing that is wrong, or odd, in a manifest.
type Problem struct {
	Line, Column int    // 1-based place in the YAML text; 0 where there is no text
	Path         string // field, for example "spec.dtb.variants.am69.file"
	Message      string
	Err          error // sentinel of the cause, nil where there is none
}

// Error describes the problem as "line:column: field: message".
func (p Problem) Error() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Unwrap returns the sentinel of the cause.
func (p Problem) Unwrap() error { return p.Err }

// ManifestError lists everything that is wrong with a manifest, in the order
// of the text.
type ManifestError struct {
	Name     string // file name of the manifest
	Problems []Problem
}

// Error describes all problems in one line.
func (e *ManifestError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.Error()
	}
	if len(texts) == 1 {
		return fmt.Sprintf("manifest %s:%s", e.Name, spaceUnlessPlace(e.Problems[0], texts[0]))
	}
	return fmt.Sprintf("manifest %s has %d problems: %s", e.Name, len(texts), strings.Join(texts, "; "))
}

func spaceUnlessPlace(p Problem, text string) string {
	if p.Line > 0 {
		return text
	}
	return " " + text
}

// Unwrap gives access to the sentinels of the problems.
func (e *ManifestError) Unwrap() []error {
	errs := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		errs[i] = p
	}
	return errs
}

// sortProblems puts problems into the order of the text, those without a
// place into that of their fields.
func sortProblems(ps []Problem) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column, strings.Compare(a.Path, b.Path))
	})
}
