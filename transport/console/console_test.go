package console_test

import (
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/transport/console"
)

// open starts a session whose board is the other end of a pipe.
func open(t testing.TB, opts ...console.Option) (*console.Console, net.Conn) {
	t.Helper()
	here, board := net.Pipe()
	c, err := console.New(here, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.Err() == nil {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		c.Close()
		board.Close()
	})
	return c, board
}

func say(t testing.TB, board io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(board, s); err != nil {
		t.Error(err)
	}
}

func TestExpect(t *testing.T) {
	re := regexp.MustCompile
	for _, tc := range []struct {
		name  string
		input string
		opts  []expect.ExpectOpt
		want  console.Match
		rest  string
	}{
		{"string", "U-Boot 2023\r\n=> rest", []expect.ExpectOpt{expect.String("=> ")},
			console.Match{Before: "U-Boot 2023\r\n", Text: "=> "}, "rest"},
		{"shortest prefix wins over order", "abc", []expect.ExpectOpt{expect.String("bc", "ab")},
			console.Match{Index: 1, Text: "ab"}, "c"},
		{"tie goes to the earlier", "abc", []expect.ExpectOpt{expect.String("bc", "c")},
			console.Match{Index: 0, Before: "a", Text: "bc"}, ""},
		{"groups", "x=12;rest", []expect.ExpectOpt{expect.Regexp(re(`(\w)=(\d+);|(never)`))},
			console.Match{Text: "x=12;", Groups: []string{"x=12;", "x", "12", ""}}, "rest"},
		{"greedy takes the least", "aaa", []expect.ExpectOpt{expect.Regexp(re(`a+`))},
			console.Match{Text: "a", Groups: []string{"a"}}, "aa"},
		{"end of text", "foobar", []expect.ExpectOpt{expect.Regexp(re(`^foo$`))},
			console.Match{Text: "foo", Groups: []string{"foo"}}, "bar"},
		{"match ends before the prefix", "foobar", []expect.ExpectOpt{expect.Regexp(re(`foo\B`))},
			console.Match{Text: "foo", Groups: []string{"foo"}}, "bar"},
		{"posix lines", "a\nfoo=1", []expect.ExpectOpt{expect.Regexp(regexp.MustCompilePOSIX(`^foo=`))},
			console.Match{Before: "a\n", Text: "foo=", Groups: []string{"foo="}}, "1"},
		{"perl text", "a\nfoo=1 foo=2", []expect.ExpectOpt{expect.Regexp(re(`^foo=`)), expect.String("2")},
			console.Match{Index: 1, Before: "a\nfoo=1 foo=", Text: "2"}, ""},
		{"all", "one two three", []expect.ExpectOpt{expect.All(expect.String("two"), expect.String("one"))},
			console.Match{Text: "one two"}, " three"},
		{"all with then", "one two three", []expect.ExpectOpt{expect.All(expect.String("two").Then(nil), expect.Regexp(re("o.e")))},
			console.Match{Text: "one two"}, " three"},
		{"rune", "é", []expect.ExpectOpt{expect.Regexp(re(`.`))},
			console.Match{Text: "é", Groups: []string{"é"}}, ""},
		{"not utf-8", "\xff\xfeok", []expect.ExpectOpt{expect.String("ok")},
			console.Match{Before: "\xff\xfe", Text: "ok"}, ""},
		{"empty", "x", []expect.ExpectOpt{expect.String("")}, console.Match{}, "x"},
		{"custom", "one two three", []expect.ExpectOpt{expect.String("never"), custom("two")},
			console.Match{Index: 1, Text: "one two"}, " three"},
	} {
		for _, whole := range []bool{true, false} {
			t.Run(tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, board := open(t)
					go func() {
						if whole {
							say(t, board, tc.input)
							return
						}
						for _, b := range []byte(tc.input) {
							say(t, board, string([]byte{b}))
						}
					}()
					if whole {
						synctest.Wait()
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					m, err := c.Expect(ctx, tc.opts...)
					if err != nil {
						t.Fatal(err)
					}
					if m.Index != tc.want.Index || m.Before != tc.want.Before || m.Text != tc.want.Text || m.Dropped != 0 {
						t.Errorf("got %+v, want %+v", *m, tc.want)
					}
					if strings.Join(m.Groups, "|") != strings.Join(tc.want.Groups, "|") || (m.Groups == nil) != (tc.want.Groups == nil) {
						t.Errorf("groups %q, want %q", m.Groups, tc.want.Groups)
					}
					synctest.Wait()
					if rest := c.Discard(); rest != tc.rest {
						t.Errorf("kept %q, want %q", rest, tc.rest)
					}
				})
			})
		}
	}
}

// containsMatcher is a matcher that the package knows nothing about.
type containsMatcher string

func (m containsMatcher) Match(v any) bool {
	b, ok := v.(interface{ String() string })
	return ok && strings.Contains(b.String(), string(m))
}
func (m containsMatcher) Criteria() any { return "something else: " + string(m) }

func custom(s string) expect.ExpectOpt {
	return func(o *expect.ExpectOpts) error {
		o.Matchers = append(o.Matchers, containsMatcher(s))
		return nil
	}
}

func TestTimeoutLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t)
		say(t, board, "half a pro")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := c.Expect(ctx, expect.String("prompt"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want a timeout", err)
		}
		var ce *console.Error
		if !errors.As(err, &ce) || ce.Tail != "half a pro" || len(ce.Wanted) != 1 || ce.Wanted[0] != `"prompt"` {
			t.Errorf("error carries %+v", ce)
		}
		go say(t, board, "mpt")
		m, err := c.Expect(t.Context(), expect.String("prompt"))
		if err != nil || m.Before != "half a " {
			t.Errorf("got %+v, %v", m, err)
		}
	})
}

func TestSendReachesTheBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, board := open(t)
		got := make(chan string)
		go func() {
			b := make([]byte, 64)
			n, _ := io.ReadFull(board, b[:5])
			got <- string(b[:n])
		}()
		if err := c.SendLine(t.Context(), "help"); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != "help\r" {
			t.Errorf("board got %q", s)
		}
	})
}

func TestClean(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "a\r\nb", "a\nb"},
		{"colour", "\x1b[1;32mok\x1b[0m\n", "ok\n"},
		{"carriage return", "10%\r100%\n", "100%\n"},
		{"overwrite part", "hello\rHE\n", "HEllo\n"},
		{"backspace", "ab\b \bc", "ac"},
		{"erase", "Password\r\x1b[Kdone", "done"},
		{"title", "\x1b]0;root@board\x07# ls", "# ls"},
		{"cursor report", "# \x1b[6nls", "# ls"},
		{"column", "[ok\x1b[8Gdone", "[ok    done"},
		{"bad utf-8", "\xffx\xc3", "\xffx\xc3"},
		{"nul", "a\x00b\x7f", "ab"},
		{"cut sequence", "a\x1b[3", "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := console.Clean(tc.in); got != tc.want {
				t.Errorf("Clean(%q) = %q, want %q", tc.in, got, tc.want)
			}
		})
	}
}
