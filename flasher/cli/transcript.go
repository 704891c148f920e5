package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// transcriptFlag is the flag --transcript.
type transcriptFlag struct{ path string }

func (f *transcriptFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "transcript", "", "file that gets what the board prints, from power on to the end, with secrets replaced")
}

// open makes the file, before anything is done to a board. finish closes it.
func (f *transcriptFlag) open() (w io.Writer, finish func() error, err error) {
	if f.path == "" {
		return nil, func() error { return nil }, nil
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // what it holds is for its owner
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--transcript: %w", err)}
	}
	return file, file.Close, nil
}
