package uboot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/uboot"
)

// act is a command that must not be run with other arguments, nor twice.
func act(*oldBoard, []string) {}

// ownEcho is the echo of a marker, or the beginning of one that was damaged and cut off,
// which prints a word at most.
var ownEcho = regexp.MustCompile(`^\S{1,5}( \S*)?$`)

// asked is what the board ran of act since then, and what it ran besides what the
// session itself types.
func asked(b *oldBoard, from int) (acts, other []string) {
	for _, cmd := range b.ran[from:] {
		switch word, _, _ := strings.Cut(cmd, " "); {
		case word == "act":
			acts = append(acts, cmd)
		case !ownEcho.MatchString(cmd) && !strings.HasPrefix(cmd, "setenv _"):
			other = append(other, cmd)
		}
	}
	return acts, other
}

// TestBadLine types commands over serial lines of many kinds: the board runs what was
// asked for, once, or nothing, and the session knows which.
func TestBadLine(t *testing.T) {
	for _, tc := range []struct {
		name           string
		typed, printed func([]byte) []byte
		most           int // how many of the commands may fail with hush
	}{
		{"good", nil, nil, 0},
		{"1 in 100 typed is lost", each(0.01, 1, dropped), nil, 0},
		{"5 in 100 typed are lost", each(0.05, 2, dropped), nil, 15},
		{"1 in 100 typed is repeated", each(0.01, 3, repeated), nil, 0},
		{"1 in 100 typed has a wrong bit", each(0.01, 4, flipped), nil, 5},
		{"1 in 100 typed is something else", each(0.01, 5, replaced), nil, 5},
		{"1 in 500 typed is Enter", each(0.002, 6, entered), nil, 15},
		{"1 in 500 printed is lost", nil, each(0.002, 7, dropped), 15},
		{"1 in 500 is lost both ways", each(0.002, 8, dropped), each(0.002, 9, dropped), 15},
		{"1 in 500 printed has a line of noise before", nil, each(0.002, 10, noise), 15},
	} {
		for _, modern := range []bool{true, false} {
			name := tc.name
			if !modern {
				name += ", no hush"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					line := &badLine{typed: tc.typed, printed: tc.printed}
					b := &oldBoard{modern: modern, commands: map[string]func(*oldBoard, []string){"act": act}, line: line.between}
					s := atPrompt(t, b)
					line.turn(true)
					failed := 0
					for i := range 50 {
						before := len(b.ran)
						cmd := fmt.Sprintf("act %d M-J*m %04x", i, i*i)
						ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
						_, err := s.Run(ctx, cmd)
						cancel()
						synctest.Wait()
						acts, other := asked(b, before)
						once := len(acts) == 1 && acts[0] == cmd
						early := errors.Is(err, uboot.ErrEarlyEnter) && !modern
						if err != nil {
							failed++
						}
						switch {
						case err == nil && once, errors.Is(err, uboot.ErrEcho) && acts == nil,
							early && len(acts) <= 1,
							errors.Is(err, context.DeadlineExceeded) && (acts == nil || once):
						default:
							t.Errorf("asked for %q, the board ran %q: %v", cmd, acts, err)
						}
						if other != nil && !early {
							t.Errorf("asked for %q, the board also ran %q: %v", cmd, other, err)
						}
						if err != nil {
							line.turn(false)
							if err := s.Interrupt(t.Context()); err != nil {
								t.Fatal(err)
							}
							line.turn(true)
						}
					}
					t.Logf("%d of 50 failed", failed)
					if modern && failed > tc.most {
						t.Errorf("%d of 50 failed", failed)
					}
				})
			})
		}
	}
}

// TestBadKeys has one thing go wrong, which is mended.
func TestBadKeys(t *testing.T) {
	for _, tc := range []struct {
		name           string
		typed, printed func([]byte) []byte
	}{
		{"an Enter is lost", first(1, '\r', dropped), nil},
		{"two Enters are lost", first(2, '\r', dropped), nil},
		{"Enter comes twice", first(1, '\r', repeated), nil},
		{"Enter is another character", first(1, '\r', letterM), nil},
		{"a character is lost", first(1, 'm', dropped), nil},
		{"a character is lost twice", first(2, 'm', dropped), nil},
		{"the last character is lost", first(1, ';', dropped), nil},
		{"a character is Enter", first(1, 'm', entered), nil},
		{"a character is another", first(1, 'm', letterM), nil},
		{"an echo is lost", nil, first(1, 'm', dropped)},
		{"an echo is repeated", nil, first(1, 'm', repeated)},
		{"an echo is lost twice", nil, first(2, 'm', dropped)},
		{"noise in the echo", nil, first(1, 'm', noise)},
		{"an echo is lost, and so are Ctrl-Cs", first(4, 0x03, dropped), first(1, 'm', dropped)},
		{"an echo is lost, and so are keys of the line editor", first(2, 0x05, dropped), first(2, 'm', dropped)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := &badLine{typed: tc.typed, printed: tc.printed}
				b := &oldBoard{modern: true, commands: map[string]func(*oldBoard, []string){"act": act}, line: line.between}
				s := atPrompt(t, b)
				line.turn(true)
				before := len(b.ran)
				if _, err := s.Run(t.Context(), "act mmc"); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if acts, other := asked(b, before); len(acts) != 1 || acts[0] != "act mmc" || other != nil {
					t.Errorf("the board ran %q and %q", acts, other)
				}
				answers(t, s)
			})
		})
	}
}

