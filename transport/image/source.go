package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

// Source is where the file of an image comes from, as stored: compressed or
// not. Implementations may be used concurrently.
type Source interface {
	// Info says what is known without reading the contents. It may ask a
	// server each time, which is how a cached image is revalidated.
	Info(ctx context.Context) (Info, error)
	// Open returns the bytes from offset on. Closing the reader, or the end of
	// ctx, makes a Read that is going on return. Reads end with io.EOF only
	// when the whole file was read.
	Open(ctx context.Context, offset int64) (io.ReadCloser, error)
}

// Info is what a [Source] knows about its file.
type Info struct {
	Name string // base name, without anything secret
	Size int64  // bytes as stored; -1 if not known
	// Identity changes whenever the contents may have changed: path, size and
	// time of a file, ETag or Last-Modified of a URL, digest of a blob. It
	// finds the prepared image in the cache; "" never does.
	Identity string
	// SHA256 is the digest as stored, in hex, where the source promises one
	// (OCI). It is verified.
	SHA256 string
}

// Open returns the source that ref names:
//
//   - "-": standard input, which can be read once
//   - http:// or https:// URL; user and password in it become a basic
//     Authorization header and never appear in errors or logs
//   - oci://REGISTRY/REPOSITORY[:TAG|@DIGEST]: see [WithOCICredentials]; user and
//     password in it are an error, and so is a layer without a SHA-256 digest
//   - anything else: a path of a local file; file:// before it is dropped
//
// Only a local file is looked at; one that is missing is [ErrNotFound]. Options
// for servers are not used where ref names a file; headers and tokens are an
// error with oci://, which takes [WithOCICredentials].
func Open(ref string, opts ...SourceOption) (Source, error) {
	c := newSourceConfig()
	for _, o := range opts {
		if err := o(c); err != nil {
			return nil, fail("open", redactURL(ref), err)
		}
	}
	src, err := open(ref, c)
	if err != nil {
		return nil, fail("open", redactURL(ref), err)
	}
	return src, nil
}

func open(ref string, c *sourceConfig) (Source, error) {
	scheme, rest, ok := strings.Cut(ref, "://")
	switch {
	case ref == "":
		return nil, fmt.Errorf("%w: the reference is empty", ErrInvalid)
	case ref == "-":
		return FromReader("standard input", struct{ io.Reader }{os.Stdin}), nil
	case ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")):
		return newHTTPSource(ref, c)
	case ok && strings.EqualFold(scheme, "oci"):
		return newOCISource(rest, c)
	case ok && strings.EqualFold(scheme, "file"):
		return newFileSource(rest)
	case ok && !strings.ContainsAny(scheme, `/\.`):
		return nil, fmt.Errorf("%w: no source for %s://; there are http, https, oci, file, and paths", ErrInvalid, scheme)
	}
	return newFileSource(ref)
}

// fileSource is a local file.
type fileSource struct{ path string }

func newFileSource(p string) (Source, error) {
	if abs, err := filepath.Abs(p); err == nil {
		p = abs
	}
	s := &fileSource{p}
	_, err := s.Info(context.Background())
	return s, err
}

func (s *fileSource) Info(context.Context) (Info, error) {
	st, err := os.Stat(s.path)
	if err != nil {
		return Info{}, notFound(err)
	}
	if st.IsDir() {
		return Info{}, fmt.Errorf("%w: %s is a directory, not an image", ErrInvalid, s.path)
	}
	info := Info{Name: filepath.Base(s.path), Size: -1}
	if st.Mode().IsRegular() {
		info.Size = st.Size()
		info.Identity = fmt.Sprintf("file\n%s\n%d\n%d\n%s", s.path, st.Size(), st.ModTime().UnixNano(), fileID(st))
	}
	return info, nil
}

func (s *fileSource) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, notFound(err)
	}
	if offset > 0 {
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			f.Close()
			return nil, err
		}
	}
	r := io.Reader(f)
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		r = sequential(f, offset, st.Size())
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	return &ctxReader{ctx: ctx, r: r, close: func() error { stop(); return f.Close() }}, nil
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// ctxReader blames a failed Read on the end of ctx where that was the cause.
type ctxReader struct {
	ctx   context.Context
	r     io.Reader
	close func() error
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF && c.ctx.Err() != nil {
		err = context.Cause(c.ctx)
	}
	return n, err
}

