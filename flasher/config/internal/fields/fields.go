// Package fields decodes YAML into structs so that a person finds his mistake:
// every problem with its line, its column and the path to it, and for an unknown
// key the one that was probably meant. Strings may refer to environment variables.
package fields

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dutflash/dutflash/internal/closest"
)

// ErrNoVariable marks a [Problem] that is an environment variable that is not set.
var ErrNoVariable = errors.New("environment variable is not set")

// Problem is something wrong in a YAML text.
type Problem struct {
	Line, Column int // from 1
	Path         string
	Err          error
}

func (p *Problem) Error() string {
	if p.Path == "" {
		return fmt.Sprintf("%d:%d: %v", p.Line, p.Column, p.Err)
	}
	return fmt.Sprintf("%d:%d: %s: %v", p.Line, p.Column, p.Path, p.Err)
}

func (p *Problem) Unwrap() error { return p.Err }

// At returns a Problem at a node.
func At(n *yaml.Node, path string, err error) *Problem {
	return &Problem{n.Line, n.Column, path, err}
}

// Decode decodes a node into what into points to. Keys of a mapping are the yaml
// tags of a struct; unknown and repeated ones are problems, and so are numbers and
// times outside of the range of a tag such as in:"1..65535" or in:"0s..". All problems
// are returned, joined.
func Decode(n *yaml.Node, path string, into any) error {
	return errors.Join(decoder{}.decode(n, path, reflect.ValueOf(into).Elem())...)
}

// DecodeLiteral is Decode for a text that knows no environment variables.
func DecodeLiteral(n *yaml.Node, path string, into any) error {
	return errors.Join(decoder{literal: true}.decode(n, path, reflect.ValueOf(into).Elem())...)
}

type decoder struct{ literal bool }

var (
	nodeType = reflect.TypeFor[yaml.Node]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (d decoder) decode(n *yaml.Node, path string, v reflect.Value) []error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case v.Type() == nodeType:
		v.Set(reflect.ValueOf(*n))
		return nil
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.decode(n, path, v.Elem())
	case v.Kind() == reflect.Struct && !v.Addr().Type().Implements(textType):
		return d.decodeStruct(n, path, v)
	case v.Kind() == reflect.Map:
		return d.decodeMap(n, path, v)
	case v.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		return d.decodeSlice(n, path, v)
	}
	n = unquoted(n, v)
	expanded := n
	if !d.literal {
		var err error
		if expanded, err = expand(n); err != nil {
			return []error{At(n, path, err)}
		}
	}
	if err := expanded.Decode(v.Addr().Interface()); err != nil {
		return []error{At(n, path, misfit(n, expanded, v.Type(), err))}
	}
	return nil
}

// unquoted is a node without its quotes where v is no text: a number in quotes is meant
// as one, and within braces a variable must be in quotes.
func unquoted(n *yaml.Node, v reflect.Value) *yaml.Node {
	_, isAmount := amount(v)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || !isAmount && v.Kind() != reflect.Bool {
		return n
	}
	c := *n
	c.Style, c.Tag = 0, ""
	return &c
}

func (d decoder) decodeStruct(n *yaml.Node, path string, v reflect.Value) []error {
	if n.Kind == yaml.SequenceNode || n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		_, known := field(v.Type(), "")
		return []error{At(n, path, fmt.Errorf("must be a mapping of keys to values; known are %s", strings.Join(slices.Sorted(slices.Values(known)), ", ")))}
	}
	pairs, errs := Pairs(n, path)
	for _, p := range pairs {
		index, known := field(v.Type(), p.Key)
		if index == nil {
			errs = append(errs, At(p.KeyNode, p.Path, Unknown("key", p.Key, known)))
			continue
		}
		field := v.FieldByIndex(index)
		problems := d.decode(p.Value, p.Path, field)
		if problems == nil {
			problems = d.inRange(p.Value, p.Path, v.Type().FieldByIndex(index).Tag.Get("in"), field)
		}
		errs = append(errs, problems...)
	}
	return errs
}

// field finds the field of a struct that has a YAML key, or nil, and all keys. Those
// of an embedded struct are the struct's own.
func field(t reflect.Type, key string) (index []int, known []string) {
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.Anonymous || name == "" {
			continue
		}
		if name == key {
			index = f.Index
		}
		known = append(known, name)
	}
	return index, known
}

func (d decoder) decodeMap(n *yaml.Node, path string, v reflect.Value) []error {
	pairs, errs := Pairs(n, path)
	v.Set(reflect.MakeMap(v.Type()))
	for _, p := range pairs {
		value := reflect.New(v.Type().Elem()).Elem()
		errs = append(errs, d.decode(p.Value, p.Path, value)...)
		v.SetMapIndex(reflect.ValueOf(p.Key), value)
	}
	return errs
}

