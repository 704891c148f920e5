package fields

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// inRange checks a number, a time, or each of a list of numbers, against the tag
// in:"LOW..HIGH" of its field, of which one end may be missing.
func (d decoder) inRange(n *yaml.Node, path, tag string, v reflect.Value) []error {
	if tag == "" {
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
	low, high, _ := strings.Cut(tag, "..")
	got := amount(v)
	if (low == "" || got >= bound(v, low)) && (high == "" || got <= bound(v, high)) { // what is no number is in no range
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

// amount is a number, or a time in nanoseconds.
func amount(v reflect.Value) float64 {
	if v.CanFloat() {
		return v.Float()
	}
	return float64(v.Int())
}

// bound reads an end of a range for a field of v's type. One that cannot be read is a
// mistake of the program.
func bound(v reflect.Value, text string) float64 {
	var b float64
	var err error
	if v.Type() == reflect.TypeFor[time.Duration]() {
		var t time.Duration
		t, err = time.ParseDuration(text)
		b = float64(t)
	} else {
		b, err = strconv.ParseFloat(text, 64)
	}
	if err != nil {
		panic(fmt.Sprintf("tag in: %v", err))
	}
	return b
}
