package uboot_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/uboot"
)

// onOldBoard runs a test at the prompt of a board without hush.
func onOldBoard(t *testing.T, b *oldBoard, test func(t *testing.T, s *uboot.Session), opts ...uboot.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := atPrompt(t, b, opts...)
		if s.Hush() {
			t.Error("hush was found where there is none")
		}
		test(t, s)
	})
}

func TestNoHushRun(t *testing.T) {
	for _, tc := range []struct {
		name, cmd, out string
		is             error // nil: no error
		status         bool  // a CommandError
	}{
		{"output", "version", "\nU-Boot 2009.08 (Jan 01 2010 - 12:00:00)", nil, false},
		{"no output", "setenv x 1", "", nil, false},
		{"two commands", "echo one; echo two", "one\ntwo", nil, false},
		{"no line break at the end", `echo no line\\c`, "no line", nil, false},
		{"prompts in the output", "echo '=> '; echo #", "=>\n#", nil, false},
		{"variables", "setenv x 5; echo ${x} $(x) $x", "5 5 $x", nil, false},
		{"what a reset looks like, in a value", "setenv x 'echo resetting ...; reset'; printenv x", "x=echo resetting ...; reset", nil, false},
		{"quotes and backslashes", `echo 'a;b' c\;d \$x \\ 'e\f'`, `a;b c;d $x \ e\f`, nil, false},
		{"what a marker looks like", "echo 'BCGHJKMP''QSTUVXYZ'$?", "BCGHJKMPQSTUVXYZ$?", nil, false},
		{"unknown command", "frobnicate", "Unknown command 'frobnicate' - try 'help'", uboot.ErrUnknownCommand, true},
		{"unknown command in a list", "echo a; frobnicate; echo b", "a\nUnknown command 'frobnicate' - try 'help'\nb", uboot.ErrUnknownCommand, true},
		{"missing variable", "printenv none", `## Error: "none" not defined`, uboot.ErrNotDefined, true},
		{"usage", "setenv", "Usage:\nsetenv name value ...", nil, true},
		{"too many words", "echo 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "** Too many args (max. 16) **\n1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", nil, true},
		// What it cannot tell: a failure in words that nobody knows.
		{"other words", "mydiag", "temperature sensor: FAILED", nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &oldBoard{commands: map[string]func(*oldBoard, []string){
				"mydiag": func(b *oldBoard, _ []string) { b.print("temperature sensor: FAILED\n") },
			}}
			onOldBoard(t, b, func(t *testing.T, s *uboot.Session) {
				out, err := s.Run(t.Context(), tc.cmd)
				if out != tc.out {
					t.Errorf("output %q, want %q", out, tc.out)
				}
				var status *uboot.CommandError
				if errors.As(err, &status) != tc.status || !errors.Is(err, tc.is) && tc.is != nil || (err != nil) != tc.status {
					t.Errorf("got %v", err)
				}
				if status != nil && (status.Status != -1 || status.Output != tc.out) {
					t.Errorf("got %+v", status)
				}
				answers(t, s)
			})
		})
	}
}

