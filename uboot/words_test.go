package uboot_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/uboot"
)

// typist is a printer that remembers what was typed.
type typist struct {
	*printer
	typed []string
}

func (p *typist) Write(b []byte) (int, error) {
	p.typed = append(p.typed, string(b))
	return p.printer.Write(b)
}

// TestCommandThatDoesNotEnd: what would swallow the marker behind it is not typed, and
// what would not is typed as it is.
func TestCommandThatDoesNotEnd(t *testing.T) {
	for _, tc := range []struct {
		name, cmd   string
		hush, plain string // what is typed with and without hush, "" is nothing
	}{
		{"comment", "booti 1 - 2 # boots", "booti 1 - 2", "booti 1 - 2 # boots"},
		{"comment behind a semicolon", "echo a;#b", "echo a;", "echo a;#b"},
		{"comment with a quotation mark", "echo a # it's", "echo a", ""},
		{"configuration of a FIT", "bootm 90000000#conf-1#over", "bootm 90000000#conf-1#over", "bootm 90000000#conf-1#over"},
		{"quoted number sign", `echo 'a # b' " # c" \# ${x#y}`, `echo 'a # b' " # c" \# ${x#y}`, `echo 'a # b' " # c" \# ${x#y}`},
		{"single quotation mark", "echo it's", "", ""},
		{"quotation mark behind a backslash", `echo it\'s`, `echo it\'s`, `echo it\'s`},
		{"double quotation mark", `echo 5" disk`, "", `echo 5" disk`},
		{"quotations", `setenv x 'it'\''s' "a;b"`, `setenv x 'it'\''s' "a;b"`, `setenv x 'it'\''s' "a;b"`},
		// Parsers differ here, and which one this is may not be known.
		{"single in double", `echo "it's"`, `echo "it's"`, ""},
		{"single in double, and a comment", `echo "it's" # that`, `echo "it's" # that`, ""},
		{"variable", "echo ${kernel_addr_r", "", "echo ${kernel_addr_r"},
		{"variable in a quotation", `echo "${a"; echo b`, "", `echo "${a"; echo b`},
	} {
		for hush, want := range map[bool]string{true: tc.hush, false: tc.plain} {
			t.Run(tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &typist{printer: &printer{status: "0"}}
					p.cond = sync.NewCond(&p.mu)
					c, err := console.New(p)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					s, err := uboot.New(c)
					if err != nil {
						t.Fatal(err)
					}
					s.Assume("=> ", hush)
					_, err = s.Run(t.Context(), tc.cmd)
					switch {
					case want == "" && (err == nil || !strings.Contains(err.Error(), "does not end") || len(p.typed) > 0):
						t.Errorf("hush %v: got %v, typed %q", hush, err, p.typed)
					case want != "" && (err != nil || len(p.typed) != 2 || p.typed[1] != "\r" || !strings.Contains(p.typed[0], map[bool]string{true: "; then ", false: "; "}[hush]+want+"; echo ")):
						t.Errorf("hush %v: got %v, typed %q, want %q", hush, err, p.typed, want)
					}
				})
			})
		}
	}
}

// TestNamesThatAreOptions: a dash in front makes an option of a name, and of the value
// the name of what is deleted.
func TestNamesThatAreOptions(t *testing.T) {
	b := &oldBoard{env: map[string]string{"bootdelay": "5"}}
	onOldBoard(t, b, func(t *testing.T, s *uboot.Session) {
		for _, name := range []string{"-f", "-a", "-", "--"} {
			if err := s.SetEnv(t.Context(), name, "bootdelay"); err == nil || !strings.Contains(err.Error(), "is no name") {
				t.Errorf("set %s: %v", name, err)
			}
			if v, err := s.Env(t.Context(), name); err == nil || !strings.Contains(err.Error(), "is no name") {
				t.Errorf("get %s: %q, %v", name, v, err)
			}
		}
	})
}
