package cli

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/spf13/cobra"
)

// transcriptFlag is the flag --transcript.
type transcriptFlag struct{ path string }

func (f *transcriptFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "transcript", "", "file that gets what the board prints meanwhile, with secrets replaced")
}

// transcriptFile remembers why it is not whole.
type transcriptFile struct {
	*os.File
	err atomic.Pointer[error]
}

func (f *transcriptFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	if err != nil {
		f.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

// open makes the file, before anything is done to a board. finish closes it, and tells
// complain where not all was written: a flash is none the worse for that.
func (f *transcriptFlag) open(complain io.Writer) (w io.Writer, finish func() error, err error) {
	if f.path == "" {
		return nil, func() error { return nil }, nil
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // what it holds is for its owner
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--transcript: %w", err)}
	}
	t := &transcriptFile{File: file}
	return t, func() error {
		if err := t.err.Load(); err != nil {
			fmt.Fprintf(complain, "warning: --transcript: it is not whole: %v\n", *err)
		}
		return file.Close()
	}, nil
}
