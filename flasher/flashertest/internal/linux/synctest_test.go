package linux_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
)

// TestMinutesTakeNoTime runs a board on a clock that jumps: everything in the
// simulation waits in ways that testing/synctest knows.
func TestMinutesTakeNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := session(t, linux.Config{BootDelay: 2 * time.Second, Login: linux.Login{User: "root", Password: "x"}})
		if out, err := s.Run(t.Context(), "sleep 30; echo slept"); err != nil || out != "slept\n" {
			t.Errorf("%q, %v", out, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := s.Run(ctx, "sleep 100000"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, busybox.ErrShellLost) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took < time.Hour+30*time.Second {
			t.Errorf("only %v have passed", took)
		}
	})
}
