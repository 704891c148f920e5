package uboot_test

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/uboot"
)

// build is one of Debian's U-Boot builds for QEMU that reach a prompt there; the
// malta ones stay silent on QEMU 7.2.
type build struct {
	name    string
	command []string // the last word is the U-Boot image
	ram     string   // an address that is free
	nic     string   // "" for one that finds none
}

var builds = []build{
	{"arm64", []string{"qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-m", "512", "-bios", "/usr/lib/u-boot/qemu_arm64/u-boot.bin"}, "0x40400000", "virtio-net-pci"},
	{"arm", []string{"qemu-system-arm", "-M", "virt", "-cpu", "cortex-a15", "-m", "512", "-bios", "/usr/lib/u-boot/qemu_arm/u-boot.bin"}, "0x42000000", "virtio-net-pci"},
	{"x86_64", []string{"qemu-system-x86_64", "-M", "pc", "-m", "512", "-bios", "/usr/lib/u-boot/qemu-x86_64/u-boot.rom"}, "0x2000000", "e1000"},
	{"riscv64", []string{"qemu-system-riscv64", "-M", "virt", "-m", "512", "-kernel", "/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin"}, "0x84000000", ""},
}

// port is QEMU's serial console on its standard input and output.
type port struct {
	io.Reader
	io.WriteCloser
	close func() error
}

func (p *port) Close() error { return p.close() }

// start runs the build and returns its console, with QEMU's own DHCP and TFTP
// server for the directory.
func start(t *testing.T, b build, dir string, opts ...console.Option) *console.Console {
	t.Helper()
	bin := testtool.Need(t, b.command[0], "apt-get install qemu-system-arm qemu-system-x86 qemu-system-misc")
	testtool.NeedFile(t, b.command[len(b.command)-1], "apt-get install u-boot-qemu")
	args := append(b.command[1:len(b.command):len(b.command)], "-display", "none", "-serial", "stdio", "-monitor", "none",
		"-nic", "none")
	if b.nic != "" {
		args = append(args[:len(args)-2], "-netdev", "user,id=n0,restrict=on,tftp="+dir, "-device", b.nic+",netdev=n0")
	}
	cmd := exec.Command(bin, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	cmd.Stdout = w
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var transcript strings.Builder
	c, err := console.New(&port{r, in, func() error {
		cmd.Process.Kill()
		r.Close()
		cmd.Wait()
		return nil
	}}, append(opts, console.WithTranscript(&transcript))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if t.Failed() {
			t.Logf("qemu: %s\nconsole:\n%s", stderr.String(), transcript.String())
		}
	})
	return c
}

// prompt brings a build to a proved prompt.
func prompt(t *testing.T, b build, dir string, opts ...uboot.Option) *uboot.Session {
	t.Helper()
	if b.name == "riscv64" {
		// QEMU 7.2's 16550 receives nothing any more when U-Boot resets its
		// FIFO while that is full, which takes 16 keys on a slow host.
		opts = append(opts, uboot.WithStopInterval(500*time.Millisecond))
	}
	s, err := uboot.New(start(t, b, dir), opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := s.Interrupt(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRealBuilds(t *testing.T) {
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			dir := t.TempDir()
			content := []byte(strings.Repeat("dutflash ", 50_000))
			if err := os.WriteFile(filepath.Join(dir, "kernel.img"), content, 0o600); err != nil {
				t.Fatal(err)
			}
			s := prompt(t, b, dir)
			t.Logf("prompt %q, hush %v", s.Prompt(), s.Hush())
			if s.Prompt() == "" {
				t.Error("no prompt was learnt")
			}
			t.Run("commands", func(t *testing.T) { commands(t, s) })
			t.Run("environment", func(t *testing.T) { environment(t, s) })
			if b.nic != "" {
				t.Run("network", func(t *testing.T) { network(t, s, b, content) })
			} else if _, err := s.DHCP(t.Context()); !errors.Is(err, uboot.ErrNoEthernet) {
				t.Errorf("dhcp without an interface: %v, want ErrNoEthernet", err)
			}
			t.Run("boot", func(t *testing.T) { bootRefused(t, s, b) })
		})
	}
}

func commands(t *testing.T, s *uboot.Session) {
	ctx := t.Context()
	out, err := s.Run(ctx, "version")
	if err != nil || !strings.HasPrefix(strings.TrimSpace(out), "U-Boot 20") {
		t.Errorf("version: %q, %v", out, err)
	}
	if out, err := s.Run(ctx, "true"); err != nil || out != "" {
		t.Errorf("true: %q, %v", out, err)
	}
	_, err = s.Run(ctx, "false")
	var status *uboot.CommandError
	if !errors.As(err, &status) || status.Status != 1 {
		t.Errorf("false: %v, want exit status 1", err)
	}
	if _, err := s.Run(ctx, "nosuchcommand"); !errors.Is(err, uboot.ErrUnknownCommand) {
		t.Errorf("unknown command: %v", err)
	}
	if out, err := s.Run(ctx, "echo =>; echo '# '; echo $?"); err != nil || out != "=>\n# \n0" {
		t.Errorf("prompts in the output: %q, %v", out, err)
	}
	// A hanging command is given up, and the session goes on.
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := s.Run(short, "sleep 1000"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sleep: %v, want a timeout", err)
	}
	if out, err := s.Run(ctx, "echo still here"); err != nil || out != "still here" {
		t.Errorf("after a hanging command: %q, %v", out, err)
	}
}

