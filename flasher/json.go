package flasher

import (
	"encoding/json"
	"math"
	"time"
)

// Durations are seconds in JSON, under a name that says so: whoever reads them there
// need not know that a Go duration is a number of nanoseconds.

// elapsed is what stands in JSON for a field Elapsed.
type elapsed struct {
	Seconds float64 `json:"elapsed_seconds"`
}

func (e elapsed) duration() time.Duration {
	return time.Duration(math.Round(e.Seconds * float64(time.Second)))
}

// MarshalJSON writes Elapsed as elapsed_seconds.
func (s StepTime) MarshalJSON() ([]byte, error) {
	type plain StepTime
	return json.Marshal(struct {
		plain
		elapsed
	}{plain(s), elapsed{s.Elapsed.Seconds()}})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *StepTime) UnmarshalJSON(data []byte) error {
	type plain StepTime
	var v struct {
		plain
		elapsed
	}
	err := json.Unmarshal(data, &v)
	*s = StepTime(v.plain)
	s.Elapsed = v.duration()
	return err
}

// MarshalJSON writes Elapsed as elapsed_seconds, and of Err only its text, as reason.
func (a Attempt) MarshalJSON() ([]byte, error) {
	type plain Attempt
	return json.Marshal(struct {
		plain
		elapsed
	}{plain(a), elapsed{a.Elapsed.Seconds()}})
}

// UnmarshalJSON reads what MarshalJSON writes; Err is nil then.
func (a *Attempt) UnmarshalJSON(data []byte) error {
	type plain Attempt
	var v struct {
		plain
		elapsed
	}
	err := json.Unmarshal(data, &v)
	*a = Attempt(v.plain)
	a.Elapsed = v.duration()
	return err
}

// MarshalJSON writes Elapsed as elapsed_seconds.
func (r Result) MarshalJSON() ([]byte, error) {
	type plain Result
	return json.Marshal(struct {
		plain
		elapsed
	}{plain(r), elapsed{r.Elapsed.Seconds()}})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Result) UnmarshalJSON(data []byte) error {
	type plain Result
	var v struct {
		plain
		elapsed
	}
	err := json.Unmarshal(data, &v)
	*r = Result(v.plain)
	r.Elapsed = v.duration()
	return err
}

// MarshalJSON writes Elapsed as elapsed_seconds.
func (r DumpResult) MarshalJSON() ([]byte, error) {
	type plain DumpResult
	return json.Marshal(struct {
		plain
		elapsed
	}{plain(r), elapsed{r.Elapsed.Seconds()}})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *DumpResult) UnmarshalJSON(data []byte) error {
	type plain DumpResult
	var v struct {
		plain
		elapsed
	}
	err := json.Unmarshal(data, &v)
	*r = DumpResult(v.plain)
	r.Elapsed = v.duration()
	return err
}
