//go:build unix

package busybox_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/testtool"
)

// captured returns the console captures of the virtual boards, which
// board.capture has made, whose names end so.
func captured(t *testing.T, ending string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*-" + ending + ".txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures testdata/*-%s.txt: %v", ending, err)
	}
	texts := map[string]string{}
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimSuffix(filepath.Base(p), ".txt")] = string(text)
	}
	return texts
}

// cut is a port whose reads return pieces of any size.
type cut struct {
	*line
	rand *rand.Rand
}

func (c *cut) Read(b []byte) (int, error) {
	return c.line.Read(b[:1+c.rand.IntN(min(len(b), 200))])
}

// What real U-Boot and Linux print on the way leads to the shell, which here is
// a local one that goes on where the capture ends.
func TestReplayedBoots(t *testing.T) {
	t.Parallel()
	bb := testtool.Need(t, "busybox", howBusybox)
	for ending, tc := range map[string]struct {
		login busybox.Login
		argv  []string
	}{
		"shell": {busybox.Login{}, []string{bb, "env", "PS1=/ # ", bb, "sh", "-i"}},
		"getty": {busybox.Login{Username: "root", Password: "pass word"}, []string{bb, "sh", "-c",
			`read u; printf Password:; stty -echo; read p; stty echo; echo; [ "$u,$p" = "root,pass word" ] && exec sh -i; echo 'Login incorrect'; sleep 1000`}},
	} {
		for name, text := range captured(t, ending) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLine(program(t, tc.argv...), 1)
				l.pending = []byte(text)
				s := session(t, &cut{l, rand.New(rand.NewPCG(1, 1))}, busybox.WithLogin(tc.login))
				login(t, s)
				if got := run(t, s, "echo a"); got != "a\n" {
					t.Errorf("got %q", got)
				}
			})
		}
	}
}

// How real boards die is recognised while a command runs.
func TestReplayedDeaths(t *testing.T) {
	t.Parallel()
	for ending, want := range map[string]error{
		"panic": busybox.ErrPanic, "reset-by-sysrq": busybox.ErrReset, "reset-by-reboot": busybox.ErrReset,
	} {
		for name, text := range captured(t, ending) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s, l := noisy(t, 1)
				login(t, s)
				said := false
				err := s.Stream(ctx(t), "echo running; sleep 1000", func([]byte) {
					if !said {
						said = true
						l.take(text)
					}
				})
				if !errors.Is(err, want) || !errors.Is(s.Err(), want) {
					t.Errorf("error %v, want %v", err, want)
				}
			})
		}
	}
}
