package power_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/power"
)

// outlet is a switch that fails as often as it is told, and takes a while to
// show its new state.
type outlet struct {
	start    time.Time
	failures int
	fail     error
	lag      time.Duration
	on       bool
	changed  time.Time
	hang     bool
	log      []string
}

func (o *outlet) set(ctx context.Context, on bool) error {
	o.log = append(o.log, fmt.Sprintf("set %v@%v", on, time.Since(o.start)))
	if o.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if o.failures > 0 {
		o.failures--
		return o.fail
	}
	o.on, o.changed = on, time.Now().Add(o.lag)
	return nil
}

func (o *outlet) state(context.Context) (bool, error) {
	if time.Now().Before(o.changed) {
		return !o.on, nil
	}
	return o.on, nil
}

func TestSwitching(t *testing.T) {
	gone := errors.New("no route to host")
	for _, tc := range []struct {
		name  string
		s     power.Switching
		o     outlet
		is    []error
		log   []string
		after time.Duration
	}{
		{"at once", power.Switching{}, outlet{}, nil, []string{"set true@0s"}, 0},
		{"settling", power.Switching{Settle: 3 * time.Second}, outlet{}, nil, []string{"set true@0s"}, 3 * time.Second},
		{
			"second try", power.Switching{Pause: time.Second}, outlet{failures: 1, fail: gone},
			nil, []string{"set true@0s", "set true@1s"}, time.Second,
		},
		{
			"gone", power.Switching{}, outlet{failures: 9, fail: gone},
			[]error{gone}, []string{"set true@0s", "set true@500ms", "set true@1s"}, time.Second,
		},
		{
			"wrong password is not tried again", power.Switching{}, outlet{failures: 9, fail: power.ErrAuth},
			[]error{power.ErrAuth}, []string{"set true@0s"}, 0,
		},
		{"slow relay", power.Switching{}, outlet{lag: 250 * time.Millisecond}, nil, []string{"set true@0s"}, 300 * time.Millisecond},
		{
			"stuck relay", power.Switching{Timeout: time.Second, Tries: 1}, outlet{lag: time.Hour},
			[]error{power.ErrState, context.DeadlineExceeded}, []string{"set true@0s"}, time.Second,
		},
		{"unverified", power.Switching{Unverified: true}, outlet{lag: time.Hour}, nil, []string{"set true@0s"}, 0},
		{
			"hangs", power.Switching{Timeout: time.Second, Tries: 2, Pause: time.Second}, outlet{hang: true},
			[]error{context.DeadlineExceeded}, []string{"set true@0s", "set true@2s"}, 3 * time.Second,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := tc.o
				o.start = time.Now()
				if o.lag > 0 {
					o.changed = o.start.Add(o.lag)
				}
				err := tc.s.Switch(t.Context(), "rack 1 port 2", true, o.set, o.state)
				if (err == nil) != (tc.is == nil) {
					t.Fatalf("got %v", err)
				}
				var typed *power.Error
				for _, want := range tc.is {
					if !errors.Is(err, want) || !errors.As(err, &typed) || !strings.Contains(err.Error(), "rack 1 port 2") {
						t.Errorf("got %v, want an *Error that names the port and wraps %v", err, want)
					}
				}
				if !slices.Equal(o.log, tc.log) || time.Since(o.start) != tc.after {
					t.Errorf("did %v in %v; want %v in %v", o.log, time.Since(o.start), tc.log, tc.after)
				}
			})
		})
	}
}

func TestSwitchingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("no route to host")
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		_, err := power.Ask(ctx, power.Switching{}, "state", "plug", func(context.Context) (bool, error) { return false, gone })
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, gone) {
			t.Errorf("got %v, want the timeout and what the device had said", err)
		}
	})
	if err := (power.Switching{Tries: -1}).Validate(); err == nil {
		t.Error("a negative number of tries was taken")
	}
}

type meter struct{ watts float64 }

func (m *meter) Read(context.Context) (power.Reading, error) {
	m.watts++
	if m.watts > 3 {
		return power.Reading{}, errors.New("sensor lost")
	}
	return power.Reading{Watts: m.watts}, nil
}

func TestReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var got []string
		for r, err := range power.Readings(t.Context(), &meter{}, time.Second) {
			got = append(got, fmt.Sprintf("%v %v@%v", r.Watts, err, time.Since(start)))
		}
		want := []string{"1 <nil>@0s", "2 <nil>@1s", "3 <nil>@2s", "0 power read: sensor lost@3s"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	for _, err := range power.Readings(t.Context(), &meter{}, 0) {
		if err == nil {
			t.Error("an interval of zero was taken")
		}
	}
}

func ExampleReadings() {
	for r, err := range power.Readings(context.Background(), &meter{}, time.Millisecond) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(r.Watts, "W")
	}
	// Output:
	// 1 W
	// 2 W
	// 3 W
	// power read: sensor lost
}
