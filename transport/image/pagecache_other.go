//go:build !linux

package image

import (
	"io"
	"os"
)

// sequential leaves the page cache to the system, which has no portable advice.
func sequential(f *os.File, _, _ int64) io.Reader { return f }
