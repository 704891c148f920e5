package blobstore

import (
	"errors"
	"fmt"
	"hash"
	"os"

	"github.com/opencontainers/go-digest"
)

// Writer takes in one blob. It is used by one goroutine, and either
// [Writer.Commit] or [Writer.Abort] ends it.
type Writer struct {
	s    *Store
	f    *os.File
	alg  digest.Algorithm
	hash hash.Hash
	n    int64

	// Derived says that the blob can be made again from another one, so that
	// it need not survive a power cut.
	Derived bool
}

// Create starts a blob whose digest will be of the given algorithm.
func (s *Store) Create(alg digest.Algorithm) (*Writer, error) {
	if !alg.Available() {
		return nil, fmt.Errorf("digest algorithm %q is not supported", string(alg))
	}
	f, err := s.temp()
	if err != nil {
		return nil, err
	}
	return &Writer{s: s, f: f, alg: alg, hash: alg.Hash()}, nil
}

// Write adds to the blob.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.hash.Write(p[:n])
	w.n += int64(n)
	return n, err
}

// Size returns how much was written.
func (w *Writer) Size() int64 { return w.n }

// Digest returns the digest of what was written.
func (w *Writer) Digest() digest.Digest { return digest.NewDigest(w.alg, w.hash) }

// Reset throws away what was written, for another try.
func (w *Writer) Reset() error {
	if _, err := w.f.Seek(0, 0); err != nil {
		return err
	}
	w.hash.Reset()
	w.n = 0
	return w.f.Truncate(0)
}

// Commit puts the blob in its place if it is what d and size say, and removes
// it otherwise. An empty d takes whatever the digest is.
func (w *Writer) Commit(d digest.Digest, size int64) (Stamp, error) {
	got := w.Digest()
	if d == "" {
		d, size = got, w.n
	}
	if got != d || w.n != size {
		return Stamp{}, errors.Join(fmt.Errorf("%w: got %d bytes with digest %s, want %d bytes with digest %s",
			ErrMismatch, w.n, got, size, d), w.Abort())
	}
	p, err := w.s.path("blobs", d, "")
	if err != nil {
		return Stamp{}, errors.Join(err, w.Abort())
	}
	name := w.f.Name()
	err = publish(w.f, p, !w.Derived)
	fi, serr := os.Stat(p)
	if serr != nil || fi.Size() != size {
		return Stamp{}, errors.Join(err, serr)
	}
	if err != nil {
		// Where an open file cannot be replaced (Windows), the same content
		// is in place already, and its reader vouches for it.
		os.Remove(name)
	}
	return stamp(fi), nil
}

// Abort throws the blob away.
func (w *Writer) Abort() error {
	return errors.Join(w.f.Close(), os.Remove(w.f.Name()))
}
