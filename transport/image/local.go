package image

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
)

// localFile is a regular file of this machine, which can be read at any offset
// and can change under our hands.
type localFile struct {
	file *os.File
	st   fs.FileInfo
}

// openLocal opens src if it is a regular local file, and returns nil otherwise.
func openLocal(ctx context.Context, src Source, info Info) (*localFile, error) {
	s, ok := src.(*fileSource)
	if !ok || info.Identity == "" {
		return nil, nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, notFound(err)
	}
	l := &localFile{file: f}
	if l.st, err = f.Stat(); err != nil {
		f.Close()
		return nil, err
	}
	// The path stood for one file before f was opened and after it, so that is
	// the one whose identity is known.
	again, err := s.Info(ctx)
	if err == nil && again.Identity != info.Identity {
		err = fmt.Errorf("%w: %s", ErrChanged, s.path)
	}
	if err == nil {
		err = l.unchanged()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

// unchanged returns ErrChanged when somebody wrote to the file since it was
// opened, as far as its size and its time tell.
func (l *localFile) unchanged() error {
	st, err := l.file.Stat()
	if err != nil {
		return err
	}
	if st.Size() != l.st.Size() || !st.ModTime().Equal(l.st.ModTime()) {
		return fmt.Errorf("%w: %s had %d bytes of %v and has %d of %v", ErrChanged, l.file.Name(),
			l.st.Size(), l.st.ModTime(), st.Size(), st.ModTime())
	}
	return nil
}

// randomAccess is a file for a decoder that reads at several places of it.
type randomAccess struct {
	r    io.ReaderAt
	size int64
	n    atomic.Int64          // bytes that were read
	err  atomic.Pointer[error] // of the file, not to be mistaken for damage
}

// ReadAt implements io.ReaderAt.
func (a *randomAccess) ReadAt(p []byte, off int64) (int, error) {
	n, err := a.r.ReadAt(p, off)
	a.n.Add(int64(n))
	if err != nil && err != io.EOF {
		a.err.Store(&err)
	}
	return n, err
}

// decodeAt lets the decoder of the outermost format read file at any offset,
// which must have the same bytes as what is given to NewReader. What is read
// there is not read from the reader.
func decodeAt(file *randomAccess) ReaderOption {
	return func(c *readerConfig) error {
		c.file = file
		return nil
	}
}
