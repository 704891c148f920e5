//go:build unix

package busybox_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/testtool"
)

// commandCase is a command with what it prints and its exit status, under
// busybox 1.35's ash.
type commandCase struct {
	name, cmd, out string
	status         int
}

// commandCases are run one after the other in one session, on a pty and on the
// virtual boards.
func commandCases() []commandCase {
	script := "t=0\nfor i in 1 2 3; do\n\tt=$((t+i))\ndone\necho \"total $t\"\n"
	return []commandCase{
		{"one line", "echo hello", "hello\n", 0},
		{"nothing", "true", "", 0},
		{"empty command", "", "", 0},
		{"no newline at the end", "printf abc", "abc", 0},
		{"status", "false", "", 1},
		{"output and status", "echo x; (exit 42)", "x\n", 42},
		{"both streams", "echo a; echo b >&2", "a\nb\n", 0},
		{"quotes", `echo "a'b" 'c"d' \$x '$y' "` + "`echo z`" + `"`, "a'b c\"d $x $y z\n", 0},
		{"backslashes", `printf '%s\n' 'a\nb' "c\\d"`, "a\\nb\nc\\d\n", 0},
		{"carriage returns", `printf 'a\r\nb\rc\n'`, "a\r\nb\rc\n", 0},
		{"binary", `printf '\000\001\003\004\021\023\032\177\377\200'`, "\x00\x01\x03\x04\x11\x13\x1a\x7f\xff\x80", 0},
		{"utf-8", "echo 'Grüße'", "Grüße\n", 0},
		{"tabs and blanks", "echo '  a\tb  '", "  a\tb  \n", 0},
		{"many lines", script, "total 6\n", 0},
		{"syntax error", "if", "sh: eval: syntax error: unexpected end of file (expecting \"then\")\n", 2},
		{"here document", "cat <<E\n#.\n#+x\nE\n", "#.\n#+x\n", 0},
		{"comment", "echo a # b", "a\n", 0},
		{"stdin is empty", "cat; read x; echo \"<$x>\"", "<>\n", 0},
		{"exit", "exit 3", "", 3},
		{"after exit", "echo alive", "alive\n", 0},
		{"exit 0", "exit", "", 0},
		{"return", "return 5", "", 5},
		{"set -x", "set -x; echo a; set +x", "+ echo a\na\n+ set +x\n", 0},
		{"set -e", "set -e; false; echo not here", "", 1},
		{"after set -e", "echo alive", "alive\n", 0},
		{"set -u", "set -u; :", "", 0},
		{"after set -u", "echo alive; set +u", "alive\n", 0},
		{"killed", "sh -c 'kill -9 $$'", "Killed\n", 137},
		{"unknown command", "nosuchprogram", "sh: eval: nosuchprogram: not found\n", 127},
		{"looks like our marks", `echo '<bcdfghjkm.bcdfghjkm:bcd:bcd:0:0:>'; echo '<a.b>'`, "<bcdfghjkm.bcdfghjkm:bcd:bcd:0:0:>\n<a.b>\n", 0},
		{"looks like a prompt", "echo '# '; echo '## Flattened Device Tree'; echo 'login: '", "# \n## Flattened Device Tree\nlogin: \n", 0},
		{"looks like a kernel message", "echo '[   12.345678] Kernel panic - not syncing: no'", "[   12.345678] Kernel panic - not syncing: no\n", 0},
		{"looks like a reset", `printf 'U-Boot 2023.01 (Jan 01 2023)\r\n'`, "U-Boot 2023.01 (Jan 01 2023)\r\n", 0},
	}
}

func TestRunGivesOutputAndStatus(t *testing.T) {
	testCommands(t, loggedIn(t))
}

func testCommands(t *testing.T, s *busybox.Shell) {
	for _, tc := range commandCases() {
		t.Run(tc.name, func(t *testing.T) {
			out, err := s.Run(ctx(t), tc.cmd)
			if out != tc.out {
				t.Errorf("output %q, want %q", out, tc.out)
			}
			var ce *busybox.CommandError
			switch {
			case tc.status == 0 && err != nil:
				t.Errorf("error %v, want none", err)
			case tc.status != 0 && !errors.As(err, &ce):
				t.Errorf("error %v, want a CommandError", err)
			case tc.status != 0 && ce.Status != tc.status:
				t.Errorf("status %d, want %d", ce.Status, tc.status)
			}
		})
	}
}

