//go:build !linux

package serial

import (
	"errors"
	"fmt"
	"io"
	"runtime"
)

func setFlow(_ io.Closer, flow string) error {
	if flow == "" || flow == "none" {
		return nil
	}
	return fmt.Errorf("%w: flow=%s is for Linux only, not for %s", errors.ErrUnsupported, flow, runtime.GOOS)
}
