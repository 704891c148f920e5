package tftp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Content is an opened file.
type Content interface {
	io.ReaderAt
	io.Closer
}

// File is something to serve. Open is called once per transfer, possibly
// concurrently; what it returns is closed when that transfer ends.
type File struct {
	Size int64 // in bytes
	Open func() (Content, error)
}

type nopCloser struct{ io.ReaderAt }

func (nopCloser) Close() error { return nil }

// FromBytes serves b, which must not be changed afterwards.
func FromBytes(b []byte) File {
	return File{Size: int64(len(b)), Open: func() (Content, error) {
		return nopCloser{bytes.NewReader(b)}, nil
	}}
}

// FromPath serves the regular file at path, opened anew for each transfer. Its
// size is taken now; a file that shrinks later fails the transfer.
func FromPath(path string) (File, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return File{}, &Error{Op: "open", File: path, Err: err}
	}
	if !fi.Mode().IsRegular() {
		return File{}, &Error{Op: "open", File: path, Err: errors.New("not a regular file")}
	}
	return File{Size: fi.Size(), Open: func() (Content, error) { return os.Open(path) }}, nil
}

// FromFS serves the regular file name of fsys. Its files must implement
// [io.ReaderAt], as those of os.DirFS, embed.FS and fstest.MapFS do.
func FromFS(fsys fs.FS, name string) (File, error) {
	open := func() (Content, error) {
		f, err := fsys.Open(name)
		if err != nil {
			return nil, err
		}
		c, ok := f.(Content)
		if !ok {
			_ = f.Close()
			return nil, fmt.Errorf("file type %T has no ReadAt; read it into memory and use FromBytes", f)
		}
		return c, nil
	}
	fi, err := fs.Stat(fsys, name)
	if err != nil {
		return File{}, &Error{Op: "open", File: name, Err: err}
	}
	if !fi.Mode().IsRegular() {
		return File{}, &Error{Op: "open", File: name, Err: errors.New("not a regular file")}
	}
	c, err := open()
	if err != nil {
		return File{}, &Error{Op: "open", File: name, Err: err}
	}
	_ = c.Close()
	return File{Size: fi.Size(), Open: open}, nil
}
