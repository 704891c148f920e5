package virtboard_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
)

// patience is how long a test waits for the board; a busy machine is slow.
const patience = 2 * time.Minute

func arches(t *testing.T, f func(*testing.T, virtboard.Arch)) {
	for _, arch := range []virtboard.Arch{virtboard.ARM64, virtboard.ARM} {
		t.Run(string(arch), func(t *testing.T) { f(t, arch) })
	}
}

// need skips where QEMU or U-Boot is missing.
func need(tb testing.TB) {
	tb.Helper()
	testtool.Need(tb, "qemu-system-aarch64", "apt-get install qemu-system-arm")
	testtool.NeedFile(tb, "/usr/lib/u-boot/qemu_arm64/u-boot.bin", "apt-get install u-boot-qemu")
}

// newDisk makes an empty disk.
func newDisk(tb testing.TB, size int64) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "disk,1.img") // a comma is special to QEMU
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		tb.Fatal(err)
	}
	return path
}

// newBoard makes a board that is closed at the end of the test.
func newBoard(tb testing.TB, config virtboard.Config) *virtboard.Board {
	tb.Helper()
	need(tb)
	if config.Disk == "" {
		config.Disk = newDisk(tb, 64<<20)
	}
	b, err := virtboard.New(config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

func powerOn(tb testing.TB, b *virtboard.Board) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	if err := b.On(ctx); err != nil {
		tb.Fatal(err)
	}
}

// terminal is a naive expect on a console.
type terminal struct {
	tb   testing.TB
	port io.ReadWriteCloser
	in   chan []byte
	seen bytes.Buffer
}

func openTerminal(tb testing.TB, b *virtboard.Board) *terminal {
	term := &terminal{tb: tb, port: b.Console(), in: make(chan []byte, 1024)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			buf := make([]byte, 4096)
			n, err := term.port.Read(buf)
			if err != nil {
				return
			}
			term.in <- buf[:n]
		}
	}()
	tb.Cleanup(func() {
		term.port.Close()
		for {
			select {
			case <-term.in:
			case <-done:
				return
			}
		}
	})
	return term
}

func (term *terminal) send(s string) {
	term.tb.Helper()
	if _, err := io.WriteString(term.port, s); err != nil {
		term.tb.Fatal(err)
	}
}

// expect waits for text and returns what came before it.
func (term *terminal) expect(text string) string {
	term.tb.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		if before, _, found := strings.Cut(term.seen.String(), text); found {
			term.seen.Next(len(before) + len(text))
			return before
		}
		select {
		case b := <-term.in:
			term.seen.Write(b)
		case <-timeout.C:
			term.tb.Fatalf("no %q from the board; it said:\n%s", text, term.seen.String())
		}
	}
}

// uboot stops autoboot and waits for U-Boot's prompt.
func (term *terminal) uboot() {
	term.tb.Helper()
	term.expect("Hit any key to stop autoboot")
	term.send("\x03")
	term.expect("=> ")
}

// run runs a U-Boot command.
func (term *terminal) run(command string) string {
	term.tb.Helper()
	term.send(command + "\n")
	term.expect(command + "\r\n")
	return term.expect("=> ")
}
