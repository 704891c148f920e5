package console

import (
	"bytes"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	expect "github.com/Netflix/go-expect"
)

// fuzzWindow is small, so that the fuzzer gets to its border.
const fuzzWindow = 256

// cutter splits data into pieces whose sizes the fuzzer chooses.
func cutter(data, cuts []byte) [][]byte {
	var pieces [][]byte
	for i := 0; len(data) > 0; i++ {
		n := len(data)
		if i < len(cuts) {
			n = min(n, int(cuts[i]))
		} else if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		pieces = append(pieces, data[:n])
		data = data[n:]
	}
	return pieces
}

// session runs one search after another over the pieces and tells what they
// found. It is the Console without its goroutines.
func session(tb testing.TB, pieces [][]byte, again int, opts ...expect.ExpectOpt) []any {
	c := &Console{win: window{limit: fuzzWindow}}
	var found []any
	start := func() {
		all, err := apply(opts)
		if err != nil {
			tb.Skip(err)
		}
		targets, err := compile(opts, all.Matchers, fuzzWindow)
		if err != nil {
			tb.Skip(err)
		}
		c.active = &search{targets: targets, ready: make(chan struct{})}
		c.active.restart(c.win.start)
	}
	look := func() {
		for c.active != nil {
			s := c.active
			c.look(s)
			if s.match == nil && s.err == nil {
				return
			}
			found = append(found, s.match, s.err)
			if again--; again > 0 && s.match != nil {
				start()
			}
		}
	}
	start()
	look()
	for _, p := range pieces {
		c.win.add(p)
		look()
		c.win.trim()
		if n := len(c.win.live()); n > fuzzWindow+utf8.UTFMax {
			tb.Fatalf("the window holds %d bytes", n)
		}
	}
	c.portErr = io.EOF
	look()
	return append(found, string(c.win.live()))
}

// FuzzWindow checks that what is found does not depend on how the input is cut,
// and that it is what package regexp finds at the shortest prefix.
func FuzzWindow(f *testing.F) {
	f.Add("U-Boot 2023.01\r\n=> ", "=> ", `(\w+)=(\d+)`, []byte{3, 1})
	f.Add("foobar\nfoo", "bar", `^foo$`, []byte{1})
	f.Add("héé\xc3x\xe2\x82", "x", `é\b|.x`, []byte{2, 1, 1})
	f.Add(strings.Repeat("ab", 200)+"c", "c", `a[^c]*c`, []byte{7})
	f.Add("a\nb\nc", "zz", `(?m)^b$`, []byte{0, 1})
	f.Add("foo.", "", `foo\B`, []byte{1})
	f.Add("Hit any key to stop autoboot:  3 \b\b\b 2", "key", `autoboot: +\d`, []byte{10})
	f.Fuzz(func(t *testing.T, input, text, pattern string, cuts []byte) {
		if len(input) > 4096 || len(pattern) > 100 {
			t.Skip("too long to be interesting")
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			t.Skip(err)
		}
		data := []byte(input)
		// The bisecting matchers are the same only within the window.
		opts := []expect.ExpectOpt{expect.String(text), expect.Regexp(re), expect.All(expect.Regexp(re), expect.String(text))}
		whole := session(t, [][]byte{data}, 5, opts...)
		cut := session(t, cutter(data, cuts), 5, opts...)
		if !reflect.DeepEqual(whole, cut) {
			t.Fatalf("whole %s, cut %s", tell(whole), tell(cut))
		}
		if len(data) > fuzzWindow {
			return
		}
		// The definition itself: the shortest prefix, tried one by one.
		only := session(t, cutter(data, cuts), 1, expect.Regexp(re))
		for end := 0; ; {
			if loc := re.FindSubmatchIndex(data[:end]); loc != nil {
				m, ok := only[0].(*Match)
				if !ok || m.Before != input[:loc[0]] || m.Text != input[loc[0]:loc[1]] {
					t.Fatalf("found %s, want %q before %q", tell(only), input[:loc[0]], input[loc[0]:loc[1]])
				}
				break
			}
			if end == len(data) {
				if len(only) != 1 {
					t.Fatalf("found %s where package regexp finds nothing", tell(only))
				}
				break
			}
			_, n := utf8.DecodeRune(data[end:])
			end += n
		}
	})
}

