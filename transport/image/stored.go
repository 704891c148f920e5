package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync/atomic"
)

// stored is the file of a source, whose digest is computed as it is read.
type stored struct {
	r     io.Reader
	close func() error
	info  Info
	sum   hash.Hash
	n     atomic.Int64
	local *localFile    // where it is one
	at    *randomAccess // likewise
}

// replaced says that a source was another one when it was opened than when it was
// asked about; nothing of it was read.
type replaced struct{ err error }

func (r *replaced) Error() string { return r.err.Error() }
func (r *replaced) Unwrap() error { return r.err }

// maxReplaced is how often it is asked about anew for that.
const maxReplaced = 3

// openStored opens the file of a source.
func openStored(ctx context.Context, src Source, info Info) (*stored, error) {
	s := &stored{info: info, sum: sha256.New()}
	l, err := openLocal(ctx, src, info)
	switch {
	case err != nil:
		return nil, err
	case l != nil:
		s.local, s.at = l, &randomAccess{r: l.file, size: info.Size}
		stop := context.AfterFunc(ctx, func() { l.file.Close() })
		s.r = &ctxReader{ctx: ctx, r: l.file}
		s.close = func() error { stop(); return l.file.Close() }
	default:
		rc, err := src.Open(ctx, 0)
		if err != nil {
			return nil, err
		}
		if b, ok := rc.(interface{ is(identity string) error }); ok {
			if err := b.is(info.Identity); err != nil {
				rc.Close()
				return nil, &replaced{err}
			}
		}
		s.r, s.close = rc, rc.Close
	}
	return s, nil
}

// Read implements io.Reader.
func (s *stored) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.sum.Write(b[:n])
	s.n.Add(int64(n))
	return n, err
}

// Close closes the file.
func (s *stored) Close() error { return s.close() }

func (s *stored) hex() string { return hex.EncodeToString(s.sum.Sum(nil)) }

// position is how much of the file was decoded, for reports.
func (s *stored) position() int64 {
	n := s.n.Load()
	if s.at != nil {
		n = max(n, min(s.at.n.Load(), s.at.size))
	}
	return n
}

// options are those that decode the file.
func (s *stored) options(c *prepareConfig) []ReaderOption {
	opts := append(slices.Clone(c.reader), DecodeName(s.info.Name))
	if s.at != nil {
		opts = append(opts, decodeAt(s.at))
	}
	return opts
}

// verify reads what the decoder had no use for, and compares the file with what
// is known about it.
func (s *stored) verify(want string) error {
	if _, err := io.Copy(io.Discard, s); err != nil {
		return err
	}
	if got := s.n.Load(); s.info.Size >= 0 && got != s.info.Size {
		return fmt.Errorf("%w: the file had %d bytes and %d were read", ErrChanged, s.info.Size, got)
	}
	if s.local != nil {
		if err := s.local.unchanged(); err != nil {
			return err
		}
	}
	for _, w := range []string{want, s.info.SHA256} {
		if w != "" && s.hex() != w {
			return wrongSum(w, s.hex())
		}
	}
	return nil
}

func wrongSum(want, got string) error {
	return fmt.Errorf("%w: the SHA-256 of the file as stored is %s, not %s", ErrChecksum, got, want)
}

// decode reads a source through all of its formats into use, and verifies the
// digest of the file as stored.
func decode(ctx context.Context, src Source, info Info, c *prepareConfig, want string, use func(*Reader, *stored) error) (*stored, error) {
	in, err := openStored(ctx, src, info)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var final bool
	var changed error
	// end is called with the error as soon as there is one.
	end := func(err error) {
		// Where data is damaged, a digest may tell that it is the file's fault.
		damaged := errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTruncated)
		final = err != nil && (!damaged || want == "" && info.SHA256 == "")
		if damaged && in.local != nil {
			// Who writes to the file while it is read makes it look damaged.
			changed = in.local.unchanged()
		}
		if final {
			in.Close() // a Read that waits for the source would hold up rd.Close
		}
	}
	rd, err := NewReader(in, append(in.options(c), onRefusal(end))...)
	if err == nil {
		err = use(rd, in)
		end(err)
	}
	if changed != nil {
		err = errors.Join(changed, err)
	}
	if rd != nil {
		rd.Close()
	}
	if final {
		return nil, err
	}
	if more := in.verify(want); more != nil {
		return nil, errors.Join(more, err)
	}
	return in, err
}