// TestErrEcho is for lines on which a command cannot be typed.
func TestErrEcho(t *testing.T) {
	const secret = "hunmter2"
	for _, tc := range []struct {
		name   string
		typed  func([]byte) []byte
		cmd    string
		says   string
		isGone bool
	}{
		{"never comes", first(1000, 'm', dropped), "act mmc", `came back "if echo '`, false},
		{"always another", first(1000, 'm', func(byte, *rand.Rand) []byte { return []byte("n") }), "act mmc", `then act nnc`, false},
		{"a secret", first(1000, 'm', dropped), "act " + secret, "because of a secret in it", false},
		{"unplugged", each(1, 1, dropped), "act mmc", "nothing came back, and cannot be typed again; ", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := &badLine{typed: tc.typed}
				b := &oldBoard{modern: true, commands: map[string]func(*oldBoard, []string){"act": act}, line: line.between}
				s := atPrompt(t, b)
				b.con.AddSecret(secret)
				line.turn(true)
				before := len(b.ran)
				_, err := s.Run(t.Context(), tc.cmd)
				wantError(t, err, uboot.ErrEcho, "run", "")
				for _, text := range []string{tc.says, "nothing was run", "baud rate"} {
					if err != nil && !strings.Contains(err.Error(), text) {
						t.Errorf("%v does not say %q", err, text)
					}
				}
				if err != nil && tc.cmd != "act mmc" && strings.Contains(strings.ReplaceAll(err.Error(), tc.cmd, ""), "hun") {
					t.Errorf("a part of the secret is in %v", err)
				}
				synctest.Wait()
				if ran := b.ran[before:]; len(ran) > 0 {
					t.Errorf("the board ran %q", ran)
				}
				line.turn(false)
				if !tc.isGone {
					answers(t, s)
				} else if err := s.Interrupt(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestEarlyEnter has a command broken off by a character that arrives as Enter: hush
// runs nothing of it, and what another shell ran of it is an error.
func TestEarlyEnter(t *testing.T) {
	for _, modern := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			line := &badLine{typed: first(1, '-', entered)}
			b := &oldBoard{modern: modern, commands: map[string]func(*oldBoard, []string){"act": act}, line: line.between}
			s := atPrompt(t, b)
			line.turn(true)
			_, err := s.Run(t.Context(), "act 12-34")
			acts, _ := asked(b, 0)
			switch {
			case modern && (err != nil || len(acts) != 1 || acts[0] != "act 12-34"):
				t.Errorf("with hush: %q, %v", acts, err)
			case !modern && len(acts) != 1:
				t.Errorf("without: %q", acts)
			case !modern:
				wantError(t, err, uboot.ErrEarlyEnter, "run", "act 12")
				if errors.Is(err, uboot.ErrEcho) {
					t.Errorf("it is said that nothing was run: %v", err)
				}
			}
			answers(t, s)
		})
	}
}

// TestNoEcho is for lines on which nothing of what is typed comes back, and for those on
// which it does twice.
func TestNoEcho(t *testing.T) {
	for _, tc := range []struct {
		name  string
		board oldBoard
		echo  bool
	}{
		{"an echo", oldBoard{}, true},
		{"none", oldBoard{noEcho: true}, false},
		{"two", oldBoard{line: echoing}, false},
		{"late", oldBoard{line: late}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				s := atPrompt(t, &tc.board, uboot.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				_, err := s.Run(t.Context(), "setenv x 1")
				if err != nil {
					t.Error(err)
				}
				if tc.board.env["x"] != "1" {
					t.Errorf("the board's variables are %q", tc.board.env)
				}
				warned := strings.Contains(log.String(), "does not echo")
				if warned == tc.echo || !strings.Contains(log.String(), fmt.Sprintf("echo=%v", tc.echo)) {
					t.Errorf("the log is %s", log.String())
				}
			})
		})
	}
}
