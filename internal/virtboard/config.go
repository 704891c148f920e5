package virtboard

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Arch is the architecture of a board, with Go's names.
type Arch string

const (
	// ARM64 is a 64-bit board (Cortex-A57): U-Boot's booti, an uncompressed
	// kernel Image.
	ARM64 Arch = "arm64"
	// ARM is a 32-bit board (Cortex-A15): U-Boot's bootz, a zImage.
	ARM Arch = "arm"
)

// machine is what differs between the architectures.
type machine struct {
	program, uboot, cpu string
}

func (a Arch) machine() (machine, error) {
	switch a {
	case ARM64:
		return machine{"qemu-system-aarch64", "/usr/lib/u-boot/qemu_arm64/u-boot.bin", "cortex-a57"}, nil
	case ARM:
		return machine{"qemu-system-arm", "/usr/lib/u-boot/qemu_arm/u-boot.bin", "cortex-a15"}, nil
	}
	return machine{}, fmt.Errorf("architecture %q is neither %q nor %q", string(a), ARM64, ARM)
}

// Drive is one further disk of a board.
type Drive struct {
	// Path of the raw disk file.
	Path string
	// Device is the QEMU device that carries it, such as "virtio-blk-device"
	// (the default) or "nvme,serial=1".
	Device string
	// WriteBPS and ReadBPS throttle it, in bytes per second; 0 is unthrottled.
	WriteBPS, ReadBPS int64
}

// Config describes a board. Only Arch and Disk are required.
type Config struct {
	// Arch is the board's architecture.
	Arch Arch
	// Disk is the path of the raw file that is the board's disk. It must
	// exist; its size is the disk's. Linux on the board sees it as /dev/vda,
	// and below /sys at the address a000000.
	Disk string
	// WriteBPS and ReadBPS throttle the disk, in bytes per second, to have a
	// medium as slow as a real board's; 0 is unthrottled.
	WriteBPS, ReadBPS int64
	// ExtraDrives are further disks. A virtio one is named after the disk:
	// /dev/vdb and so on, in the order given, at a000200 and so on.
	ExtraDrives []Drive
	// MemoryMiB is the size of the RAM; 0 stands for 1024. At least 256.
	MemoryMiB int
	// UBoot is the path of the U-Boot binary; empty stands for Debian's.
	UBoot string
	// QEMUArgs are appended to QEMU's command line.
	QEMUArgs []string
	// Host is the host's address in the virtual network and the network's
	// prefix length; the zero value stands for 192.168.127.1/24.
	Host netip.Prefix
	// NoRouter leaves the router out of DHCP answers, as an isolated lab
	// network does. Without it the host is named as the router; it forwards
	// nothing either way.
	NoRouter bool
	// Logger is told about power and DHCP; nil is silent.
	Logger *slog.Logger
}

// defaultHost is outside of what home routers and QEMU's own network use.
const defaultHost = "192.168.127.1/24"

// complete returns the config with defaults filled in, or everything that is
// wrong with it.
func (c Config) complete() (Config, machine, error) {
	var problems []error
	m, err := c.Arch.machine()
	if err != nil {
		return c, m, err
	}
	if runtime.GOOS == "windows" {
		return c, m, fmt.Errorf("on windows: %w", errors.ErrUnsupported)
	}
	if path, err := exec.LookPath(m.program); err != nil {
		problems = append(problems, fmt.Errorf("%s: %w: apt-get install qemu-system-arm", m.program, ErrMissing))
	} else {
		m.program = path
	}
	if c.UBoot != "" {
		m.uboot = c.UBoot
	}
	if _, err := os.Stat(m.uboot); errors.Is(err, fs.ErrNotExist) {
		problems = append(problems, fmt.Errorf("%s: %w: apt-get install u-boot-qemu", m.uboot, ErrMissing))
	} else if err != nil {
		problems = append(problems, err)
	}
	if c.MemoryMiB == 0 {
		c.MemoryMiB = 1024
	}
	if c.MemoryMiB < 256 {
		problems = append(problems, fmt.Errorf("memory of %d MiB is less than 256 MiB", c.MemoryMiB))
	}
	if !c.Host.IsValid() {
		c.Host = netip.MustParsePrefix(defaultHost)
	}
	if !c.Host.Addr().Is4() || c.Host.Bits() < 8 || c.Host.Bits() > 29 {
		problems = append(problems, fmt.Errorf("host address %v is no IPv4 address in a network of 8 to 29 bits", c.Host))
	}
	for _, d := range c.drives() {
		if d.WriteBPS < 0 || d.ReadBPS < 0 {
			problems = append(problems, fmt.Errorf("disk %q: throttling below 0", d.Path))
		}
		if st, err := os.Stat(d.Path); err != nil {
			problems = append(problems, fmt.Errorf("disk: %w", err))
		} else if st.Size() == 0 {
			problems = append(problems, fmt.Errorf("disk %s is empty; give it a size first", d.Path))
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, m, errors.Join(problems...)
}

// mac is the board's Ethernet address. Every board has a network of its own, so
// one will do.
var mac = net.HardwareAddr{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}

// args is QEMU's command line. File descriptor 3 is the Ethernet cable and 4 the
// QMP monitor.
func (c Config) args(m machine) []string {
	return c.commandLine(m,
		[]string{"-chardev", "stdio,id=console,signal=off"},
		"stream,id=net0,server=off,addr.type=fd,addr.str=3",
		"-chardev", "socket,id=qmp,fd=4", "-mon", "chardev=qmp,mode=control")
}

// dtbArgs has the same devices, connected to nothing.
func (c Config) dtbArgs(m machine) []string {
	return c.commandLine(m, []string{"-chardev", "null,id=console"}, "user,id=net0")
}

// commandLine puts every virtio device into a slot of its own choosing: QEMU
// would fill them from the highest down, where Linux counts from the lowest up.
func (c Config) commandLine(m machine, console []string, netdev string, more ...string) []string {
	args := append([]string{
		"-M", "virt", "-cpu", m.cpu, "-m", fmt.Sprint(c.MemoryMiB),
		"-nodefaults", "-no-user-config", "-display", "none", "-bios", m.uboot,
	}, console...)
	args = append(args, "-serial", "chardev:console",
		"-netdev", netdev, "-device", "virtio-net-device,netdev=net0,bus=virtio-mmio-bus.31,mac="+mac.String())
	args = append(args, more...)
	for i, d := range c.drives() {
		device := d.Device
		if device == "" {
			device = fmt.Sprintf("virtio-blk-device,bus=virtio-mmio-bus.%d", i)
		}
		drive := fmt.Sprintf("if=none,id=disk%d,format=raw,discard=unmap,file=%s", i, escapeComma(d.Path))
		if d.WriteBPS > 0 {
			drive += fmt.Sprintf(",throttling.bps-write=%d", d.WriteBPS)
		}
		if d.ReadBPS > 0 {
			drive += fmt.Sprintf(",throttling.bps-read=%d", d.ReadBPS)
		}
		args = append(args, "-drive", drive, "-device", fmt.Sprintf("%s,drive=disk%d", device, i))
	}
	return append(args, c.QEMUArgs...)
}

// drives are all disks, the first being the board's.
func (c Config) drives() []Drive {
	return append([]Drive{{Path: c.Disk, WriteBPS: c.WriteBPS, ReadBPS: c.ReadBPS}}, c.ExtraDrives...)
}

// escapeComma writes a value as QEMU's options have it.
func escapeComma(s string) string { return strings.ReplaceAll(s, ",", ",,") }
