// Package linux is the simulated board from the first line of its kernel to its
// end: boot log, login, a busybox shell on a serial console, disks and a network,
// in memory.
package linux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/applet"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/disk"
)

// Disk is a disk of the board.
type Disk struct {
	Name    string // kernel's name, such as mmcblk1
	Address string // in its sysfs path, such as 4fb0000.mmc; "" is made up
	Model   string
	*disk.Disk
}

// Login is what the console asks for.
type Login struct {
	User           string // "" for a shell without login
	Password       string // "" where none is asked for
	Prompt         string // behind it the user name is typed; "" is "HOSTNAME login: "
	PasswordPrompt string // "" is "Password: "
	Issue          string // printed before the prompt, with "\n" at its end
}

// Config says what kind of board it is. The zero value is one without disks and
// network.
type Config struct {
	Hostname string // "" is "board"
	Arch     string // "" is "aarch64"
	Release  string // of the kernel; "" is "6.1.0"
	CPUs     int    // 0 is 2
	Memory   int64  // bytes; 0 is 1 GiB. Half of it may be filled with files
	Disks    []Disk

	Login   Login
	Prompt  string // PS1; "" is busybox's own
	Console string // device that the shell is on; "" is /dev/ttyS0
	// NoControllingTTY has the first shell without a controlling terminal, as
	// init scripts often start it: Ctrl-C reaches nobody.
	NoControllingTTY bool

	// Tools are the programs of the board; nil is everything that busybox has
	// here. See [BusyboxTools] and [ExtraTools].
	Tools []string
	// NoDirectIO has dd not know the flag "direct".
	NoDirectIO bool
	// NoUdhcpcScript leaves out /usr/share/udhcpc/default.script.
	NoUdhcpcScript bool

	Interface string // network interface; "" is eth0, "-" is none
	MAC       string
	// Lease and Gateway are what a DHCP server gives; none where Lease is invalid.
	Lease   netip.Prefix
	Gateway netip.Addr
	// Dial connects the board's programs to the outside.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	BootLog   []string      // the kernel's lines, without time stamps; nil is a short log
	BootDelay time.Duration // until the login prompt
	Noise     []Noise
	Quiet     bool // the kernel prints nothing on the console while it boots
}

// Noise is a kernel message that comes again and again.
type Noise struct {
	Text  string
	Level int           // 0 (emergency) to 7 (debug)
	Every time.Duration // from the start of the kernel
	Times int           // 0 is for ever
}

var (
	reDiskName = regexp.MustCompile(`^[a-z][a-z0-9]{0,31}$`)
	reAddress  = regexp.MustCompile(`^[A-Za-z0-9._:-]*$`)
)

// ErrConfig is what errors about a Config wrap.
var ErrConfig = errors.New("invalid configuration")

// complete checks the configuration and fills in the defaults.
func (c Config) complete() (Config, error) {
	fail := func(format string, args ...any) (Config, error) {
		return Config{}, fmt.Errorf("linux: %w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	for _, d := range []struct {
		v *string
		s string
	}{{&c.Hostname, "board"}, {&c.Arch, "aarch64"}, {&c.Release, "6.1.0"}, {&c.Console, "/dev/ttyS0"}, {&c.Interface, "eth0"}, {&c.MAC, "52:54:00:12:34:56"}} {
		if *d.v == "" {
			*d.v = d.s
		}
	}
	if c.CPUs == 0 {
		c.CPUs = 2
	}
	if c.Memory == 0 {
		c.Memory = 1 << 30
	}
	if c.CPUs < 0 || c.Memory < 1<<20 {
		return fail("%d processors, %d bytes of memory", c.CPUs, c.Memory)
	}
	if c.Interface == "-" {
		c.Interface = ""
	}
	if c.Console != "/dev/console" && c.Console != "/dev/ttyS0" && c.Console != "/dev/ttyAMA0" {
		return fail("console %q is none of /dev/console, /dev/ttyS0, /dev/ttyAMA0", c.Console)
	}
	if c.Lease.IsValid() && !c.Lease.Addr().Is4() {
		return fail("lease %v is not IPv4", c.Lease)
	}
	c.Disks = slices.Clone(c.Disks)
	seen := map[string]bool{}
	for i := range c.Disks {
		d := &c.Disks[i]
		switch {
		case d.Disk == nil:
			return fail("disk %q has no contents", d.Name)
		case !reDiskName.MatchString(d.Name) || seen[d.Name]:
			return fail("disk name %q", d.Name)
		case !reAddress.MatchString(d.Address):
			return fail("address %q of disk %s", d.Address, d.Name)
		}
		seen[d.Name] = true
		if d.Address == "" {
			d.Address = fmt.Sprintf("%x.mmc", 0x4f80000+0x10000*i)
		}
	}
	known := (&applet.Machine{}).Table()
	for _, n := range c.Tools {
		if known[n] == nil && !slices.Contains(shellTools, n) {
			return fail("tool %q is not known to the simulated board", n)
		}
	}
	for _, n := range c.Noise {
		if n.Every <= 0 || n.Level < 0 || n.Level > 7 || n.Times < 0 {
			return fail("noise %+v", n)
		}
	}
	if c.Login.Prompt == "" {
		c.Login.Prompt = c.Hostname + " login: "
	}
	if c.Login.PasswordPrompt == "" {
		c.Login.PasswordPrompt = "Password: "
	}
	if c.BootLog == nil {
		c.BootLog = []string{
			"Booting Linux on physical CPU 0x0000000000 [0x410fd034]",
			"Linux version " + c.Release + " (builder@dutflash) (gcc 12.2.0) #1 SMP PREEMPT",
			"Machine model: dutflash simulated board",
			"Kernel command line: console=" + c.Console[len("/dev/"):] + ",115200",
			"Run /init as init process",
		}
	}
	return c, nil
}
