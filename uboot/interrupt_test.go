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

// interrupt has a session stop the board's autoboot, in virtual time.
func interrupt(t *testing.T, b *oldBoard, opts ...uboot.Option) (*uboot.Session, error) {
	t.Helper()
	s, err := uboot.New(b.on(t), opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return s, s.Interrupt(ctx)
}

// atPrompt is interrupt for boards that have nothing against it.
func atPrompt(t *testing.T, b *oldBoard, opts ...uboot.Option) *uboot.Session {
	t.Helper()
	s, err := interrupt(t, b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func answers(t *testing.T, s *uboot.Session) {
	t.Helper()
	if out, err := s.Run(t.Context(), "echo here; echo I am"); err != nil || out != "here\nI am" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestStopKeys(t *testing.T) {
	for _, tc := range []struct {
		name, key string
		autoboot  func(*oldBoard) bool
	}{
		{"ESC", "\x1b", anyKey},
		{"space", " ", anyKey},
		{"Enter", "\r", anyKey},
		{"Ctrl-C", "\x03", anyKey},
		{"letter", "s", anyKey},
		{"keyed string", "stop!", keyed("Autoboot in 3 seconds\n", "stop!")},
		{"keyed string without a word", "aab", keyed("", "aab")},
		{"keyed space", " ", keyed("Press SPACE to abort autoboot in 3 seconds\n", " ")},
		{"keyed Ctrl-C", "\x03", keyed("Press Ctrl-C to abort autoboot in 3 seconds\n", "\x03")},
		{"menu left with ESC", "\x1b", bootMenu},
		{"menu left with Ctrl-C", "\x03", bootMenu},
		{"menu with a number for the command line", "4", vendorMenu},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := atPrompt(t, &oldBoard{autoboot: tc.autoboot}, uboot.WithStopKey(tc.key))
				if s.Prompt() != "=> " {
					t.Errorf("prompt %q", s.Prompt())
				}
				answers(t, s)
			})
		})
	}
}

func TestStopKeyIsTheWrongOne(t *testing.T) {
	for _, tc := range []struct {
		name, key string
		autoboot  func(*oldBoard) bool
	}{
		{"ESC on a keyed autoboot", "\x1b", keyed("Autoboot in 3 seconds\n", "stop!")},
		{"no autoboot at all", "\x1b", func(*oldBoard) bool { return false }},
		{"Enter in a menu", "\r", bootMenu},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := interrupt(t, &oldBoard{autoboot: tc.autoboot}, uboot.WithStopKey(tc.key))
				wantError(t, err, uboot.ErrPastBootloader, "interrupt", "Starting kernel ...")
			})
		})
	}
}

// wantError checks that an error is what it should be and carries the step and the
// last console lines.
func wantError(t *testing.T, err, is error, op, tail string) {
	t.Helper()
	var own *uboot.Error
	if !errors.Is(err, is) || !errors.As(err, &own) {
		t.Errorf("got %v, want an *Error with %v", err, is)
		return
	}
	if own.Op != op || !strings.Contains(own.Tail, tail) || strings.ContainsAny(own.Tail, "\x1b\r") {
		t.Errorf("step %q, console lines %q, want %q and %q", own.Op, own.Tail, op, tail)
	}
}

