package uboot_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/uboot"
)

// live is a session at the prompt of a real build, with minutes to go.
func live(t *testing.T, b build, dir string, opts ...uboot.Option) (context.Context, *uboot.Session, *console.Console) {
	t.Helper()
	con := start(t, b, dir, nil)
	s, err := uboot.New(con, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	if err := s.Interrupt(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx, s, con
}

// TestRealStopKeys stops the autoboot of a real build, which any key does.
func TestRealStopKeys(t *testing.T) {
	for name, key := range map[string]string{"ESC": "\x1b", "space": " ", "Enter": "\r", "Ctrl-C": "\x03", "string": "stop"} {
		t.Run(name, func(t *testing.T) {
			_, s, _ := live(t, builds[0], t.TempDir(), uboot.WithStopKey(key))
			answers(t, s)
		})
	}
}

// TestRealRefusals has a real build without a network interface say no.
func TestRealRefusals(t *testing.T) {
	b := builds[0]
	b.nic = ""
	ctx, s, _ := live(t, b, t.TempDir())
	_, err := s.DHCP(ctx)
	wantError(t, err, uboot.ErrNoEthernet, "dhcp", "No ethernet found")
	_, err = s.TFTPBoot(ctx, uboot.File{Name: "x", Address: b.ram, Size: -1})
	wantError(t, err, uboot.ErrNoEthernet, "tftp", "No ethernet found")
	_, err = s.Run(ctx, "setenv a=b 1")
	var status *uboot.CommandError
	if !errors.As(err, &status) || !strings.Contains(status.Output, "## Error: illegal character") {
		t.Errorf("got %v", err)
	}
	wantError(t, err, status, "run", "illegal character")
	// What hush takes for the beginning of something, or for nothing, is not waited for.
	for cmd, says := range map[string]string{
		`echo 'a`: "does not end", `echo "a`: "does not end", "echo ${a": "does not end", `echo "it's"`: "does not end",
		"if true; then echo a": "does not end", "then": "does not understand", "echo a | echo b": "does not understand", "echo a &": "does not understand",
	} {
		if out, err := s.Run(ctx, cmd); err == nil || !strings.Contains(err.Error(), says) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %q, %v", cmd, out, err)
		}
		answers(t, s)
	}
	for cmd, want := range map[string]string{"echo a # it's": "a", "echo a;# b": "a", "echo a#b '#' \"#\" \\#": "a#b # # #", "# nothing": "", "echo a ||": "a"} {
		if out, err := s.Run(ctx, cmd); err != nil || out != want {
			t.Errorf("%s: %q, %v", cmd, out, err)
		}
	}
}

// TestRealRandomValues brings random text of what shells and parsers look at into
// the environment of a real build, and back.
func TestRealRandomValues(t *testing.T) {
	const alphabet = `''""\\$${}();;&|<># *?[]~!=-nx0 `
	ctx, s, _ := live(t, builds[0], t.TempDir())
	const message = `## Error: "x" not defined`
	if err := s.SetEnv(ctx, "x", message); err != nil {
		t.Error(err)
	}
	if got, err := s.Env(ctx, "x"); err != nil || got != message {
		t.Errorf("a value that looks like an error: %q, %v", got, err)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	refused := 0
	for i := range 150 {
		value := make([]byte, 1+random.IntN(60))
		if i%10 == 0 {
			value = make([]byte, 100+random.IntN(200))
		}
		for i := range value {
			value[i] = alphabet[random.IntN(len(alphabet))]
		}
		err := s.SetEnv(ctx, "x", string(value))
		if errors.Is(err, uboot.ErrLineTooLong) {
			refused++
			continue
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if got, err := s.Env(ctx, "x"); err != nil || got != string(value) {
			t.Fatalf("seed %d: set %q, got %q, %v", seed, value, got, err)
		}
	}
	if refused > 30 {
		t.Errorf("seed %d: %d of 150 were refused", seed, refused)
	}
}

// TestRealBadLine types to a real build over a line that loses one character in a
// hundred of what is typed: every command is right.
func TestRealBadLine(t *testing.T) {
	beside(t)
	b := builds[0]
	line := &badLine{typed: each(0.01, rand.Uint64(), dropped)}
	b.line = line.between
	ctx, s, _ := live(t, b, t.TempDir())
	line.turn(true)
	for i := range 50 {
		text := fmt.Sprintf("%d %x mmc write %d", i, i*i, i<<9)
		if out, err := s.Run(ctx, "echo "+text); err != nil || out != text {
			t.Errorf("echo %s: %q, %v", text, out, err)
		}
		if _, err := s.Run(ctx, "setenv x '"+text+"'"); err != nil {
			t.Errorf("setenv x '%s': %v", text, err)
		}
		if got, err := s.Env(ctx, "x"); err != nil || got != text {
			t.Errorf("set %q, got %q, %v", text, got, err)
		}
	}
}
