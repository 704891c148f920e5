package fields

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// misfit is the error for a value that does not fit its key: in the words of somebody
// who writes YAML, and not Go. What a variable holds may be a secret.
func misfit(n, expanded *yaml.Node, t reflect.Type, err error) error {
	what, wanted := n.Value, kindOf(t)
	variable := expanded.Value != n.Value
	switch {
	case variable && expanded.Value == "":
		return fmt.Errorf("what %s holds is empty", n.Value)
	case variable:
		what = "what " + n.Value + " holds"
	case n.Kind == yaml.MappingNode:
		what = "a mapping"
	case n.Kind == yaml.SequenceNode:
		what = "a list"
	}
	var te *yaml.TypeError
	switch {
	case wanted != "" && errors.As(err, &te):
		return fmt.Errorf("%s is not %s", what, wanted)
	case variable:
		return fmt.Errorf("%s does not fit", what)
	}
	return plain(err)
}

// kindOf is what a value of a type is to a person, "" where that is the type's own.
func kindOf(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "a time such as 2s or 1m30s"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a single value"
	case reflect.Slice:
		return "a list: write it as [a, b], or one line each with a dash"
	}
	return ""
}

// plain takes the line number off an error of the YAML package, since ours has it.
func plain(err error) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) || len(te.Errors) == 0 {
		return err
	}
	_, text, ok := strings.Cut(te.Errors[0], ": ")
	if !ok {
		text = te.Errors[0]
	}
	return errors.New(text)
}
