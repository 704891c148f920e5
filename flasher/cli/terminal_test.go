//go:build !windows

package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	expect "github.com/Netflix/go-expect"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/cli"
	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/flasher/flashertest"
	"github.com/dutflash/dutflash/power"
)

// person is somebody at a terminal with a simulated board.
type person struct {
	*expect.Console
	board *flashertest.Board
	dir   string
	opts  []cli.Option
	ended atomic.Value // how the last command did, once it has
}

// sitDown gives the person a board of the board file, and an image.
func sitDown(t *testing.T, opts ...flashertest.Option) *person {
	t.Helper()
	b, err := flashertest.NewBoard(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	c, err := expect.NewConsole(expect.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p := &person{Console: c, board: b, dir: t.TempDir()}
	if err := b.WriteBundle(filepath.Join(p.dir, "bundle")); err != nil {
		t.Fatal(err)
	}
	boards := fmt.Sprintf("boards:\n  sim:\n    flasher_bundle: %s/bundle\n    cache_dir: %[1]s/cache\n    cycle_wait: 1ms\n    serial: {type: simulated}\n    power: {type: simulated}\n", p.dir)
	for name, content := range map[string]string{"boards.yaml": boards, "image.raw": strings.Repeat("some of an image", 1<<19)} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.opts = []cli.Option{
		cli.WithFlasher(flasher.WithNetwork(b.Network())),
		cli.WithConfig(
			config.WithSerial("simulated", func(config.Settings) (flasher.OpenConsole, error) { return b.Open, nil }),
			config.WithPower("simulated", func(config.Settings) (power.Controller, error) { return b, nil }),
		),
	}
	return p
}

// runs starts the command on the person's terminal.
func (p *person) runs(ctx context.Context, args ...string) <-chan error {
	cmd := cli.New(p.opts...)
	cmd.SetArgs(append(args, "--config", filepath.Join(p.dir, "boards.yaml")))
	cmd.SetIn(p.Tty())
	cmd.SetOut(p.Tty())
	cmd.SetErr(p.Tty())
	done := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(ctx)
		p.ended.Store(fmt.Sprintf("the command has ended: %v", err))
		done <- err
	}()
	return done
}

func (p *person) sees(t *testing.T, text string) {
	t.Helper()
	if got, err := p.ExpectString(text); err != nil {
		t.Fatalf("%q was not shown: %v (%v); this was:\n%s", text, err, p.ended.Load(), got)
	}
}

func (p *person) types(t *testing.T, text string) {
	t.Helper()
	if _, err := p.Send(text); err != nil {
		t.Fatal(err)
	}
}

func (p *person) isOff(t *testing.T) {
	t.Helper()
	if on, _ := p.board.State(t.Context()); on {
		t.Error("the board was left on")
	}
}

func TestFlashOnATerminal(t *testing.T) {
	p := sitDown(t)
	done := p.runs(t.Context(), "flash", filepath.Join(p.dir, "image.raw"))
	p.sees(t, "bootloader ...")
	p.sees(t, "\x1b[32mbootloader ") // it is over, and in green
	p.sees(t, "MB")
	p.sees(t, "% |") // a bar
	p.sees(t, "/dev/mmcblk0 holds the image (proved, sha256 ")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.isOff(t)
}

// TestPlainTerminal: what a terminal is not able or not allowed to show, it is spared.
func TestPlainTerminal(t *testing.T) {
	for _, tc := range []struct {
		name, variable, value string
		args                  []string
		sees, not             string
	}{
		{"no colours", "NO_COLOR", "1", nil, "bootloader ...", "\x1b[32m"},
		{"dumb", "TERM", "dumb", nil, "\nbootloader\r\n", "\x1b"},
		{"with a log", "NO_COLOR", "", []string{"-v"}, "level=INFO", "\x1b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("TERM", "xterm")
			t.Setenv("NO_COLOR", "")
			t.Setenv(tc.variable, tc.value)
			p := sitDown(t)
			done := p.runs(t.Context(), append([]string{"flash", filepath.Join(p.dir, "image.raw")}, tc.args...)...)
			seen, err := p.ExpectString("done in ")
			if err != nil || !strings.Contains(seen, tc.sees) || strings.Contains(seen, tc.not) {
				t.Errorf("%v; want %q and no %q in:\n%q", err, tc.sees, tc.not, seen)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestTranscript has what the board printed since power on, and not the password.
func TestTranscript(t *testing.T) {
	for _, args := range [][]string{{"busybox-shell"}, {"bootloader-shell"}, {"flash"}, {"dump"}} {
		t.Run(args[0], func(t *testing.T) {
			p := sitDown(t, flashertest.WithLogin(flashertest.Login{Username: "root", Password: "s3cr3t-pass"}))
			transcript := filepath.Join(p.dir, "transcript")
			switch args[0] {
			case "flash":
				args = append(args, filepath.Join(p.dir, "image.raw"))
			case "dump":
				args = append(args, filepath.Join(p.dir, "dump.raw"))
			}
			done := p.runs(t.Context(), append(args, "--transcript", transcript)...)
			if strings.HasSuffix(args[0], "shell") {
				p.sees(t, "Ctrl-]")
				p.types(t, "echo s3cr3t-pass\r\x1d")
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(transcript)
			if err != nil || !strings.Contains(string(text), "U-Boot") {
				t.Errorf("%v; it does not begin with power on: %.200q", err, text)
			}
			if bytes.Contains(text, []byte("s3cr3t-pass")) {
				t.Error("the password is in the transcript")
			}
		})
	}
}

func TestShellsOnATerminal(t *testing.T) {
	for _, tc := range []struct{ command, typed, shown string }{
		{"bootloader-shell", "printenv loadaddr\r", "loadaddr=0x40200000"},
		{"busybox-shell", "echo $((6 * 7)) bytes\r", "42 bytes"},
	} {
		t.Run(tc.command, func(t *testing.T) {
			p := sitDown(t)
			transcript := filepath.Join(p.dir, "transcript")
			done := p.runs(t.Context(), tc.command, "--transcript", transcript)
			p.sees(t, "Ctrl-]")
			p.types(t, tc.typed)
			p.sees(t, tc.shown)
			p.types(t, "\x1d")
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			p.isOff(t)
			if text, err := os.ReadFile(transcript); err != nil || !strings.Contains(string(text), tc.shown) {
				t.Errorf("transcript: %v, %q", err, text)
			}
		})
	}
}

// TestWindowSize: the board's shell hears how large the terminal is.
func TestWindowSize(t *testing.T) {
	p := sitDown(t)
	if err := pty.Setsize(p.Tty(), &pty.Winsize{Rows: 31, Cols: 117}); err != nil {
		t.Fatal(err)
	}
	transcript := filepath.Join(p.dir, "transcript")
	done := p.runs(t.Context(), "busybox-shell", "--transcript", transcript)
	p.sees(t, "Ctrl-]")
	p.types(t, "\x1d")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(transcript); err != nil || !strings.Contains(string(text), "stty rows 31 cols 117") {
		t.Errorf("the board was not told (%v)", err)
	}
	p.isOff(t)
}

// TestConsoleDebugInAShell: what the board says is shown until the person is attached,
// who would see it twice.
func TestConsoleDebugInAShell(t *testing.T) {
	p := sitDown(t)
	done := p.runs(t.Context(), "bootloader-shell", "--console-debug")
	p.sees(t, "U-Boot 20")
	p.sees(t, "Ctrl-]")
	p.types(t, "echo on''ce\r")
	p.sees(t, "once\r\n")
	p.types(t, "\x1d")
	after, err := p.ExpectString("[left the console]")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(after, "once") {
		t.Errorf("the person sees it twice, the second time in %q", after)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.isOff(t)
}

// TestTerminalIsResized: the shell is told the new size where it waits for a line, and
// a program that runs is not.
func TestTerminalIsResized(t *testing.T) {
	p := sitDown(t)
	resize := func(rows, cols uint16) {
		t.Helper()
		if err := pty.Setsize(p.Tty(), &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
			t.Fatal(err)
		}
	}
	resize(31, 117)
	transcript := filepath.Join(p.dir, "transcript")
	done := p.runs(t.Context(), "busybox-shell", "--transcript", transcript)
	p.sees(t, "# ")
	resize(40, 90)
	p.sees(t, "stty rows 40 cols 90")
	p.sees(t, "# ")
	p.types(t, "cd /tmp\r")
	p.sees(t, "# ")
	p.types(t, "cat\r")
	p.sees(t, "cat\r\n")
	resize(50, 100)
	p.types(t, "into the program\r")
	p.sees(t, "into the program\r\ninto the program\r\n")
	time.Sleep(2 * time.Second) // longer than a shell that waits would be left alone
	p.types(t, "\x04")
	p.sees(t, "# ")
	p.types(t, "echo 'it'' is over'\r")
	p.sees(t, "it is over\r\n")
	p.sees(t, "stty rows 50 cols 100")
	p.types(t, "\x1d")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(transcript)
	if over, told := strings.Index(string(text), "it is over"), strings.Index(string(text), "stty rows 50"); err != nil || over < 0 || told < over {
		t.Errorf("the program was told the size: %v\n%s", err, text)
	}
	p.isOff(t)
}

// TestBusyPort: the program that holds the serial port is named, and nothing is
// switched.
func TestBusyPort(t *testing.T) {
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	if err := unix.Flock(int(tty.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { // as tio and picocom do
		t.Fatal(err)
	}
	dir := t.TempDir()
	boards := filepath.Join(dir, "boards.yaml")
	text := fmt.Sprintf("boards:\n  a:\n    board: rcar-s4\n    serial: %s\n    power: {type: command, on: touch %s/touched, off: touch %[2]s/touched}\n", tty.Name(), dir)
	if err := os.WriteFile(boards, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := cli.New()
	cmd.SetArgs([]string{"console", "--config", boards})
	cmd.SetOut(t.Output())
	err = cmd.ExecuteContext(t.Context())
	if cli.ExitCode(err) != 5 || !strings.Contains(err.Error(), "port is busy") || !strings.Contains(err.Error(), tty.Name()) {
		t.Errorf("exit code %d of %v, want 5 and the port", cli.ExitCode(err), err)
	}
	if runtime.GOOS == "linux" && !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("%v does not name the program that holds it", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "touched")); err == nil {
		t.Error("the board was touched")
	}
}

func TestConsoleLeavesThePower(t *testing.T) {
	p := sitDown(t)
	if err := p.board.On(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := p.runs(t.Context(), "console")
	p.sees(t, "Ctrl-]")
	p.types(t, " \x03printenv arch\r")
	p.sees(t, "arch=sim")
	p.types(t, "\x1d")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if on, _ := p.board.State(t.Context()); !on {
		t.Error("the board was switched off")
	}
}

// TestInterrupt is Ctrl-C once: the flash stops, and the board is off.
func TestInterrupt(t *testing.T) {
	p := sitDown(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := p.runs(ctx, "flash", filepath.Join(p.dir, "image.raw"))
	p.sees(t, "network")
	cancel()
	if err := <-done; cli.ExitCode(err) != 130 {
		t.Errorf("exit code %d of %v, want 130", cli.ExitCode(err), err)
	}
	p.isOff(t)
}

// TestBoardFailures: the exit code says whose fault it was.
func TestBoardFailures(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults flashertest.Faults
		load   string
		code   int
	}{
		{"no Ethernet, TFTP only", flashertest.Faults{NoEthernet: true}, "tftp", 6},
		{"no Ethernet, small files", flashertest.Faults{NoEthernet: true}, "auto", 0},
		{"disk that flips bits", flashertest.Faults{FlipAt: []int64{12345}}, "auto", 8},
		{"write error", flashertest.Faults{WriteErrorAt: 4096}, "auto", 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := sitDown(t, flashertest.WithFaults(tc.faults))
			cmd := cli.New(p.opts...)
			cmd.SetArgs([]string{"flash", filepath.Join(p.dir, "image.raw"), "--retries", "0", "--load", tc.load, "--config", filepath.Join(p.dir, "boards.yaml")})
			cmd.SetOut(t.Output())
			cmd.SetErr(t.Output())
			if err := cmd.ExecuteContext(t.Context()); cli.ExitCode(err) != tc.code {
				t.Errorf("exit code %d of %v, want %d", cli.ExitCode(err), err, tc.code)
			}
			p.isOff(t)
		})
	}
}
