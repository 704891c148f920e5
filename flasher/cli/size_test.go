//go:build !windows

package cli

import (
	"io"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/spf13/cobra"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
)

// TestPassSizeAgain: the line that follows an answer can be quicker than the prompt,
// and is then echoed before it.
func TestPassSizeAgain(t *testing.T) {
	b, err := flashertest.NewBoard()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	bundle := t.TempDir()
	if err := b.WriteBundle(bundle); err != nil {
		t.Fatal(err)
	}
	f, err := flasher.New(b.Open, b, bundle, flasher.WithNetwork(b.Network()), flasher.WithCacheDir(t.TempDir()), flasher.WithCycleWait(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	sh, err := f.BusyboxShell(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sh.Close()
	if err := sh.Interactive(t.Context()); err != nil {
		t.Fatal(err)
	}
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	go io.Copy(io.Discard, master)
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 31, Cols: 117}); err != nil {
		t.Fatal(err)
	}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetOut(tty)
	for i := range 1000 {
		told, prompt, err := passSize(cmd, sh.Console())
		if err != nil {
			t.Fatalf("after %d times: %v", i, err)
		}
		if told != (size{117, 31}) || prompt == nil || !prompt.MatchString("# ") {
			t.Fatalf("after %d times: %v, prompt %v", i, told, prompt)
		}
	}
}

func TestPromptIn(t *testing.T) {
	for _, tc := range []struct{ name, shown, idle, other string }{
		{"at the prompt", "/ # echo 'prompt'' is known'\r\n", "/ # ", "# "},
		{"before the prompt, echoed by the terminal alone", "echo 'prompt'' is known'\r\n/ # ", "/ # ", "# "},
		{"before the prompt, echoed by the shell too", "echo 'prompt'' is known'\r\n/ # echo 'prompt'' is known'\r\n", "/ # ", "# "},
		{"in another directory", "/ # echo 'prompt'' is known'\r\n", "/tmp # ", "/tmp $ "},
		{"in Latin-1", "ger\xe4t:/ # echo 'prompt'' is known'\r\n", "ger\xe4t:/tmp # ", "gerat:/tmp # "},
		{"behind a message of the kernel", "[    4.2] usb 1-1: new device\r\n# echo 'prompt'' is known'\r\n", "# ", "[    4.2] usb 1-1: new device"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			prompt := promptOf(promptIn(tc.shown), "/")
			if prompt == nil || !prompt.MatchString(tc.idle) || prompt.MatchString(tc.other) {
				t.Errorf("%v for %q and not for %q", prompt, tc.idle, tc.other)
			}
		})
	}
	for _, shown := range []string{"", "echo 'pro# mpt'' is known'\r\n", "echo 'prompt'' is known'\r\n"} {
		if prompt := promptOf(promptIn(shown), "/"); prompt != nil {
			t.Errorf("%v is no prompt of %q", prompt, shown)
		}
	}
}
