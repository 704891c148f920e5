//go:build !linux

package serial

import (
	"errors"
	"fmt"
	"io"
	"runtime"
)

func setLine(_ io.Closer, flow string, keep bool) error {
	if flow != "" && flow != "none" {
		return fmt.Errorf("%w: flow=%s is for Linux only, not for %s", errors.ErrUnsupported, flow, runtime.GOOS)
	}
	if keep {
		return fmt.Errorf("%w: hupcl=off is for Linux only, not for %s", errors.ErrUnsupported, runtime.GOOS)
	}
	return nil
}
