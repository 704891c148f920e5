package uboot_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
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

// record has TestRealBuilds write what it sees to testdata, for TestTranscripts.
var record = flag.Bool("record", false, "record transcripts of the real builds in testdata")

// build is one of Debian's U-Boot builds for QEMU that reach a prompt there.
type build struct {
	name      string
	command   []string // QEMU without the image
	image     []string // the option for the image, and the image
	arch      string   // as mkimage calls it
	ram, free string   // two addresses that are free
	nic       string   // "" for no network interface
	boot      string   // the command that boots a kernel
	header    string   // writes a kernel's header to ram
	prompt    string
	crash     string                                      // a command that U-Boot does not survive
	resets    bool                                        // it resets itself then
	toHost    bool                                        // its network reaches this machine, as 10.0.2.2
	line      func(io.ReadWriteCloser) io.ReadWriteCloser // the serial line; nil is a good one
}

func (b build) transcript() string { return filepath.Join("testdata", b.name+".txt") }

const uBootQEMU = "/usr/lib/u-boot/"

var builds = []build{
	{
		name:    "arm64",
		command: []string{"qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-m", "512"},
		image:   []string{"-bios", uBootQEMU + "qemu_arm64/u-boot.bin"},
		arch:    "arm64", ram: "40400000", free: "0x42000000", nic: "virtio-net-pci", boot: "booti",
		header: "mw.b 40400000 0 1000; mw.l 40400038 644d5241; mw.q 40400010 1000", // magic, size
		prompt: "=> ", crash: "md.l ffff000000000000 1", resets: true,
	},
	{
		name:    "arm",
		command: []string{"qemu-system-arm", "-M", "virt", "-cpu", "cortex-a15", "-m", "512"},
		image:   []string{"-bios", uBootQEMU + "qemu_arm/u-boot.bin"},
		arch:    "arm", ram: "42000000", free: "0x44000000", nic: "virtio-net-pci", boot: "bootz",
		header: "mw.b 42000000 0 1000; mw.l 42000024 016f2818; mw.l 4200002c 1000", // magic, end
		prompt: "=> ", crash: "md.l f0000000 1", resets: true,
	},
	{
		name:    "x86_64",
		command: []string{"qemu-system-x86_64", "-M", "pc", "-m", "512"},
		image:   []string{"-bios", uBootQEMU + "qemu-x86_64/u-boot.rom"},
		arch:    "x86_64", ram: "2000000", free: "0x4000000", nic: "e1000", boot: "bootm",
		prompt: "=> ", crash: "panic", resets: true,
	},
	{
		name:    "riscv64",
		command: []string{"qemu-system-riscv64", "-M", "virt", "-m", "512"},
		image:   []string{"-kernel", uBootQEMU + "qemu-riscv64_smode/u-boot.bin"},
		arch:    "riscv", ram: "84000000", free: "0x86000000", nic: "virtio-net-device", boot: "booti",
		header: "mw.b 84000000 0 1000; mw.l 84000038 05435352; mw.q 84000010 1000; mw.q 84000008 4000000", // magic, size, offset
		prompt: "=> ", crash: "md.l 0 1", resets: true,
	},
	{
		name:    "malta",
		command: []string{"qemu-system-mipsel", "-M", "malta", "-cpu", "24Kc", "-m", "256"},
		image:   []string{"-pflash", uBootQEMU + "maltael/u-boot.bin"},
		arch:    "mips", ram: "81000000", free: "0x83000000", nic: "pcnet", boot: "bootm",
		prompt: "maltael # ", crash: "md.l 1 1",
	},
	{
		name:    "malta64",
		command: []string{"qemu-system-mips64el", "-M", "malta", "-cpu", "MIPS64R2-generic", "-m", "256"},
		image:   []string{"-pflash", uBootQEMU + "malta64el/u-boot.bin"},
		arch:    "mips64", ram: "ffffffff81000000", free: "0xffffffff83000000", nic: "pcnet", boot: "bootm",
		prompt: "maltael # ", crash: "md.l 1 1",
	},
}

const qemuPackages = "apt-get install qemu-system-arm qemu-system-x86 qemu-system-misc qemu-system-mips"