func tell(found []any) string {
	var b bytes.Buffer
	for _, f := range found {
		switch f := f.(type) {
		case *Match:
			if f != nil {
				b.WriteString(strings.TrimSpace(strings.Join([]string{"match", f.Before, f.Text}, "|")))
			}
		case error:
			b.WriteString(f.Error())
		case string:
			b.WriteString(" rest " + f)
		}
		b.WriteString("; ")
	}
	return b.String()
}

// FuzzClean checks that the Cleaner gives the same however its input is cut,
// leaves no control characters, and holds and makes only so much.
func FuzzClean(f *testing.F) {
	f.Add([]byte("\x1b[1;32mok\x1b[0m\r\n10%\r100%\b\b\n"), []byte{1})
	f.Add([]byte("# \x1b[6n\x1b]0;title\x07ls\x1b[3D\x1b[K\x1b[200Cx"), []byte{3, 1})
	f.Add([]byte("\x1b[99999999999999999999999999999999999999999m\xe2\x82\xacé\xc3"), []byte{2})
	f.Add([]byte("\x1bPq\x1b\\\x1b[4@\x1b[2P\x18\x1b[2J"), []byte{1, 2})
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		var out strings.Builder
		c := NewCleaner(&out)
		for _, p := range cutter(data, cuts) {
			if n, err := c.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
			if len(c.line) > maxLine || len(c.params) > maxParams || len(c.partial) > utf8.UTFMax {
				t.Fatalf("holds a line of %d, parameters of %d, a sequence of %d", len(c.line), len(c.params), len(c.partial))
			}
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		if whole := Clean(string(data)); out.String() != whole {
			t.Fatalf("cut %q, whole %q", out.String(), whole)
		}
		if out.Len() > (maxColumn+1)*(len(data)+1) {
			t.Fatalf("%d bytes of %d", out.Len(), len(data))
		}
		if i := strings.IndexFunc(out.String(), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }); i >= 0 {
			t.Fatalf("control character left in %q", out.String())
		}
	})
}

// FuzzRedact checks that redaction gives the same however the stream is cut,
// and that no secret is left.
func FuzzRedact(f *testing.F) {
	f.Add("a secret sec ret secre", "secret", "sec ret", []byte{3, 1})
	f.Add("aaabaaab", "aab", "aaab", []byte{1})
	f.Add("xabyxab", "xaby", "ab", []byte{2})
	f.Fuzz(func(t *testing.T, data, one, two string, cuts []byte) {
		if one == "" || len(data) > 4096 {
			t.Skip("nothing to hide")
		}
		set := (*secrets)(nil).with(one).with(two)
		r := redactor{secrets: set}
		var out []byte
		for _, p := range cutter([]byte(data), cuts) {
			out = r.write(out, p)
			if len(r.held) >= max(len(one), len(two)) {
				t.Fatalf("%d bytes held", len(r.held))
			}
		}
		out = r.flush(out)
		if whole := set.replace(data); string(out) != whole {
			t.Fatalf("cut %q, whole %q", out, whole)
		}
		for _, secret := range set.all {
			// What stands beside a mask can spell a secret made of asterisks
			// or one that overlapped another; what was cut out cannot.
			if !strings.Contains(secret, "*") && !overlap(set.all) && strings.Contains(string(out), secret) {
				t.Fatalf("%q is left in %q", secret, out)
			}
		}
	})
}

// overlap reports whether the end of one secret can be the beginning of
// another.
func overlap(all []string) bool {
	for _, a := range all {
		for _, b := range all {
			for n := 1; n <= min(len(a), len(b)); n++ {
				if a != b && a[len(a)-n:] == b[:n] {
					return true
				}
			}
		}
	}
	return false
}