func environment(t *testing.T, s *uboot.Session) {
	ctx := t.Context()
	if _, err := s.Env(ctx, "no_such_variable"); !errors.Is(err, uboot.ErrNotDefined) {
		t.Errorf("missing variable: %v", err)
	}
	for _, value := range []string{
		"plain", "two words", "  blanks  ", "$HOME ${bootcmd}", "a;b && c || d", `back\slash\\`, `it's`, `"quoted"`, `'all' "of" $it; \n #`,
		"=> ", "console=ttyAMA0,115200n8 root=/dev/vda2", strings.Repeat("a long value; ", 60), strings.Repeat(`"$x" `, 100),
	} {
		if err := s.SetEnv(ctx, "dutflash_test", value); err != nil {
			t.Errorf("set %q: %v", value, err)
			continue
		}
		got, err := s.Env(ctx, "dutflash_test")
		if len(value) > 200 && errors.Is(err, uboot.ErrTruncated) {
			continue // this build cannot print it
		}
		if err != nil || got != value {
			t.Errorf("set %q, got %q, %v", value, got, err)
		}
	}
	if err := s.SetEnv(ctx, "dutflash_test", strings.Repeat(`it's `, 100)); !errors.Is(err, uboot.ErrLineTooLong) {
		t.Errorf("long value with quotes: %v, want ErrLineTooLong", err)
	}
	if err := s.SetEnv(ctx, "dutflash_test", ""); err != nil {
		t.Error(err)
	}
	if _, err := s.Env(ctx, "dutflash_test"); !errors.Is(err, uboot.ErrNotDefined) {
		t.Errorf("deleted variable: %v", err)
	}
	long := strings.Repeat("echo 0123456789; ", 40) + "echo end"
	if out, err := s.Run(ctx, long); err != nil || out != strings.Repeat("0123456789\n", 40)+"end" {
		t.Errorf("command of %d characters: %q, %v", len(long), out, err)
	}
}

func network(t *testing.T, s *uboot.Session, b build, content []byte) {
	ctx := t.Context()
	n, err := s.DHCP(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n.Address != netip.MustParsePrefix("10.0.2.15/24") {
		t.Errorf("address %v", n.Address)
	}
	if _, err := s.Env(ctx, "autoload"); !errors.Is(err, uboot.ErrNotDefined) {
		t.Errorf("autoload was not put back: %v", err)
	}
	n.Server = netip.MustParseAddr("10.0.2.2")
	if err := s.SetNetwork(ctx, n); err != nil {
		t.Fatal(err)
	}
	file := uboot.File{Name: "kernel.img", Address: b.ram, Size: int64(len(content)), CRC32: crc32.ChecksumIEEE(content), CheckCRC: true}
	l, err := s.TFTPBoot(ctx, file)
	if err != nil || l.Size != file.Size || !l.CRCChecked {
		t.Errorf("tftp: %+v, %v", l, err)
	}
	for _, tc := range []struct {
		name   string
		change func(*uboot.File)
		is     error
	}{
		{"missing file", func(f *uboot.File) { f.Name = "none.img" }, uboot.ErrTFTP},
		{"other size", func(f *uboot.File) { f.Size++ }, uboot.ErrSize},
		{"other contents", func(f *uboot.File) { f.CRC32++ }, uboot.ErrCRC},
	} {
		f := file
		tc.change(&f)
		if _, err := s.TFTPBoot(ctx, f); !errors.Is(err, tc.is) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.is)
		}
	}
	if out, err := s.Run(ctx, "echo still here"); err != nil || out != "still here" {
		t.Errorf("after failed transfers: %q, %v", out, err)
	}
}

// bootRefused has the boot command find no kernel.
func bootRefused(t *testing.T, s *uboot.Session, b build) {
	cmd := map[string]string{"arm64": "booti", "arm": "bootz", "riscv64": "booti"}[b.name]
	if cmd == "" {
		cmd = "bootm"
	}
	err := s.Boot(t.Context(), cmd+" "+b.ram)
	if !errors.Is(err, uboot.ErrBootReturned) || !errors.Is(err, uboot.ErrBadImage) {
		t.Errorf("got %v, want ErrBootReturned and ErrBadImage", err)
	}
	t.Log(err)
	if out, err := s.Run(t.Context(), "echo still here"); err != nil || out != "still here" {
		t.Errorf("after a boot command that came back: %q, %v", out, err)
	}
}