func TestNoHushEnvironment(t *testing.T) {
	for _, value := range []string{
		"plain", "two words", "$HOME ${bootcmd} $(x)", "a;b", `back\slash`, `back\\slash`, `\`, `\\`, `\\\`, `end\`, `end\\`, `it's`, `'`, `''`, `'''`,
		`\'`, `\\'`, `'\`, `\'\`, `a\'b`, `a\\'b\\`, `'a' 'b'`, `"quoted"`, `'all' "of" $it; \n #`, "=> ", "-n", "größer", `## Error: "x" not defined`, "1 2 3 4 5 6 7 8 9 10 11 12 13 14",
		"console=ttyAMA0,115200n8 root=/dev/vda2", strings.Repeat("long", 40),
	} {
		value = strings.TrimRight(value, " ")
		t.Run(value, func(t *testing.T) {
			b := &oldBoard{}
			onOldBoard(t, b, func(t *testing.T, s *uboot.Session) {
				if err := s.SetEnv(t.Context(), "x", value); err != nil {
					t.Error(err)
				}
				if b.env["x"] != value {
					t.Errorf("the board has %q, want %q", b.env["x"], value)
				}
				if got, err := s.Env(t.Context(), "x"); err != nil || got != value {
					t.Errorf("got %q, %v", got, err)
				}
				if err := s.SetEnv(t.Context(), "x", ""); err != nil {
					t.Error(err)
				}
				if _, err := s.Env(t.Context(), "x"); !errors.Is(err, uboot.ErrNotDefined) {
					t.Error(err)
				}
			})
		})
	}
}

func TestNoHushRefuses(t *testing.T) {
	set := func(value string) func(context.Context, *uboot.Session) error {
		return func(ctx context.Context, s *uboot.Session) error { return s.SetEnv(ctx, "x", value) }
	}
	run := func(cmd string) func(context.Context, *uboot.Session) error {
		return func(ctx context.Context, s *uboot.Session) error { _, err := s.Run(ctx, cmd); return err }
	}
	for _, tc := range []struct {
		name string
		do   func(context.Context, *uboot.Session) error
		is   error
		op   string
	}{
		{"blank at the beginning", set(" a"), uboot.ErrNoHush, "env"},
		{"blank at the end", set("a "), uboot.ErrNoHush, "env"},
		{"two blanks", set("a  b"), uboot.ErrNoHush, "env"},
		{"long value", set(strings.Repeat("long ", 50) + "end"), uboot.ErrLineTooLong, "env"},
		{"long command", run("echo " + strings.Repeat("long ", 50)), uboot.ErrLineTooLong, "run"},
		{"tab", run("echo a\tb"), uboot.ErrControlCharacter, "run"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onOldBoard(t, &oldBoard{}, func(t *testing.T, s *uboot.Session) {
				wantError(t, tc.do(t.Context(), s), tc.is, tc.op, "")
				answers(t, s)
			})
		})
	}
	t.Run("more words than the board takes", func(t *testing.T) {
		onOldBoard(t, &oldBoard{}, func(t *testing.T, s *uboot.Session) {
			err := s.SetEnv(t.Context(), "x", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16")
			if err == nil || !strings.Contains(err.Error(), "Too many args") {
				t.Errorf("got %v", err)
			}
			answers(t, s)
		})
	})
	t.Run("a line that the board cuts", func(t *testing.T) {
		onOldBoard(t, &oldBoard{lineSize: 128}, func(t *testing.T, s *uboot.Session) {
			// The limit was not said; U-Boot rings a bell for what it does not take.
			_, err := s.Run(t.Context(), "echo "+strings.Repeat("long ", 30))
			wantError(t, err, uboot.ErrLineTooLong, "run", "")
			if err == nil || !strings.Contains(err.Error(), "it takes 127") {
				t.Errorf("got %v", err)
			}
			answers(t, s)
		})
		onOldBoard(t, &oldBoard{lineSize: 128}, func(t *testing.T, s *uboot.Session) {
			_, err := s.Run(t.Context(), "echo "+strings.Repeat("long ", 30))
			wantError(t, err, uboot.ErrLineTooLong, "run", "")
		}, uboot.WithLineLimit(128))
	})
}

func TestNoHushHang(t *testing.T) {
	onOldBoard(t, &oldBoard{}, func(t *testing.T, s *uboot.Session) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		out, err := s.Run(ctx, "echo before; sleep 100")
		wantError(t, err, context.DeadlineExceeded, "run", "before")
		if out != "before" {
			t.Errorf("output %q", out)
		}
		answers(t, s)
	})
}

// TestModernHush brings the values to a build whose hush takes single quotes as a
// POSIX shell does.
func TestModernHush(t *testing.T) {
	for _, value := range []string{"plain", `back\slash`, `\`, `\\`, `it's \'`, `'\`, `a;b $x "q"  two`, `\n`, strings.Repeat(`it's a \n "$x"; `, 20), strings.Repeat(`it's `, 60), strings.Repeat("long ", 60)} {
		synctest.Test(t, func(t *testing.T) {
			b := &oldBoard{modern: true}
			s := atPrompt(t, b)
			if !s.Hush() {
				t.Error("no hush was found")
			}
			for range 2 { // found out once, known from then on
				if err := s.SetEnv(t.Context(), "x", value); err != nil || b.env["x"] != value {
					t.Errorf("the board has %q, want %q: %v", b.env["x"], value, err)
				}
			}
			answers(t, s)
		})
	}
}

// TestTruncated is for a build that prints no more than 100 characters at once
// (CONFIG_SYS_PBSIZE).
func TestTruncated(t *testing.T) {
	b := &oldBoard{commands: map[string]func(*oldBoard, []string){"printenv": func(b *oldBoard, args []string) {
		line := args[1] + "=" + b.env[args[1]] + "\n"
		b.print("%s", line[:min(len(line), 100)])
	}}}
	onOldBoard(t, b, func(t *testing.T, s *uboot.Session) {
		value := strings.Repeat("0123456789", 12)
		if err := s.SetEnv(t.Context(), "x", value); err != nil || b.env["x"] != value {
			t.Errorf("the board has %q, %v", b.env["x"], err)
		}
		_, err := s.Env(t.Context(), "x")
		wantError(t, err, uboot.ErrTruncated, "env", "x=0123456789")
		if err := s.SetEnv(t.Context(), "x", "short"); err != nil {
			t.Error(err)
		}
		if got, err := s.Env(t.Context(), "x"); err != nil || got != "short" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
