package power

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Readings reads from m at once and then every interval (more than zero), until
// the caller stops, a reading fails, or ctx ends. The last pair has the error
// (that of m, or an [*Error] that wraps the context's), if there is one. A device
// that is slower than the interval is asked again when it has answered; what was
// missed is left out.
func Readings(ctx context.Context, m Meter, every time.Duration) iter.Seq2[Reading, error] {
	return func(yield func(Reading, error) bool) {
		if every <= 0 {
			yield(Reading{}, &Error{Op: "read", Err: fmt.Errorf("interval %v must be positive", every)})
			return
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			r, err := m.Read(ctx)
			if !yield(r, opError("read", err)) || err != nil {
				return
			}
			select {
			case <-ctx.Done():
				yield(Reading{}, &Error{Op: "read", Err: context.Cause(ctx)})
				return
			case <-tick.C:
			}
		}
	}
}