func TestPrompts(t *testing.T) {
	for _, prompt := range uboot.DefaultPrompts() {
		t.Run("default "+prompt, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := atPrompt(t, &oldBoard{prompt: prompt})
				if s.Prompt() != prompt {
					t.Errorf("prompt %q", s.Prompt())
				}
				answers(t, s)
			})
		})
	}
	for _, tc := range []struct {
		name, prompt string
		opts         []uboot.Option
	}{
		{"learnt", "board-42 # ", nil},
		{"learnt, with a blank in it", "my board> ", nil},
		{"learnt, coloured", "\x1b[32mboard>\x1b[0m ", nil},
		{"named", "vendor$ ", []uboot.Option{uboot.WithPrompts("other> ", "vendor$ ")}},
		{"another than the named one", "vendor$ ", []uboot.Option{uboot.WithPrompts("other> ")}},
		{"learnt, and no UTF-8", "\xbdger\xe4t> ", nil},
		{"named, and no UTF-8", "ger\xe4t> ", []uboot.Option{uboot.WithPrompts("ger\xe4t> ")}},
		{"one character", "> ", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := atPrompt(t, &oldBoard{prompt: tc.prompt}, tc.opts...)
				if s.Prompt() != tc.prompt {
					t.Errorf("prompt %q, want %q", s.Prompt(), tc.prompt)
				}
				answers(t, s)
			})
		})
	}
}

// TestPromptIsNoProof has something look like a prompt that is none.
func TestPromptIsNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(b *oldBoard) bool {
			b.print("=> not yet\n=> ")
			b.key(forever)
			time.Sleep(20 * time.Second) // deaf, as in DDR training
			for len(b.keys) > 0 {
				<-b.keys
			}
			return anyKey(b)
		}
		answers(t, atPrompt(t, &oldBoard{autoboot: slow}))
	})
}

func TestPassword(t *testing.T) {
	const secret = "s3cret-of-the-lab"
	for _, tc := range []struct {
		name string
		opts []uboot.Option
		is   error
	}{
		{"given", []uboot.Option{uboot.WithPassword(secret)}, nil},
		{"stop keys before the question", []uboot.Option{uboot.WithPassword(secret), uboot.WithStopInterval(time.Millisecond)}, nil},
		{"not given", nil, uboot.ErrPassword},
		{"wrong", []uboot.Option{uboot.WithPassword("wrong-of-the-lab")}, uboot.ErrPassword},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &oldBoard{autoboot: password(secret)}
				s, err := interrupt(t, b, tc.opts...)
				if tc.is != nil {
					wantError(t, err, tc.is, "interrupt", "enter Password:")
					if strings.Contains(err.Error(), "of-the-lab") {
						t.Errorf("the password is in the error: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				answers(t, s)
				b.con.Close() // the transcript is complete then
				if strings.Contains(b.seen.String(), secret) {
					t.Error("the password is in the transcript")
				}
			})
		})
	}
}

// dead is a board that listens to nothing.
func dead(b *oldBoard) bool {
	for {
		b.key(forever)
	}
}

// TestAutobootText is for builds that keep only the hash of the stop string.
func TestAutobootText(t *testing.T) {
	const secret = "s3cret-of-the-lab"
	wait := uboot.WithAutobootText("stop string within")
	hide := uboot.WithPassword(secret)
	for _, tc := range []struct {
		name  string
		board oldBoard
		opts  []uboot.Option
		is    error
	}{
		{"sha256", oldBoard{autoboot: hashed(secret, false)}, []uboot.Option{wait, hide, uboot.WithStopKey(secret)}, nil},
		{"crypt", oldBoard{autoboot: hashed(secret, true)}, []uboot.Option{wait, hide, uboot.WithStopKey(secret + "\r")}, nil},
		{"wrong", oldBoard{autoboot: hashed(secret, false)}, []uboot.Option{wait, hide, uboot.WithStopKey("wrong-of-the-lab")}, uboot.ErrPastBootloader},
		{"the text never comes", oldBoard{autoboot: dead}, []uboot.Option{wait, hide, uboot.WithStopKey(secret)}, uboot.ErrNoPrompt},
		{"at the prompt without the text", oldBoard{autoboot: func(*oldBoard) bool { return true }}, []uboot.Option{wait}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := interrupt(t, &tc.board, tc.opts...)
				if tc.is != nil {
					wantError(t, err, tc.is, "interrupt", "")
					if strings.Contains(err.Error(), "of-the-lab") {
						t.Errorf("the stop string is in the error: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				answers(t, s)
				tc.board.con.Close()
				if strings.Contains(tc.board.seen.String(), secret) {
					t.Error("the stop string is in the transcript")
				}
			})
		})
	}
}