// port is QEMU's serial console on its standard input and output.
type port struct {
	io.Reader
	io.WriteCloser
	close func() error
}

func (p *port) Close() error { return p.close() }

// start runs the build and returns its console. It has two network interfaces:
// one in QEMU's own network, with QEMU's DHCP and TFTP server for the directory,
// and one whose cable is not plugged in; or none where the build has no nic.
func start(t *testing.T, b build, dir string, rec *recorder) *console.Console {
	t.Helper()
	bin := testtool.Need(t, b.command[0], qemuPackages)
	testtool.NeedFile(t, b.image[1], "apt-get install u-boot-qemu")
	image := b.image
	if image[0] == "-pflash" {
		image = []string{"-drive", "if=pflash,format=raw,file=" + flash(t, image[1])}
	}
	args := append(b.command[1:len(b.command):len(b.command)], image...)
	args = append(args, "-display", "none", "-serial", "stdio", "-monitor", "none")
	if b.nic == "" {
		args = append(args, "-nic", "none")
	} else {
		restrict := ",restrict=on"
		if b.toHost {
			restrict = ""
		}
		args = append(args, "-netdev", "user,id=n0"+restrict+",tftp="+dir, "-device", b.nic+",netdev=n0,mac=52:54:00:12:34:56",
			"-device", b.nic+",mac=52:54:00:12:34:57")
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
	var serial io.ReadWriteCloser = &port{r, in, func() error {
		cmd.Process.Kill()
		r.Close()
		cmd.Wait()
		return nil
	}}
	if b.line != nil {
		serial = b.line(serial)
	}
	if rec != nil {
		serial = recorded{serial, rec}
	}
	var seen strings.Builder
	c, err := console.New(serial, console.WithTranscript(&seen))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if t.Failed() {
			t.Logf("qemu: %s\nconsole:\n%s", stderr.String(), seen.String())
		}
	})
	return c
}

// flash makes the content of a Malta's flash: QEMU wants the words of a
// little-endian image swapped.
func flash(t *testing.T, path string) string {
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 4<<20)
	for i := copy(content, image); i < len(content); i++ {
		content[i] = 0xff
	}
	for i := 0; i < len(content); i += 4 {
		binary.BigEndian.PutUint32(content[i:], binary.LittleEndian.Uint32(content[i:]))
	}
	name := filepath.Join(t.TempDir(), "flash")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// beside runs a test at the same time as others, unless it records. One U-Boot in QEMU
// keeps one processor busy, also while it waits, and what the tests expect of its time
// leaves room for a few on two.
func beside(t *testing.T) {
	if !*record {
		t.Parallel()
	}
}

// TestRealBuilds runs the scenario on real U-Boot. With -record it does all of it
// and writes down what it saw.
func TestRealBuilds(t *testing.T) {
	beside(t)
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			beside(t)
			dir := t.TempDir()
			for name, content := range files() {
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			fit(t, b.arch, dir)
			dut := &scenario{T: t, build: b, heading: func(string) {}}
			if b.name == "riscv64" {
				// QEMU 7.2's 16550 receives nothing any more when U-Boot resets its
				// FIFO while that is full, which takes 16 keys on a slow host.
				dut.options = append(dut.options, uboot.WithStopInterval(500*time.Millisecond))
			}
			if !*record {
				dut.con = start(t, b, dir, nil)
				dut.run()
				return
			}
			rec := &recorder{}
			dut.con = start(t, b, dir, rec)
			dut.full, dut.heading, dut.options = true, rec.heading, append(dut.options, fixedMarkers())
			dut.run()
			dut.con.Close()
			rec.about = about(t, b)
			if t.Failed() {
				return // a session that went wrong is no reference
			}
			if err := rec.save(b.transcript()); err != nil {
				t.Error(err)
			}
		})
	}
}

// about says where a transcript comes from.
func about(t *testing.T, b build) []string {
	version, err := exec.Command(b.command[0], "--version").Output()
	if err != nil {
		t.Error(err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	return []string{
		"Made by: go test ./uboot -run TestRealBuilds/" + b.name + "$ -record",
		first,
		fmt.Sprintf("%s %s", strings.Join(b.command, " "), strings.Join(b.image, " ")),
	}
}
