//go:build unix

package busybox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/transport/console"
)

// bootLimit is for a board from power on to its shell, on a busy machine
// without KVM.
const bootLimit = 4 * time.Minute

// board is a virtual board: U-Boot takes kernel and initramfs from QEMU by
// itself and boots Debian's kernel and busybox.
type board struct {
	*virtboard.Board
	arch       virtboard.Arch
	transcript *lockedBuffer
	log        *lockedBuffer
}

func newBoard(t *testing.T, arch virtboard.Arch, login debian.Login) *board {
	t.Helper()
	if testing.Short() {
		t.Skip("boots boards in QEMU, which takes two minutes; leave out -short")
	}
	testtool.Need(t, map[virtboard.Arch]string{virtboard.ARM64: "qemu-system-aarch64", virtboard.ARM: "qemu-system-arm"}[arch],
		"apt-get install qemu-system-arm u-boot-qemu")
	testtool.NeedFile(t, "/usr/lib/u-boot/qemu_"+string(arch)+"/u-boot.bin", "apt-get install u-boot-qemu")
	testtool.Need(t, "apt-get", "a Debian system")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	prepare, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	software, err := debian.Prepare(prepare, arch, filepath.Join(cache, "dutflash-virtboard"), nil)
	if err != nil {
		t.Fatal(err)
	}
	initramfs, err := software.Initramfs(login)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	disk, initrd := filepath.Join(dir, "disk.img"), filepath.Join(dir, "initrd")
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 64<<20), os.WriteFile(initrd, initramfs, 0o600)); err != nil {
		t.Fatal(err)
	}
	b, err := virtboard.New(virtboard.Config{Arch: arch, Disk: disk, MemoryMiB: 512,
		QEMUArgs: []string{"-kernel", software.Kernel(), "-initrd", initrd, "-append", "console=" + debian.Console}})
	if err != nil {
		t.Fatal(err)
	}
	r := &board{b, arch, &lockedBuffer{}, &lockedBuffer{}}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close the board: %v", err)
		}
		if t.Failed() {
			t.Logf("console:\n%s\nlog:\n%s", r.transcript.String(), r.log.String())
		}
	})
	return r
}