func (d decoder) decodeSlice(n *yaml.Node, path string, v reflect.Value) (errs []error) {
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		errs = append(errs, d.decode(item, fmt.Sprintf("%s[%d]", path, i), v.Index(i))...)
	}
	return errs
}

// Pair is an entry of a mapping.
type Pair struct {
	Key            string
	KeyNode, Value *yaml.Node
	Path           string
}

// Pairs returns the entries of a mapping in their order, and behind them those that
// it merges (<<: *anchor) and does not have itself. A node that is none, and keys that
// come twice, are problems. A node that is empty has no entries.
func Pairs(n *yaml.Node, path string) (pairs []Pair, errs []error) {
	left := maxMerges
	return mergedPairs(n, path, nil, &left)
}

// maxMerges is how many mappings one may merge, those that they merge included.
const maxMerges = 1000

// mergedPairs is Pairs for a mapping that the others merge.
func mergedPairs(n *yaml.Node, path string, others []*yaml.Node, left *int) (pairs []Pair, errs []error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == 0 || n.Tag == "!!null" {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, []error{At(n, path, errors.New("must be a mapping of keys to values"))}
	}
	if slices.Contains(others, n) {
		return nil, []error{At(n, path, errors.New("it merges itself"))}
	}
	lines := map[string]int{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Tag == "!!merge" {
			if v.Kind == yaml.SequenceNode {
				merged = append(merged, v.Content...)
			} else {
				merged = append(merged, v)
			}
			continue
		}
		p := Pair{k.Value, k, v, k.Value}
		if path != "" {
			p.Path = path + "." + k.Value
		}
		if line := lines[k.Value]; line > 0 {
			errs = append(errs, At(k, p.Path, fmt.Errorf("it is there already, in line %d", line)))
			continue
		}
		lines[k.Value] = k.Line
		pairs = append(pairs, p)
	}
	for _, m := range merged {
		if *left--; *left < 0 {
			return pairs, append(errs, At(n, path, fmt.Errorf("it merges more than %d mappings", maxMerges)))
		}
		more, problems := mergedPairs(m, path, append(others, n), left)
		errs = append(errs, problems...)
		for _, p := range more {
			if lines[p.Key] == 0 {
				lines[p.Key] = p.KeyNode.Line
				pairs = append(pairs, p)
			}
		}
	}
	return pairs, errs
}

// Find returns the value that a mapping has for a key, and the path to it, or else
// what p stands for.
func Find(p Pair, key string) (at *yaml.Node, path string) {
	pairs, _ := Pairs(p.Value, p.Path) // its problems are told elsewhere
	for _, q := range pairs {
		if q.Key == key {
			return q.Value, q.Path
		}
	}
	return p.KeyNode, p.Path
}

// Unknown is the error for a name that is not among the known ones.
func Unknown(what, name string, known []string) error {
	if near := closest.To(name, known); near != "" {
		return fmt.Errorf("unknown %s %q; did you mean %q?", what, name, near)
	}
	known = slices.Sorted(slices.Values(known))
	return fmt.Errorf("unknown %s %q; known are %s", what, name, strings.Join(known, ", "))
}

// expand puts environment variables into a scalar: ${NAME}; "$$" is a dollar sign.
func expand(n *yaml.Node) (*yaml.Node, error) {
	if n.Kind != yaml.ScalarNode {
		if n.Kind != yaml.SequenceNode {
			return n, nil
		}
		c := *n
		c.Content = nil
		for _, item := range n.Content {
			e, err := expand(item)
			if err != nil {
				return nil, err
			}
			c.Content = append(c.Content, e)
		}
		return &c, nil
	}
	if !strings.Contains(n.Value, "$") {
		return n, nil
	}
	var missing []string
	c := *n
	c.Value = expandText(n.Value, func(name string) string {
		value, ok := os.LookupEnv(name)
		if !ok {
			missing = append(missing, name)
		}
		return value
	})
	if missing != nil {
		return nil, fmt.Errorf("%w: %s", ErrNoVariable, strings.Join(missing, ", "))
	}
	if n.Style == 0 { // a plain scalar gets the type that its new text has
		c.Tag = ""
	}
	return &c, nil
}

func expandText(s string, lookup func(string) string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "$")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		switch {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			s = rest[1:]
		case strings.HasPrefix(rest, "{") && closed:
			b.WriteString(lookup(name[1:]))
			s = after
		default:
			b.WriteByte('$')
			s = rest
		}
	}
}
