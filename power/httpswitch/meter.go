package httpswitch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dutflash/dutflash/power"
)

// Values says where in a JSON answer the measured values are: keys of objects and
// indexes of arrays, with dots between, such as "meters.0.power". A value is a
// number, or a string that is one. What is empty is not measured, and a place that
// ends in ? is not measured where the answer does not have it.
type Values struct {
	Volts, Amperes, Watts string
}

// WithMeter sets the request whose JSON answer has what the board draws.
func WithMeter(r Request, v Values) Option {
	return func(c *config) error {
		r = clone(r)
		c.meter, c.values = &r, v
		if v == (Values{}) {
			return errors.New("the meter has no value to look for")
		}
		return checkRequest("the meter", r)
	}
}

// Read asks for what the board draws. Without [WithMeter] it is
// [power.ErrUnsupported]; an answer without the values is [power.ErrRefused].
func (c *Controller) Read(ctx context.Context) (power.Reading, error) {
	return power.Ask(ctx, c.config.switching, "read", c.config.name, c.askMeter)
}

func (c *Controller) askMeter(ctx context.Context) (power.Reading, error) {
	r := power.Reading{Time: time.Now()}
	if c.config.meter == nil {
		return r, fmt.Errorf("%w: no request for a meter is set", power.ErrUnsupported)
	}
	a, err := c.send(ctx, *c.config.meter)
	if err != nil {
		return r, err
	}
	var answer any
	if err := json.Unmarshal(a.Body, &answer); err != nil {
		return r, fmt.Errorf("%w: the meter's answer is no JSON: %w: %q", power.ErrRefused, err, c.config.web.Excerpt(a.Body))
	}
	for _, v := range []struct {
		path string
		into *float64
	}{{c.config.values.Volts, &r.Volts}, {c.config.values.Amperes, &r.Amperes}, {c.config.values.Watts, &r.Watts}} {
		*v.into = math.NaN()
		if v.path == "" {
			continue
		}
		path, optional := strings.CutSuffix(v.path, "?")
		value, there, err := number(answer, path)
		switch {
		case err == nil:
			*v.into = value
		case there || !optional:
			return r, fmt.Errorf("%w: the meter's answer: %w: %q", power.ErrRefused, err, c.config.web.Excerpt(a.Body))
		}
	}
	return r, nil
}

// number walks to a value, which may not be there.
func number(v any, path string) (n float64, there bool, err error) {
	for _, key := range strings.Split(path, ".") {
		var ok bool
		switch at := v.(type) {
		case map[string]any:
			v, ok = at[key]
		case []any:
			i, err := strconv.Atoi(key)
			if ok = err == nil && i >= 0 && i < len(at); ok {
				v = at[i]
			}
		}
		if !ok {
			return 0, false, fmt.Errorf("it has no %s", path)
		}
	}
	switch n := v.(type) {
	case float64:
		return n, true, nil
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
		if err == nil {
			return f, true, nil
		}
	}
	return 0, true, fmt.Errorf("%s is no number", path)
}
