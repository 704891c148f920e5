package console_test

import (
	"context"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/console"
)

const uboot = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"

// emulator is the serial line of a board in QEMU.
type emulator struct {
	io.Reader
	io.WriteCloser
	cmd *exec.Cmd
}

func (e *emulator) Close() error {
	e.WriteCloser.Close()
	e.cmd.Process.Kill()
	// It was killed: its status says nothing. This closes the reader, too.
	e.cmd.Wait()
	return nil
}

// startUBoot powers on a board that nobody here wrote.
func startUBoot(t *testing.T) *emulator {
	t.Helper()
	qemu := testtool.Need(t, "qemu-system-aarch64", "apt-get install qemu-system-arm")
	testtool.NeedFile(t, uboot, "apt-get install u-boot-qemu")
	cmd := exec.Command(qemu, "-M", "virt", "-cpu", "cortex-a57", "-m", "256", "-nographic", "-net", "none", "-bios", uboot)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &emulator{out, in, cmd}
}

// TestRealUBoot stops the autoboot of a real U-Boot, and reads what a real
// command prints: a few lines, and more than the window holds.
func TestRealUBoot(t *testing.T) {
	board := startUBoot(t)
	var transcript screen
	c, err := console.New(board, console.WithTranscript(&transcript), console.WithSecret("topsecret"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	m, err := c.Expect(ctx, expect.Regexp(regexp.MustCompile(`U-Boot (\d+\.\d+)`)))
	if err != nil {
		t.Fatal(err)
	}
	version := m.Groups[1]
	if _, err := c.Expect(ctx, expect.String("stop autoboot")); err != nil {
		t.Fatal(err)
	}
	// Ctrl-C stops it, and leaves no key in the line.
	if err := c.Send(ctx, "\x03"); err != nil {
		t.Fatal(err)
	}
	run := func(cmd, marker string) string {
		t.Helper()
		// The echo has quotes within the marker: only the answer matches.
		if err := c.SendLine(ctx, cmd+"; echo "+marker[:3]+"''"+marker[3:]); err != nil {
			t.Fatal(err)
		}
		m, err := c.Expect(ctx, expect.String(marker+"\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if m.Dropped > 0 {
			t.Errorf("%s: %d bytes dropped while we waited within the window", cmd, m.Dropped)
		}
		return console.Clean(m.Before)
	}
	run("true", "ABCDEF")
	if out := run("version", "GHKLMN"); !strings.Contains(out, "U-Boot "+version) {
		t.Errorf("version printed %q", out)
	}
	run("setenv pw topsecret", "OPSTUV")
	if out := run("printenv pw", "WXYZAB"); !strings.Contains(out, "pw=topsecret") {
		t.Errorf("printenv printed %q", out)
	}
	if s := transcript.String(); strings.Contains(s, "topsecret") || !strings.Contains(s, "pw=***") {
		t.Error("the secret is in the transcript")
	}

	// 32 KiB of memory make some 150 KiB of text.
	if err := c.SendLine(ctx, "md.b 40000000 8000; echo CDE''FGH"); err != nil {
		t.Fatal(err)
	}
	m, err = c.Expect(ctx, expect.String("CDEFGH\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Dropped == 0 || len(m.Before)+len(m.Text) != console.DefaultWindow || !strings.Contains(m.Before, "40007ff0:") {
		t.Errorf("%d bytes dropped, %d before, ending %q", m.Dropped, len(m.Before), m.Before[max(0, len(m.Before)-100):])
	}
	if tail := c.Tail(3); !strings.Contains(tail, "CDEFGH") || strings.Contains(tail, "\r") {
		t.Errorf("tail %q", tail)
	}
}