// TestBootsWhileProving has the board boot at the very time when a marker is tried
// on it, because it was silent for a while; that must not be missed.
func TestBootsWhileProving(t *testing.T) {
	for d := 2900 * time.Millisecond; d < 3500*time.Millisecond; d += 10 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			late := func(b *oldBoard) bool { time.Sleep(d); return false }
			_, err := interrupt(t, &oldBoard{autoboot: late})
			wantError(t, err, uboot.ErrPastBootloader, "interrupt", "Starting kernel")
		})
	}
}

// TestAtPromptAlready opens the console when the board has long said what it had
// to say.
func TestAtPromptAlready(t *testing.T) {
	for _, opts := range [][]uboot.Option{nil, {uboot.WithStopKey(" ")}, {uboot.WithAutobootText("autoboot")}} {
		synctest.Test(t, func(t *testing.T) {
			answers(t, atPrompt(t, &oldBoard{mute: true, autoboot: func(*oldBoard) bool { return true }}, opts...))
		})
	}
}

func TestNoPrompt(t *testing.T) {
	for _, tc := range []struct {
		name   string
		board  oldBoard
		is     error
		tail   string
		expire bool // it ends with the deadline
	}{
		{"a glitch of the line", oldBoard{before: "\x00", autoboot: dead}, uboot.ErrSilent, "", true},
		{"a banner, then nothing", oldBoard{autoboot: dead}, uboot.ErrNoPrompt, "FEC ETHERNET", true},
		{"the system asks for a login", oldBoard{before: "Debian GNU/Linux 12 dut ttyS0\n\ndut login: ", autoboot: dead}, uboot.ErrPastBootloader, "dut login: ", false},
		{"the kernel talks", oldBoard{before: "[    0.000000] Linux version 6.1.0\n", autoboot: dead}, uboot.ErrPastBootloader, "Linux version 6", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := interrupt(t, &tc.board)
				wantError(t, err, tc.is, "interrupt", tc.tail)
				if errors.Is(err, context.DeadlineExceeded) != tc.expire {
					t.Errorf("a timeout should be %v: %v", tc.expire, err)
				}
			})
		})
	}
	t.Run("silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, err := interrupt(t, &oldBoard{autoboot: dead, mute: true})
			wantError(t, err, uboot.ErrSilent, "interrupt", "")
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, uboot.ErrNoPrompt) {
				t.Errorf("got %v", err)
			}
		})
	})
}

func TestInterruptCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := uboot.New((&oldBoard{autoboot: dead}).on(t))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		tired := errors.New("nobody wants it any more")
		time.AfterFunc(time.Minute, func() { cancel(tired) })
		err = s.Interrupt(ctx)
		wantError(t, err, context.Canceled, "interrupt", "FEC ETHERNET")
		if !errors.Is(err, tired) || errors.Is(err, uboot.ErrNoPrompt) {
			t.Errorf("got %v", err)
		}
	})
}

// TestTimestamps is for builds that put the time before every line.
func TestTimestamps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := atPrompt(t, &oldBoard{stamps: true})
		if s.Prompt() != "=> " {
			t.Errorf("prompt %q", s.Prompt())
		}
		answers(t, s)
		if err := s.SetEnv(t.Context(), "bootargs", "console=ttyS0 quiet"); err != nil {
			t.Error(err)
		}
		if got, err := s.Env(t.Context(), "bootargs"); err != nil || got != "console=ttyS0 quiet" {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := s.Env(t.Context(), "none"); !errors.Is(err, uboot.ErrNotDefined) {
			t.Error(err)
		}
		if _, err := s.Run(t.Context(), "nosuchcommand"); !errors.Is(err, uboot.ErrUnknownCommand) {
			t.Error(err)
		}
	})
}
