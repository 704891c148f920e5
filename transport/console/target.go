package console

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"
	"syscall"

	expect "github.com/Netflix/go-expect"
)

// target is one matcher of an Expect, as we understand it.
type target struct {
	matcher expect.Matcher
	scan    scanner          // nil for what only matches an error
	ended   func(error) bool // whether the port's end matches
}

// The types of go-expect's own matchers. They are not exported, and what
// Criteria returns does not tell a matcher of go-expect from a foreign one that
// means something else by a string.
type kinds struct {
	text, regexp, err, pathErr, all, then reflect.Type
}

func kindsOfGoExpect() kinds {
	of := func(opt expect.ExpectOpt) reflect.Type {
		var opts expect.ExpectOpts
		if opt(&opts) != nil || len(opts.Matchers) != 1 {
			return nil
		}
		return reflect.TypeOf(opts.Matchers[0])
	}
	return kinds{
		text:    of(expect.String("x")),
		regexp:  of(expect.Regexp(regexp.MustCompile("x"))),
		err:     of(expect.Error(io.EOF)),
		pathErr: of(expect.PTSClosed),
		all:     of(expect.All()),
		then:    of(expect.String("x").Then(nil)),
	}
}

// apply runs the options as go-expect's own Expect does.
func apply(opts []expect.ExpectOpt) (expect.ExpectOpts, error) {
	var all expect.ExpectOpts
	for i, opt := range opts {
		if opt == nil {
			return all, fmt.Errorf("option %d is nil", i)
		}
		if err := opt(&all); err != nil {
			return all, fmt.Errorf("option %d: %w", i, err)
		}
	}
	return all, nil
}

// compile makes targets of the matchers.
func compile(opts []expect.ExpectOpt, matchers []expect.Matcher, limit int) ([]target, error) {
	if len(matchers) == 0 {
		return nil, errors.New("nothing to wait for: no matcher given")
	}
	kinds := kindsOfGoExpect()
	targets := make([]target, len(matchers))
	for i, m := range matchers {
		if m == nil {
			return nil, fmt.Errorf("matcher %d is nil", i)
		}
		t := target{matcher: m}
		known, err := kinds.understand(reflect.ValueOf(m), m.Criteria(), &t, limit)
		if err != nil {
			return nil, err
		}
		if !known {
			custom := &customScanner{fresh: func() expect.Matcher {
				// Matchers such as All remember what they have seen: every
				// question goes to a new one.
				if again, err := apply(opts); err == nil && i < len(again.Matchers) {
					return again.Matchers[i]
				}
				return m
			}}
			t.scan, t.ended = custom, custom.ended
		}
		targets[i] = t
	}
	return targets, nil
}

// understand fills t for a matcher of go-expect; false for any other.
func (k kinds) understand(v reflect.Value, criteria any, t *target, limit int) (bool, error) {
	if !v.IsValid() {
		return false, nil
	}
	t.ended = func(error) bool { return false }
	switch v.Type() {
	case k.text:
		text, ok := criteria.(string)
		if ok && len(text) > limit {
			return true, fmt.Errorf("the text to wait for has %d bytes, the window %d", len(text), limit)
		}
		t.scan = &textScanner{text: []byte(text)}
		return ok, nil
	case k.regexp:
		re, ok := criteria.(*regexp.Regexp)
		if !ok || re == nil {
			return true, errors.New("nil regexp")
		}
		if s := newRegexpScanner(re); s != nil {
			t.scan = s
			return true, nil
		}
	case k.err:
		want, ok := criteria.(error)
		t.ended = func(err error) bool { return err == want }
		return ok, nil
	case k.pathErr:
		want, ok := criteria.(os.PathError)
		t.ended = func(err error) bool {
			var got *os.PathError
			// go-expect compares with the name of the Linux device; the end of
			// a pty has other names too.
			return errors.As(err, &got) && (*got == want || isEIO(got) && strings.HasPrefix(got.Path, "/dev/"))
		}
		return ok, nil
	case k.then:
		// Only the type of the matcher inside is asked for; a go-expect with
		// another inner life makes it a custom matcher, which works too.
		if inner := v.Elem().FieldByName("matcher"); inner.IsValid() && inner.Kind() == reflect.Interface {
			return k.understand(inner.Elem(), criteria, t, limit)
		}
	case k.all:
		return k.understandAll(v, criteria, t, limit)
	}
	return false, nil
}

func (k kinds) understandAll(v reflect.Value, criteria any, t *target, limit int) (bool, error) {
	list, _ := criteria.([]any)
	inner := v.Elem().FieldByName("options")
	if !inner.IsValid() || inner.Kind() != reflect.Struct {
		return false, nil
	}
	if inner = inner.FieldByName("Matchers"); !inner.IsValid() || inner.Kind() != reflect.Slice || inner.Len() != len(list) {
		return false, nil
	}
	all := &allScanner{}
	parts := make([]target, len(list))
	for i := range parts {
		known, err := k.understand(inner.Index(i).Elem(), list[i], &parts[i], limit)
		if !known || err != nil {
			return known, err
		}
		if parts[i].scan == nil {
			parts[i].scan = never{}
		}
		all.parts = append(all.parts, parts[i].scan)
	}
	t.scan = all
	t.ended = func(err error) bool {
		for i := range parts {
			if all.ends[i] < 0 && !parts[i].ended(err) {
				return false
			}
		}
		return true
	}
	return true, nil
}

// never is the scanner of what no output matches.
type never struct{}

func (never) restart(int64)                   {}
func (never) scan(*window, int64, bool) int64 { return -1 }
func (never) locate([]byte) []int             { return nil }

func isEIO(err *os.PathError) bool { return errors.Is(err, syscall.Errno(5)) }

// describe names what a matcher waits for, with secrets replaced. That is done
// before quoting and clipping, which would change a secret's look.
func (c *Console) describe(criteria any) string {
	switch want := criteria.(type) {
	case string:
		return fmt.Sprintf("%q", clip(c.Redact(want)))
	case *regexp.Regexp:
		return "/" + clip(c.Redact(want.String())) + "/"
	case os.PathError:
		return want.Error()
	case error:
		return clip(c.Redact(want.Error()))
	case []any:
		parts := make([]string, len(want))
		for i := range want {
			parts[i] = c.describe(want[i])
		}
		return "all of (" + strings.Join(parts, ", ") + ")"
	}
	return clip(c.Redact(fmt.Sprint(criteria)))
}