func TestRunKeepsTheShellsState(t *testing.T) {
	s := loggedIn(t)
	run(t, s, "cd /; X=1; export Y=2; f() { echo \"f:$1\"; }")
	if got, want := run(t, s, `pwd; echo $X; sh -c 'echo $Y'; f z`), "/\n1\n2\nf:z\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRunLongCommands(t *testing.T) {
	s := loggedIn(t)
	var script, want strings.Builder
	for i := range 300 {
		fmt.Fprintf(&script, "echo 'line %d, %s'\n", i, strings.Repeat("x", i))
		fmt.Fprintf(&want, "line %d, %s\n", i, strings.Repeat("x", i))
	}
	if got := run(t, s, script.String()); got != want.String() {
		t.Errorf("a script of %d bytes printed %d bytes, want %d", script.Len(), len(got), want.Len())
	}
	line := strings.Repeat("ä'\"\\ ", 3000)
	if got := run(t, s, "cat <<'E'\n"+line+"\nE"); got != line+"\n" {
		t.Errorf("a line of %d bytes came back as %d bytes", len(line), len(got))
	}
}

func TestRunRefusesWhatATerminalWouldEat(t *testing.T) {
	s := loggedIn(t)
	for _, cmd := range []string{"echo \x03", "a\rb", "a\x00b", "a\x7f", "a\xffb"} {
		if _, err := s.Run(ctx(t), cmd); !errors.Is(err, busybox.ErrCommandText) {
			t.Errorf("Run(%q) = %v, want ErrCommandText", cmd, err)
		}
	}
}

func TestHangingCommandIsStopped(t *testing.T) {
	t.Parallel()
	dash := testtool.Need(t, "dash", "apt-get install dash")
	for _, tc := range []struct {
		name, cmd string
		shell     bool // it may cost the shell
	}{
		{"sleeps", "echo started; sleep 1000", false},
		{"pipeline", "echo started; cat /dev/zero | cat >/dev/null", false},
		{"loops in the shell", "echo started; while :; do :; done", true},
		{"ignores interrupt", `echo started; ` + dash + ` -c 'trap "" INT; sleep 1000; :'`, false},
		{"ignores interrupt, in ash", `echo started; sh -c 'trap "" INT; sleep 1000'`, true}, // and quit with it
		{"ignores interrupt and quit", `echo started; sh -c 'trap "" INT QUIT; while :; do :; done'`, true},
		{"loops in the shell and ignores interrupt", `echo started; trap "" INT QUIT; while :; do :; done`, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := loggedIn(t)
			run(t, s, "kept=1")
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			out, err := s.Run(short, tc.cmd)
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, busybox.ErrShellLost) {
				t.Fatalf("error %v, want a deadline and a shell that answers", err)
			}
			if out != "started\n" {
				t.Errorf("output %q", out)
			}
			if got := run(t, s, "echo alive"); got != "alive\n" {
				t.Errorf("after it: %q", got)
			}
			if got := run(t, s, "echo $kept"); got != "1\n" && !tc.shell {
				t.Errorf("the shell's variables are gone: %q", got)
			}
		})
	}
}

// A shell that an init script has put into the background is started with
// interrupts ignored, and so is everything that it starts.
func TestHangingCommandOfAShellThatCannotBeInterrupted(t *testing.T) {
	t.Parallel()
	argv := busyboxArgs(t)
	for _, sh := range [][]string{argv, {testtool.Need(t, "dash", "apt-get install dash"), "-i"}, {testtool.Need(t, "bash", "apt-get install bash"), "-i"}} {
		t.Run(filepath.Base(sh[0]), func(t *testing.T) {
			t.Parallel()
			s := session(t, program(t, append([]string{argv[0], "sh", "-c", `trap "" INT QUIT; exec "$@"`, "sh"}, sh...)...))
			login(t, s)
			for _, cmd := range []string{"echo started; sleep 1000", "echo started; while :; do :; done"} {
				short, cancel := context.WithTimeout(t.Context(), time.Second)
				out, err := s.Run(short, cmd)
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, busybox.ErrShellLost) || out != "started\n" {
					t.Fatalf("%s: %q, %v, want a deadline and a shell that answers", cmd, out, err)
				}
			}
			if got := run(t, s, "echo alive; exit 0"); got != "alive\n" {
				t.Errorf("after it: %q", got)
			}
			if _, err := s.Run(ctx(t), "exit 3"); status(err) != 3 {
				t.Errorf("exit: %v", err)
			}
		})
	}
}
