//go:build !unix

package serial

import (
	"fmt"
	"io"
)

// openPTY is for systems that have ptys.
func openPTY(string) (io.ReadWriteCloser, error) {
	return nil, fmt.Errorf("%w: this system has no ptys", ErrScheme)
}
