//go:build unix

package busybox_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/testtool"
)

// getty starts the board's side of a login: Debian's busybox getty, login and
// ash in a root directory of their own, with the users root (no password),
// tester (password "geheim 1") and locked.
func getty(t *testing.T) *os.File {
	t.Helper()
	bb := testtool.Need(t, "busybox", howBusybox)
	unshare := testtool.Need(t, "unshare", "apt-get install util-linux")
	if os.Geteuid() != 0 {
		t.Skip("getty and login need root; run the test as root")
	}
	hash, err := exec.Command(bb, "mkpasswd", "-m", "sha512", "geheim 1", "saltsalt").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, d := range []string{"bin", "etc", "dev", "proc", "tmp", "root"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(bb)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"bin/busybox": {string(data), 0o755},
		"etc/passwd":  {"root::0:0::/root:/bin/sh\ntester:" + strings.TrimSpace(string(hash)) + ":0:0::/root:/bin/sh\nlocked:!:1:1::/:/bin/sh\n", 0o644},
		"etc/group":   {"root:x:0:\n", 0o644},
		"etc/issue":   {"Welcome to a board # 1\n\n", 0o644},
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(file.text), file.mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sh", "login"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	// /proc is read-only so that nothing changes this machine's log level.
	script := `mount -t proc -o ro proc "$1/proc" && mount --bind /dev "$1/dev" && cd "$1" &&
		while :; do chroot . /bin/busybox getty -L 0 - vt102; sleep 1; done`
	return rootProgram(t, unshare, "-m", "sh", "-c", script, "getty", root)
}

// rootProgram is program without giving up root.
func rootProgram(t *testing.T, argv ...string) *os.File {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	f, err := pty.StartWithAttrs(cmd, nil, &syscall.SysProcAttr{Setsid: true, Setctty: true})
	if err != nil {
		t.Fatal(err)
	}
	f = pollable(t, f)
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		f.Close()
		cmd.Wait()
	})
	return f
}

func TestLoginThroughGetty(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		login busybox.Login
		want  error
	}{
		{"no password", busybox.Login{Username: "root"}, nil},
		{"password", busybox.Login{Username: "tester", Password: "geheim 1", LoginPrompt: "login: "}, nil},
		{"wrong password", busybox.Login{Username: "tester", Password: "geheim 2"}, busybox.ErrLoginIncorrect},
		{"unknown user", busybox.Login{Username: "nobody", Password: "s3cret99"}, busybox.ErrLoginIncorrect},
		{"no user name", busybox.Login{}, busybox.ErrLoginRequired},
		{"password not configured", busybox.Login{Username: "tester"}, busybox.ErrLoginRequired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := session(t, getty(t), busybox.WithLogin(tc.login))
			err := s.Login(ctx(t))
			if !errors.Is(err, tc.want) || (err != nil && tc.want == nil) {
				t.Fatalf("Login: %v, want %v", err, tc.want)
			}
			if err != nil {
				if tc.login.Password != "" && strings.Contains(err.Error(), tc.login.Password) {
					t.Errorf("the password is in the error: %v", err)
				}
				t.Log(err)
				return
			}
			if got := run(t, s, "id -u; pwd"); got != "0\n/root\n" {
				t.Errorf("got %q", got)
			}
			if err := s.Interactive(ctx(t)); err != nil {
				t.Fatal(err)
			}
			login(t, s)
			if got := run(t, s, "echo again"); got != "again\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// A shell with every prompt that boards have, and none of them configured.
func TestLoginFindsTheShellWhateverItsPrompt(t *testing.T) {
	t.Parallel()
	bb := testtool.Need(t, "busybox", howBusybox)
	for _, prompt := range []string{"# ", "$ ", "/ # ", "", "ready ", "board> ", "\x1b[1;32mroot@dut\x1b[0m:~# ", "=> ", "login: # "} {
		t.Run(prompt, func(t *testing.T) {
			t.Parallel()
			s := session(t, program(t, bb, "env", "PS1="+prompt, bb, "sh", "-i"))
			login(t, s)
			if got := run(t, s, "echo a"); got != "a\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestLoginOtherShells(t *testing.T) {
	t.Parallel()
	for _, argv := range [][]string{{"dash", "-i"}, {"bash", "-i"}, {"bash", "--posix", "-i"}} {
		t.Run(strings.Join(argv, " "), func(t *testing.T) {
			argv[0] = testtool.Need(t, argv[0], "apt-get install "+argv[0])
			s := session(t, program(t, argv...))
			login(t, s)
			for cmd, want := range map[string]string{"echo a": "a\n", `printf '%s' 'a\nb'`: `a\nb`, "echo \"x\n y\"": "x\n y\n"} {
				if got := run(t, s, cmd); got != want {
					t.Errorf("Run(%q) = %q", cmd, got)
				}
			}
			if _, err := s.Run(ctx(t), "if"); status(err) != 2 {
				t.Errorf("syntax error: %v", err)
			}
			if _, err := s.Run(ctx(t), "exit 5"); status(err) != 5 {
				t.Errorf("exit: %v", err)
			}
			if got := run(t, s, "echo b"); got != "b\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// What the board prints while it boots is full of prompts that are none.
func TestLoginDuringBoot(t *testing.T) {
	t.Parallel()
	bb := testtool.Need(t, "busybox", howBusybox)
	boot := `echo 'U-Boot SPL 2023.01 (Jan 01 2023)'; echo 'U-Boot 2023.01 (Jan 01 2023)'
echo '## Flattened Device Tree blob at 43000000'; printf '#'; sleep 1; echo '# Loading'
echo 'Starting kernel ...'; sleep 1
echo '[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x411fd070]'
echo '[    0.000000] Linux version 6.1.0 (gcc 12)'
printf '[    1.0] login: '; sleep 1; echo 'is what I would print'
`
	for _, tc := range []struct{ name, last string }{
		{"activate", "printf '\nPlease press Enter to activate this console. '; read x; exec sh -i"},
		{"activate, then noise", "printf '\nPlease press Enter to activate this console. '; echo '[    2.123456] random: crng init done'; read x; exec sh -i"},
		{"broken login prompt", "printf 'imx8 l'; printf '[   21.720000] caam: registered\n'; printf 'ogin: '; while :; do read u; [ \"$u\" = root ] && exec sh -i; printf 'imx8 login: '; done"},
		{"login prompt that goes on only after a newline", "while :; do read u; [ \"$u\" = root ] && exec sh -i; printf 'imx8 login: '; done"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := session(t, program(t, bb, "sh", "-c", boot+tc.last), busybox.WithLogin(busybox.Login{Username: "root"}))
			login(t, s)
			if got := run(t, s, "echo a"); got != "a\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}
