package power

import (
	"fmt"
	"log/slog"
	"time"
)

// Logged does do, which is an operation ("on", "cycle", ...) of a switch, and tells log
// the type of the switch, how long it took, and what failed. It returns what do returns.
// What failed and was tried again within do is told by [Switching], where that has a
// Logger. A nil log is silent.
func Logged(log *slog.Logger, c Controller, op string, do func() error) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	begun := time.Now()
	err := do()
	log = log.With("op", op, "driver", fmt.Sprintf("%T", c), "took", time.Since(begun).Round(time.Millisecond))
	if err != nil {
		log.Warn("The power switch failed", "error", err)
	} else {
		log.Info("The power switch has done it")
	}
	return err
}