func (c *ctxReader) Close() error { return c.close() }

// fsSource is a file of an fs.FS.
type fsSource struct {
	fsys fs.FS
	name string
}

// FromFS returns the file name of fsys as a source. Its contents are not found
// again in the cache, since an fs.FS has no identity. A name that does not
// exist is [ErrNotFound].
func FromFS(fsys fs.FS, name string) (Source, error) {
	s := &fsSource{fsys, name}
	if _, err := s.Info(context.Background()); err != nil {
		return nil, fail("open", name, err)
	}
	return s, nil
}

func (s *fsSource) Info(context.Context) (Info, error) {
	st, err := fs.Stat(s.fsys, s.name)
	if err != nil {
		return Info{}, notFound(err)
	}
	if st.IsDir() {
		return Info{}, fmt.Errorf("%w: %s is a directory, not an image", ErrInvalid, s.name)
	}
	return Info{Name: path.Base(s.name), Size: st.Size()}, nil
}

func (s *fsSource) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	f, err := s.fsys.Open(s.name)
	if err != nil {
		return nil, notFound(err)
	}
	if offset > 0 {
		if seeker, ok := f.(io.Seeker); ok {
			_, err = seeker.Seek(offset, io.SeekStart)
		} else {
			_, err = io.CopyN(io.Discard, f, offset)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	return &ctxReader{ctx: ctx, r: f, close: f.Close}, nil
}

// readerSource is an io.Reader that can be opened once.
type readerSource struct {
	name string
	mu   sync.Mutex
	r    io.Reader // nil once it was opened
}

// FromReader returns r as a source of unknown size that can be opened once. If
// r is an io.Closer it is closed when its reading ends, which also ends a Read
// that blocks. A Read that blocks in an r without Close (as in standard input)
// cannot be ended by anybody: its goroutine stays until it returns, and nobody
// waits for it.
func FromReader(name string, r io.Reader) Source { return &readerSource{name: name, r: r} }

func (s *readerSource) Info(context.Context) (Info, error) { return Info{Name: s.name, Size: -1}, nil }

func (s *readerSource) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r == nil {
		return nil, fmt.Errorf("%w: %s can be read only once", ErrInvalid, s.name)
	}
	if offset > 0 {
		return nil, fmt.Errorf("%w: %s can be read only from its start", ErrInvalid, s.name)
	}
	d := newDetached(ctx, s.r)
	s.r = nil
	return d, nil
}

// detached reads r in a goroutine that Close need not wait for.
type detached struct {
	ctx    context.Context
	cancel context.CancelFunc
	out    chan piece
	back   chan []byte
	cur    []byte
	buf    []byte
	err    error
}

type piece struct {
	b   []byte
	err error
}

func newDetached(ctx context.Context, r io.Reader) *detached {
	d := &detached{out: make(chan piece), back: make(chan []byte, 1)}
	d.ctx, d.cancel = context.WithCancel(ctx)
	d.back <- make([]byte, aheadSize)
	var stop func() bool
	if c, ok := r.(io.Closer); ok {
		stop = context.AfterFunc(d.ctx, func() { c.Close() })
	}
	go func() {
		if stop != nil {
			defer d.cancel() // closes r
		}
		for {
			var buf []byte
			select {
			case buf = <-d.back:
			case <-d.ctx.Done():
				return
			}
			n, err := r.Read(buf)
			select {
			case d.out <- piece{buf[:n], err}:
			case <-d.ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return d
}

func (d *detached) Read(p []byte) (int, error) {
	for len(d.cur) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		if d.buf != nil {
			d.back <- d.buf[:cap(d.buf)]
			d.buf = nil
		}
		select {
		case got := <-d.out:
			d.buf, d.cur, d.err = got.b, got.b, got.err
		case <-d.ctx.Done():
			d.err = context.Cause(d.ctx)
		}
	}
	n := copy(p, d.cur)
	d.cur = d.cur[n:]
	return n, nil
}

func (d *detached) Close() error {
	d.cancel()
	return nil
}
