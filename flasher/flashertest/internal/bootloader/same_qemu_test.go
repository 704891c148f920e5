package bootloader_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/bootloader"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/uart"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/transport/tftp"
	"github.com/dutflash/dutflash/uboot"
)

// board is a U-Boot at its prompt, with a TFTP server in reach.
type board struct {
	session *uboot.Session
	host    netip.Addr
}

// simulated starts the package's U-Boot.
func simulated(t *testing.T) board {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, server)
	host := netip.MustParseAddr("10.0.2.2")
	line := uart.New(1)
	port, err := line.Open()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		line.Listen(true)
		_, err := bootloader.Run(ctx, line, bootloader.Config{
			Prompt: "=> ", Delay: 2, LineLimit: 2048, BootKernel: "booti", FDT: []byte("\xd0\x0d\xfe\xed"),
			Lease: &bootloader.Lease{Address: netip.MustParsePrefix("10.0.2.15/24"), Gateway: host},
			UDP: func(_ context.Context, to netip.AddrPort) (net.PacketConn, net.Addr, error) {
				if to.Addr() != host {
					return nil, nil, errors.New("no such host")
				}
				c, err := net.ListenPacket("udp", "127.0.0.1:0")
				return c, server.LocalAddr(), err
			},
		})
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the simulated U-Boot ended with %v", err)
		}
	})
	return board{prompt(t, port), host}
}

// real starts U-Boot in QEMU.
func real(t *testing.T) board {
	t.Helper()
	testtool.Need(t, "qemu-system-aarch64", "apt-get install qemu-system-arm")
	testtool.NeedFile(t, "/usr/lib/u-boot/qemu_arm64/u-boot.bin", "apt-get install u-boot-qemu")
	disk := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := virtboard.New(virtboard.Config{Arch: virtboard.ARM64, Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	server, err := b.Network().ListenPacket(t.Context(), "udp", ":69")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, server)
	port := b.Console()
	if err := b.On(t.Context()); err != nil {
		t.Fatal(err)
	}
	return board{prompt(t, port), b.Network().Address()}
}

// serve offers the files of the table.
func serve(t *testing.T, conn net.PacketConn) {
	t.Helper()
	s, err := tftp.New()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"small": "some text", "blocks": strings.Repeat("0123456789abcdef", 40000), "exact": strings.Repeat("x", 1468*4), "empty": "",
	} {
		if err := s.Add(name, tftp.FromBytes([]byte(content))); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() { s.Serve(conn); close(done) }()
	t.Cleanup(func() { s.Close(); <-done })
}

func prompt(t *testing.T, port io.ReadWriteCloser) *uboot.Session {
	t.Helper()
	var transcript strings.Builder
	c, err := console.New(port, console.WithTranscript(&transcript))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if t.Failed() {
			t.Logf("console:\n%s", transcript.String())
		}
	})
	s, err := uboot.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Interrupt(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// table is typed to both, in this order.
var table = []string{
	"echo", "echo a  b", `echo 'a  b' "c  d" e\ f`, `echo 'it'\''s'`, `echo "a'b c'd" 'c"d'`, `echo a\\b 'c\\d' "e\\f"`, "echo ';' a; echo b", `echo a\;b`,
	"true", "false", "false; echo $?", "true && echo yes", "false && echo yes", "true || echo no", "false || echo no", "nosuch", "nosuch; echo $?",
	"setenv v one; echo $v ${v} '$v' \"$v\" $vx ${v}x", "setenv v two  words; echo $v; echo \"$v\"", "setenv v 'two  words'; echo $v; echo \"$v\"",
	"printenv v", "setenv v; printenv v", "printenv nosuch; echo $?", "echo $nosuch x", "setenv v 'a;b'; printenv v", "setenv v 'echo a; echo b'; run v",
	"run nosuch", "setenv w 'false'; run w; echo $?", "setenv w 'echo $x'; setenv x 1; run w", `setenv v "a\$b"; printenv v`,
	"if true; then echo yes; else echo no; fi", "if false; then echo yes; else echo no; fi", "if false; then echo yes; fi; echo $?",
	"if true; then if false; then echo a; else echo b; fi; fi; echo c", "setenv v 'if true; then echo in; fi'; run v",
	"echo $? $", "crc32 0x40400000 0x10", "setenv autoload no; dhcp", "printenv ipaddr netmask",
	"tftpboot 0x40400000 small", "setenv serverip HOST", "tftpboot 0x40400000 small", "crc32 40400000 9", "echo $filesize", "tftpboot 0x40400000 blocks", "crc32 0x40400000 ${filesize}",
	"tftpboot 0x40400000 nosuch", "tftpboot 0x40400000 nosuch; echo $?",
	"setenv tftpblocksize 1468; setenv tftpwindowsize 8; tftpboot 0x40400000 blocks", "crc32 0x40400000 ${filesize}",
	"tftpboot 0x40400000 exact", "crc32 0x40400000 ${filesize}", "setenv tftpwindowsize 3; tftpboot 0x40500000 blocks", "crc32 0x40500000 ${filesize}",
	"booti 0x40400000 - ${fdtcontroladdr}", "booti 0x40400000; echo $?", "bootm 0x40400000", "bootz 0x40400000",
	"setenv ipaddr; tftpboot 0x40400000 small", "sleep 1; echo slept",
}

// variable texts are what may differ: the name of the network device, and how fast
// something was, which U-Boot does not say of what took no time.
var variable = regexp.MustCompile(`Using \S+ device|Loading: (?:[*\x08#\s]|T )*(?:[\d.]+ (?:[KM]iB|Bytes)/s\s*)?|\(\d+ ms\)`)

func answers(t *testing.T, b board) []string {
	t.Helper()
	var all []string
	for _, cmd := range table {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		out, err := b.session.Run(ctx, strings.ReplaceAll(cmd, "HOST", b.host.String()))
		cancel()
		status := 0
		var failed *uboot.CommandError
		if errors.As(err, &failed) {
			status, err = failed.Status, nil
		}
		if err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		out = strings.ReplaceAll(out, b.host.String(), "HOST")
		out = regexp.MustCompile(`our IP address is \S+|ipaddr=\S+|bound to address \S+`).ReplaceAllString(out, "ADDRESS")
		all = append(all, fmt.Sprintf("%s\n%s\nstatus %d", cmd, variable.ReplaceAllString(out, "..."), status))
	}
	return all
}

func TestAnswersAsInQEMU(t *testing.T) {
	want, got := answers(t, real(t)), answers(t, simulated(t))
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("simulated:\n%s\n\nU-Boot in QEMU:\n%s\n", got[i], want[i])
		}
	}
}
