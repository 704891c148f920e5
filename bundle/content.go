package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/dutflash/dutflash/bundle/internal/blobstore"
)

// File is an open file of a bundle. Read and Seek belong to one goroutine;
// ReadAt may be used concurrently.
type File struct {
	*io.SectionReader
	name   string
	digest string
	close  func() error
}

// Name returns the path of the file in the bundle.
func (f *File) Name() string { return f.name }

// Digest returns "sha256:..." of the file, or "" where it comes from a plain
// directory or fs.FS.
func (f *File) Digest() string { return f.digest }

// Close closes the file.
func (f *File) Close() error { return f.close() }

// content is the files of a bundle.
type content interface {
	list() ([]string, error)
	top() ([]string, error) // names without a slash
	stat(name string) (size int64, digest string, err error)
	open(ctx context.Context, name string) (*File, error)
}

// cached is content that lies in the blob store.
type cached struct {
	store *blobstore.Store
	files map[string]blobFile

	mu     sync.Mutex
	stamps map[digest.Digest]blobstore.Stamp // of blobs that were verified
}

type blobFile struct {
	digest digest.Digest
	size   int64
}

func (c *cached) list() ([]string, error) { return slices.Sorted(maps.Keys(c.files)), nil }

func (c *cached) top() ([]string, error) {
	names, err := c.list()
	return slices.DeleteFunc(names, func(n string) bool { return strings.Contains(n, "/") }), err
}

func (c *cached) stat(name string) (int64, string, error) {
	f, ok := c.files[name]
	if !ok {
		return 0, "", fmt.Errorf("%w: %q", ErrNoFile, name)
	}
	return f.size, string(f.digest), nil
}

// open verifies the blob again, which is cheap where size and time of
// modification are those of the last time that it was read in full.
func (c *cached) open(ctx context.Context, name string) (*File, error) {
	bf, ok := c.files[name]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrNoFile, name)
	}
	f, st, err := c.store.Open(bf.digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the cached copy has vanished; open the bundle again", ErrDigest)
	}
	if err != nil {
		return nil, err
	}
	if err := c.verify(ctx, f, st, bf); err != nil {
		f.Close()
		return nil, err
	}
	return &File{io.NewSectionReader(f, 0, bf.size), name, string(bf.digest), f.Close}, nil
}

func (c *cached) verify(ctx context.Context, f io.ReaderAt, st blobstore.Stamp, bf blobFile) error {
	c.mu.Lock()
	known, ok := c.stamps[bf.digest]
	c.mu.Unlock()
	if ok && known == st {
		return nil
	}
	var err error
	if st.Size != bf.size {
		err = fmt.Errorf("%w: the cached copy has %d bytes, want %d", ErrDigest, st.Size, bf.size)
	} else {
		err = blobstore.VerifyReader(ctx, io.NewSectionReader(f, 0, bf.size), bf.digest)
	}
	if err != nil {
		return fmt.Errorf("%w; the cache was changed, open the bundle again", err)
	}
	c.mark(bf.digest, st)
	return nil
}

func (c *cached) mark(d digest.Digest, st blobstore.Stamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stamps == nil {
		c.stamps = map[digest.Digest]blobstore.Stamp{}
	}
	c.stamps[d] = st
}

// fsContent is content that lies in a file system as it is.
type fsContent struct {
	fsys   fs.FS
	limits Limits
}

func (c *fsContent) list() ([]string, error) {
	var names []string
	err := fs.WalkDir(c.fsys, ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return nil
		}
		if fi, err := fs.Stat(c.fsys, p); err != nil || !fi.Mode().IsRegular() {
			return nil // a link to nowhere, to the outside, a socket: no file of the bundle
		}
		if names = append(names, p); len(names) > c.limits.Files {
			return fmt.Errorf("%w: more than %d files", ErrTooLarge, c.limits.Files)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// top does not walk: a directory may hold far more than a bundle.
func (c *fsContent) top() ([]string, error) {
	entries, err := fs.ReadDir(c.fsys, ".")
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (c *fsContent) stat(name string) (int64, string, error) {
	fi, err := fs.Stat(c.fsys, name)
	if err != nil {
		return 0, "", c.noFile(name, err)
	}
	if !fi.Mode().IsRegular() {
		return 0, "", fmt.Errorf("%w: %q is no regular file", ErrNoFile, name)
	}
	return fi.Size(), "", nil
}

func (c *fsContent) noFile(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %q", ErrNoFile, name)
	}
	return fmt.Errorf("%w: %q: %w", ErrNoFile, name, err)
}

func (c *fsContent) open(_ context.Context, name string) (*File, error) {
	size, _, err := c.stat(name)
	if err != nil {
		return nil, err
	}
	f, err := c.fsys.Open(name)
	if err != nil {
		return nil, c.noFile(name, err)
	}
	if at, ok := f.(io.ReaderAt); ok {
		return &File{io.NewSectionReader(at, 0, size), name, "", f.Close}, nil
	}
	// A compressed fs.FS cannot seek. Its files are kernels and the like, and
	// the size was bounded by whoever made the fs.FS.
	defer f.Close()
	if size > c.limits.Size {
		return nil, fmt.Errorf("%w: %q has %d bytes, the limit is %d", ErrTooLarge, name, size, c.limits.Size)
	}
	data, err := io.ReadAll(io.LimitReader(f, c.limits.Size+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > c.limits.Size {
		return nil, fmt.Errorf("%w: %q has more than %d bytes", ErrTooLarge, name, c.limits.Size)
	}
	return &File{io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), name, "", func() error { return nil }}, nil
}