// power switches the board off and on.
func (b *board) power(t *testing.T) {
	t.Helper()
	if err := errors.Join(b.Off(t.Context()), b.On(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// shell is a session on the board's console that is not logged in yet.
func (b *board) shell(t *testing.T, opts ...busybox.Option) *busybox.Shell {
	t.Helper()
	c, err := console.New(b.Console(), console.WithTranscript(b.transcript), console.WithWindow(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := busybox.New(c, append([]busybox.Option{busybox.WithLogger(slog.New(slog.NewTextHandler(b.log, nil)))}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func bootAndLogin(t *testing.T, b *board, s *busybox.Shell) error {
	t.Helper()
	b.power(t)
	boot, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	began := time.Now()
	err := s.Login(boot)
	t.Logf("power on to the end of Login: %v", time.Since(began).Round(10*time.Millisecond))
	return err
}

// capture writes the console's text since the last match of from, up to the
// first one of to behind it, into testdata where DUTFLASH_CAPTURE is set:
//
//	DUTFLASH_CAPTURE=1 go test -count=1 -run TestReal ./busybox
func (b *board) capture(t *testing.T, name, from, to string) {
	t.Helper()
	if os.Getenv("DUTFLASH_CAPTURE") == "" {
		return
	}
	text := b.transcript.String()
	if i := strings.LastIndex(text, from); i >= 0 {
		text = text[i:]
	}
	if i := strings.Index(text, to); i >= 0 && to != "" {
		text = text[:i+len(to)]
	}
	if err := os.WriteFile(filepath.Join("testdata", string(b.arch)+"-"+name+".txt"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// eachArch runs a test on both virtual boards.
func eachArch(t *testing.T, test func(*testing.T, virtboard.Arch)) {
	for _, arch := range []virtboard.Arch{virtboard.ARM64, virtboard.ARM} {
		t.Run(string(arch), func(t *testing.T) {
			t.Parallel()
			test(t, arch)
		})
	}
}

// TestRealBoard runs everything in one boot, and then boots anew for each way
// to die.
func TestRealBoard(t *testing.T) {
	eachArch(t, func(t *testing.T, arch virtboard.Arch) {
		b := newBoard(t, arch, debian.Login{})
		s := b.shell(t)
		if err := bootAndLogin(t, b, s); err != nil {
			t.Fatal(err)
		}
		b.capture(t, "shell", "\r\nU-Boot 20", "/ # ")
		t.Run("commands", func(t *testing.T) { testCommands(t, s) })
		t.Run("long script", func(t *testing.T) { boardLongScript(t, s) })
		if arch == virtboard.ARM64 { // half a minute that has nothing to do with the architecture
			t.Run("ten megabytes", func(t *testing.T) { boardTenMegabytes(t, s) })
			t.Run("out of memory", func(t *testing.T) { boardOutOfMemory(t, s) })
		}
		t.Run("kernel messages", func(t *testing.T) { boardKernelMessages(t, s) })
		t.Run("hanging commands", func(t *testing.T) { boardHangs(t, s) })
		t.Run("tools and disk", func(t *testing.T) { boardTools(t, s, arch) })
		t.Run("files by console", func(t *testing.T) { boardFiles(t, s) })
		t.Run("files by HTTP", func(t *testing.T) { boardHTTP(t, b, s) })
		t.Run("handed to a person and back", func(t *testing.T) { boardInteractive(t, s) })
		// After a panic the board hangs; after a reset it boots by itself.
		for i, way := range []struct {
			name, cmd, text string
			want            error
		}{
			{"panic", "echo c >/proc/sysrq-trigger", "sysrq triggered crash", busybox.ErrPanic},
			{"reset by sysrq", "echo b >/proc/sysrq-trigger", "U-Boot 20", busybox.ErrReset},
			{"reset by reboot", "reboot -f", "U-Boot 20", busybox.ErrReset},
		} {
			t.Run(way.name, func(t *testing.T) {
				// Each from power on: a Login into a board that starts by itself may
				// press a key while U-Boot counts down, and then U-Boot stays.
				if i > 0 {
					if err := bootAndLogin(t, b, s); err != nil {
						t.Fatal(err)
					}
				}
				_, err := s.Run(ctx(t), "echo before; "+way.cmd+"; sleep 1000")
				if !errors.Is(err, way.want) || !errors.Is(s.Err(), way.want) || !strings.Contains(err.Error(), way.text) {
					t.Errorf("error %v, want %v with %q", err, way.want, way.text)
				}
				b.capture(t, strings.ReplaceAll(way.name, " ", "-"), "before\n", "Hit any key")
			})
		}
	})
}

func boardLongScript(t *testing.T, s *busybox.Shell) {
	var script, want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&script, "if [ %d -ge 0 ]; then\n\techo 'line %d, %s'\nfi\n", i, i, strings.Repeat("x", i))
		fmt.Fprintf(&want, "line %d, %s\n", i, strings.Repeat("x", i))
	}
	if got := run(t, s, script.String()); got != want.String() {
		t.Errorf("a script of %d bytes printed %d bytes, want %d", script.Len(), len(got), want.Len())
	}
}

func boardTenMegabytes(t *testing.T, s *busybox.Shell) {
	long, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	run(t, s, "dd if=/dev/zero bs=500000 count=1 2>/dev/null | tr '\\0' a >/tmp/half")
	n, began := 0, time.Now()
	err := s.Stream(long, "i=0; while [ $i -lt 20 ]; do cat /tmp/half; i=$((i+1)); done; (exit 9)", func(b []byte) {
		n += bytes.Count(b, []byte("a"))
	})
	if status(err) != 9 || n != 10_000_000 {
		t.Errorf("%d bytes, %v", n, err)
	}
	t.Logf("%.1f MB/s", float64(n)/1e6/time.Since(began).Seconds())
}

// What the kernel prints breaks into a command's output, into its words, and
// into the marks around it.
func boardKernelMessages(t *testing.T, s *busybox.Shell) {
	run(t, s, "echo 8 >/proc/sys/kernel/printk")
	defer run(t, s, "echo 1 >/proc/sys/kernel/printk")
	if got := run(t, s, "printf mid; echo '<4>usb 1-1: breaks in' >/dev/kmsg; echo dle"); got != "middle\n" {
		t.Errorf("in the middle of a word: %q", got)
	}
	if got := run(t, s, "echo a; echo h >/proc/sysrq-trigger; echo b"); got != "a\nb\n" {
		t.Errorf("sysrq's help: %q", got)
	}
	if got := run(t, s, "echo '<4>only in the log' >/dev/kmsg; dmesg | grep -c 'only in the log$'"); got != "1\n" {
		t.Errorf("dmesg: %q", got)
	}
	run(t, s, "(i=0; while [ -e /proc/1 ] && [ ! -e /tmp/quiet ]; do echo \"<3>mmc0: message $i\" >/dev/kmsg; i=$((i+1)); usleep 3000; done; echo $i >/tmp/said) >/dev/null 2>&1 &")
	var want strings.Builder
	for i := range 150 {
		fmt.Fprintf(&want, "%d\n", i)
	}
	for i := range 8 {
		if got := run(t, s, "i=0; while [ $i -lt 150 ]; do echo $i; i=$((i+1)); done"); got != want.String() {
			t.Errorf("round %d: %q", i, got)
		}
		if _, err := s.Run(ctx(t), "(exit 7)"); status(err) != 7 {
			t.Errorf("round %d: error %v, want status 7", i, err)
		}
		if got := run(t, s, `printf '\000\001\033[31m\377no newline'`); got != "\x00\x01\x1b[31m\xffno newline" {
			t.Errorf("round %d: binary: %q", i, got)
		}
	}
	said := run(t, s, ": >/tmp/quiet; while [ ! -e /tmp/said ]; do usleep 10000; done; usleep 10000; cat /tmp/said")
	t.Logf("%s kernel messages meanwhile", strings.TrimSpace(said))
}

func boardHangs(t *testing.T, s *busybox.Shell) {
	run(t, s, "kept=1")
	for _, cmd := range []string{"echo started; sleep 1000", "echo started; cat /dev/zero | cat >/dev/null"} {
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		out, err := s.Run(short, cmd)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, busybox.ErrShellLost) || out != "started\n" {
			t.Fatalf("%s: %q, %v, want a deadline and a shell that answers", cmd, out, err)
		}
		if got := run(t, s, "echo alive $kept"); got != "alive 1\n" {
			t.Errorf("after %s: %q", cmd, got)
		}
	}
	// These may cost the shell its variables.
	for _, cmd := range []string{"while :; do :; done", "sh -c 'trap \"\" INT QUIT; sleep 1000'"} {
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := s.Run(short, cmd)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, busybox.ErrShellLost) {
			t.Fatalf("%s: %v, want a deadline and a shell that answers", cmd, err)
		}
	}
	if got := run(t, s, "ps | grep -c '[s]leep 1000'; :"); got != "0\n" {
		t.Errorf("%s commands still run", got)
	}
}

func boardOutOfMemory(t *testing.T, s *busybox.Shell) {
	long, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	if _, err := s.Run(long, "tail /dev/zero"); !errors.Is(err, busybox.ErrOutOfMemory) {
		t.Errorf("error %v, want ErrOutOfMemory", err)
	}
}

func boardInteractive(t *testing.T, s *busybox.Shell) {
	if err := s.Interactive(ctx(t)); err != nil {
		t.Fatal(err)
	}
	login(t, s)
	if got := run(t, s, "cat /proc/sys/kernel/printk"); !strings.HasPrefix(got, "1\t") {
		t.Errorf("printk %q", got)
	}
}

// TestRealLogin boots to a getty, is refused, and gets in.
func TestRealLogin(t *testing.T) {
	eachArch(t, func(t *testing.T, arch virtboard.Arch) {
		const password = "it's $HOME"
		b := newBoard(t, arch, debian.Login{Username: "root", Password: password})
		err := bootAndLogin(t, b, b.shell(t, busybox.WithLogin(busybox.Login{Username: "root", Password: "s3cret99"})))
		if !errors.Is(err, busybox.ErrLoginIncorrect) || strings.Contains(err.Error(), "s3cret99") {
			t.Errorf("wrong password: %v", err)
		}
		b.capture(t, "getty", "\r\nU-Boot 20", "login: ")
		err = b.shell(t).Login(ctx(t))
		if !errors.Is(err, busybox.ErrLoginRequired) {
			t.Errorf("no user name: %v", err)
		}
		s := b.shell(t, busybox.WithLogin(busybox.Login{LoginPrompt: "login: ", Username: "root", Password: password}))
		login(t, s)
		if got := run(t, s, "id -u; tty <&1"); got != "0\n/dev/ttyAMA0\n" {
			t.Errorf("got %q", got)
		}
		if text := b.transcript.String(); strings.Contains(text, password) || strings.Contains(text, "s3cret99") {
			t.Error("a password is in the transcript")
		}
	})
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
