package flasher

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"
)

// Durations are seconds in JSON, under a name that says so: whoever reads them there
// need not know that a Go duration is a number of nanoseconds.

// marshalElapsed writes v, a struct that has at least one field in JSON and no
// MarshalJSON, and beside its fields elapsed_seconds.
func marshalElapsed(v any, elapsed time.Duration) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	text = append(text[:len(text)-1], `,"elapsed_seconds":`...)
	return append(strconv.AppendFloat(text, elapsed.Seconds(), 'f', -1, 64), '}'), nil
}

// unmarshalElapsed reads what marshalElapsed writes.
func unmarshalElapsed(text []byte, v any, elapsed *time.Duration) error {
	var e struct {
		Seconds float64 `json:"elapsed_seconds"`
	}
	err := errors.Join(json.Unmarshal(text, v), json.Unmarshal(text, &e))
	*elapsed = time.Duration(math.Round(e.Seconds * float64(time.Second)))
	return err
}

// MarshalJSON writes Elapsed as elapsed_seconds.
func (s StepTime) MarshalJSON() ([]byte, error) {
	type plain StepTime
	return marshalElapsed(plain(s), s.Elapsed)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *StepTime) UnmarshalJSON(text []byte) error {
	type plain StepTime
	return unmarshalElapsed(text, (*plain)(s), &s.Elapsed)
}

// MarshalJSON writes Elapsed as elapsed_seconds, and of Err only its text, as reason.
func (a Attempt) MarshalJSON() ([]byte, error) {
	type plain Attempt
	return marshalElapsed(plain(a), a.Elapsed)
}

// UnmarshalJSON reads what MarshalJSON writes; Err is not touched.
func (a *Attempt) UnmarshalJSON(text []byte) error {
	type plain Attempt
	return unmarshalElapsed(text, (*plain)(a), &a.Elapsed)
}

// MarshalJSON writes Elapsed as elapsed_seconds.
func (r Result) MarshalJSON() ([]byte, error) {
	type plain Result
	return marshalElapsed(plain(r), r.Elapsed)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Result) UnmarshalJSON(text []byte) error {
	type plain Result
	return unmarshalElapsed(text, (*plain)(r), &r.Elapsed)
}

// MarshalJSON writes Elapsed as elapsed_seconds.
func (r DumpResult) MarshalJSON() ([]byte, error) {
	type plain DumpResult
	return marshalElapsed(plain(r), r.Elapsed)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *DumpResult) UnmarshalJSON(text []byte) error {
	type plain DumpResult
	return unmarshalElapsed(text, (*plain)(r), &r.Elapsed)
}
