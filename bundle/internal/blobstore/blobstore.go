// Package blobstore keeps content by its digest in a directory that several
// processes may use at once.
//
// Blobs appear by rename only, so that a crash leaves nothing half. Whoever
// fetches holds the shared lock of the store, whoever uses a bundle holds a
// shared lease on its digest, and [Store.Prune] takes the exclusive lock and
// leaves alone what is leased. Names from outside never become file names:
// everything is filed under digests.
package blobstore

import (
	"context"
	_ "crypto/sha256" // the algorithms that a digest may name
	_ "crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
)

// ErrMismatch: content is not what its digest or size says.
var ErrMismatch = errors.New("content does not match its descriptor")

// Store is a directory of blobs. It may be used concurrently.
type Store struct{ root string }

// The directory stands beside what Jumpstarter itself may keep in the same
// cache directory.
const version = "dutflash-v1"

// Open makes the store's directories inside dir where they are missing.
func Open(dir string) (*Store, error) {
	s := &Store{root: filepath.Join(dir, version)}
	for _, sub := range []string{"blobs", "tmp", "leases", "bundles", "refs", "trees"} {
		if err := os.MkdirAll(filepath.Join(s.root, sub), 0o777); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Dir returns the directory that holds everything.
func (s *Store) Dir() string { return s.root }

// Stamp identifies an unchanged file cheaply.
type Stamp struct {
	Size    int64
	ModTime time.Time
}

func stamp(fi fs.FileInfo) Stamp { return Stamp{fi.Size(), fi.ModTime()} }

func (s *Store) path(kind string, d digest.Digest, suffix string) (string, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("digest %q: %w", string(d), err)
	}
	return filepath.Join(s.root, kind, string(d.Algorithm()), d.Encoded()+suffix), nil
}

// Open opens a blob for reading and tells its stamp.
func (s *Store) Open(d digest.Digest) (*os.File, Stamp, error) {
	p, err := s.path("blobs", d, "")
	if err != nil {
		return nil, Stamp{}, err
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, Stamp{}, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, Stamp{}, err
	}
	return f, stamp(fi), nil
}

// Verify reads a blob and compares it with its digest and size. A blob that is
// not there is an error that matches fs.ErrNotExist, a bad one [ErrMismatch].
func (s *Store) Verify(ctx context.Context, d digest.Digest, size int64) (Stamp, error) {
	f, st, err := s.Open(d)
	if err != nil {
		return Stamp{}, err
	}
	defer f.Close()
	if st.Size != size {
		return Stamp{}, fmt.Errorf("%w: the cached copy of %s has %d bytes, want %d", ErrMismatch, d, st.Size, size)
	}
	return st, VerifyReader(ctx, f, d)
}

// VerifyReader reads r to its end and compares it with d.
func VerifyReader(ctx context.Context, r io.Reader, d digest.Digest) error {
	h := d.Algorithm().Hash()
	if _, err := io.CopyBuffer(h, ContextReader(ctx, r), make([]byte, 256<<10)); err != nil {
		return err
	}
	if got := digest.NewDigest(d.Algorithm(), h); got != d {
		return fmt.Errorf("%w: the cached copy of %s has digest %s", ErrMismatch, d, got)
	}
	return nil
}

// Remove deletes a blob, for instance one that [Store.Verify] found bad.
func (s *Store) Remove(d digest.Digest) error {
	p, err := s.path("blobs", d, "")
	if err != nil {
		return err
	}
	if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ContextReader makes a long copy stop when ctx ends.
func ContextReader(ctx context.Context, r io.Reader) io.Reader { return ctxReader{ctx, r} }

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Record is what the store knows of one bundle: which blobs belong to it.
type Record struct {
	Digest    digest.Digest
	MediaType string
	Size      int64           // of the manifest blob
	Blobs     []digest.Digest // the manifest, layers and unpacked files
}

// PutRecord writes the record of a bundle and marks it as used now.
func (s *Store) PutRecord(r Record) error {
	p, err := s.path("bundles", r.Digest, ".json")
	if err != nil {
		return err
	}
	return s.putJSON(p, r)
}

// HasRecord tells whether the bundle was complete in the store once.
func (s *Store) HasRecord(d digest.Digest) (Record, bool) {
	var r Record
	p, err := s.path("bundles", d, ".json")
	if err != nil || getJSON(p, &r) != nil || r.Digest != d {
		return Record{}, false
	}
	return r, true
}

// Ref is what a reference meant when it was last resolved.
type Ref struct {
	Reference string
	Digest    digest.Digest
	Time      time.Time
}

func (s *Store) refPath(reference string) string {
	return filepath.Join(s.root, "refs", digest.FromString(reference).Encoded()+".json")
}

// PutRef remembers what a reference means.
func (s *Store) PutRef(r Ref) error { return s.putJSON(s.refPath(r.Reference), r) }

// Ref tells what a reference meant last.
func (s *Store) Ref(reference string) (Ref, bool) {
	var r Ref
	if getJSON(s.refPath(reference), &r) != nil || r.Reference != reference {
		return Ref{}, false
	}
	return r, true
}

// TreeFile is one file of an unpacked folder layer.
type TreeFile struct {
	Path   string
	Digest digest.Digest
	Size   int64
}

// Tree lists the files of an unpacked folder layer.
type Tree struct {
	Layer digest.Digest
	Files []TreeFile
}

// PutTree remembers what a folder layer contains.
func (s *Store) PutTree(t Tree) error {
	p, err := s.path("trees", t.Layer, ".json")
	if err != nil {
		return err
	}
	return s.putJSON(p, t)
}

// Tree tells what a folder layer contains, where it was unpacked before.
func (s *Store) Tree(layer digest.Digest) (Tree, bool) {
	var t Tree
	p, err := s.path("trees", layer, ".json")
	if err != nil || getJSON(p, &t) != nil || t.Layer != layer {
		return Tree{}, false
	}
	return t, true
}

func getJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

func (s *Store) putJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := s.temp()
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return publish(f, path, true)
}

func (s *Store) temp() (*os.File, error) {
	return os.CreateTemp(filepath.Join(s.root, "tmp"), "part-*")
}

// publish moves a finished temporary file to its place in one step.
func publish(f *os.File, to string, sync bool) error {
	err := f.Chmod(0o644)
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	if sync {
		err = errors.Join(err, f.Sync())
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o777)
	}
	if err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
