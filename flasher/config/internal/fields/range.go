package fields

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// inRange checks a number, a time, or each of a list of numbers, against the tag
// in:"LOW..HIGH" of its field, of which one end may be missing. A tag without the dots is somebody else's.
func (d decoder) inRange(n *yaml.Node, path, tag string, v reflect.Value) []error {
	low, high, ours := strings.Cut(tag, "..")
	if !ours {
		return nil
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if v.Kind() == reflect.Slice {
		var errs []error
		for i := range v.Len() {
			at := n
			if i < len(n.Content) {
				at = n.Content[i]
			}
			errs = append(errs, d.inRange(at, path, tag, v.Index(i))...)
		}
		return errs
	}
	got, ok := amount(v)
	least, lowErr := bound(v, low, math.Inf(-1))
	most, highErr := bound(v, high, math.Inf(1))
	if err := errors.Join(lowErr, highErr); !ok || err != nil { // a mistake of the program
		return []error{At(n, path, fmt.Errorf("the driver's tag in:%q is no range of %s", tag, v.Type()))}
	}
	if got >= least && got <= most { // what is no number is in no range
		return nil
	}
	what := fmt.Sprint(v.Interface())
	if !d.literal && strings.Contains(n.Value, "$") { // what a variable holds may be a secret
		what = "what " + n.Value + " holds"
	}
	if high == "" {
		return []error{At(n, path, fmt.Errorf("%s is less than %s", what, low))}
	}
	return []error{At(n, path, fmt.Errorf("%s is not from %s to %s", what, low, high))}
}

// amount is a number, or a time in nanoseconds; ok is false for what is neither.
func amount(v reflect.Value) (n float64, ok bool) {
	switch {
	case v.CanFloat():
		return v.Float(), true
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	}
	return 0, false
}

// bound reads an end of a range for a field of v's type; none is what an empty one
// stands for.
func bound(v reflect.Value, text string, none float64) (float64, error) {
	if text == "" {
		return none, nil
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		t, err := time.ParseDuration(text)
		return float64(t), err
	}
	return strconv.ParseFloat(text, 64)
}
