package power_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/power"
)

// relay records what it was told and when.
type relay struct {
	start time.Time
	log   []string
	err   error
}

func (r *relay) note(what string) error {
	r.log = append(r.log, fmt.Sprintf("%s@%v", what, time.Since(r.start)))
	return r.err
}

func (r *relay) On(context.Context) error  { return r.note("on") }
func (r *relay) Off(context.Context) error { return r.note("off") }

// hub cycles by itself.
type hub struct{ relay }

func (h *hub) Cycle(_ context.Context, wait time.Duration) error {
	return h.note(fmt.Sprint("cycle ", wait))
}

func TestCycle(t *testing.T) {
	for _, tc := range []struct {
		name string
		wait time.Duration
		own  bool
		want []string
	}{
		{"default wait", 0, false, []string{"off@0s", "on@2s"}},
		{"given wait", 5 * time.Second, false, []string{"off@0s", "on@5s"}},
		{"device cycles by itself", 0, true, []string{"cycle 2s@0s"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hub{relay{start: time.Now()}}
				var c power.Controller = &h.relay
				if tc.own {
					c = h
				}
				if err := power.Cycle(t.Context(), c, tc.wait); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(h.log, tc.want) {
					t.Errorf("got %v, want %v", h.log, tc.want)
				}
			})
		})
	}
}

func TestCycleErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no such hub")
		var typed *power.Error
		err := power.Cycle(t.Context(), &relay{err: broken}, 0)
		if !errors.Is(err, broken) || !errors.As(err, &typed) {
			t.Errorf("got %v, want an *Error that wraps the device's", err)
		}

		r := &relay{}
		if err := power.Cycle(t.Context(), r, -1); !errors.Is(err, power.ErrWait) || len(r.log) != 0 {
			t.Errorf("negative wait: %v, switched %v; want ErrWait and nothing switched", err, r.log)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r = &relay{start: time.Now()}
		err = power.Cycle(ctx, r, 0)
		if !errors.Is(err, context.DeadlineExceeded) || !slices.Equal(r.log, []string{"off@0s"}) {
			t.Errorf("deadline while off: %v, switched %v; want a timeout and the board off", err, r.log)
		}
	})
}

func ExampleCycle() {
	r := &relay{start: time.Now()}
	if err := power.Cycle(context.Background(), r, time.Millisecond); err != nil {
		fmt.Println(err)
	}
	fmt.Println(len(r.log), "commands")
	// Output: 2 commands
}
