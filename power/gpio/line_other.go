//go:build !linux

package gpio

import (
	"fmt"
	"runtime"

	"github.com/dutflash/dutflash/power"
)

func request(string, string, config, *int) (held, error) {
	return nil, fmt.Errorf("%w: GPIO lines are driven on Linux only, not on %s", power.ErrUnsupported, runtime.GOOS)
}
