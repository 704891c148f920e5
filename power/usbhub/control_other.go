//go:build !linux

package usbhub

import (
	"context"
	"fmt"
	"runtime"

	"github.com/dutflash/dutflash/power"
)

// unsupported is an error where the operating system lacks what this package needs.
func unsupported() error {
	return fmt.Errorf("%w: USB hubs are switched on Linux only, not on %s", power.ErrUnsupported, runtime.GOOS)
}

func control(context.Context, string, *transfer) error { return unsupported() }
