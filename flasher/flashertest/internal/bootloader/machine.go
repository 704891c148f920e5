// Package bootloader is the U-Boot of a simulated board: autoboot, a command line
// with hush's quotes and variables, and the commands that bring a board to Linux,
// with the texts of U-Boot 2023.01 as a QEMU board printed them. A command that it
// does not have is unknown, as in a build without it.
package bootloader

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"time"
)

// TTY is the board's serial line.
type TTY interface {
	// Receive waits for typed characters.
	Receive(ctx context.Context, p []byte) (int, error)
	// Send prints.
	Send(ctx context.Context, p []byte) error
	// Peek returns what was typed and not received yet, without taking it.
	Peek() string
	// SetBaud sets the rate of the line at the board's end.
	SetBaud(baud int)
}

// Lease is what the DHCP server gives the board.
type Lease struct {
	Address netip.Prefix
	Gateway netip.Addr // the zero value is none
	Server  netip.Addr // next-server; the zero value is none
}

// Config describes the board and its build of U-Boot.
type Config struct {
	Prompt string
	// Delay is bootdelay in seconds.
	Delay int
	// StopKey stops autoboot; "" is any key.
	StopKey string
	// PastAutoboot has the board ignore the stop key and boot what is installed.
	PastAutoboot bool
	// LineLimit is CONFIG_SYS_CBSIZE: what is typed beyond is not taken.
	LineLimit int
	// Lease is the DHCP server's answer; nil is none.
	Lease *Lease
	// NoEthernet has the build find no network device.
	NoEthernet bool
	// BootKernel is the command that starts a Linux kernel of this board:
	// "booti" or "bootz".
	BootKernel string
	// Missing are commands that this build does not have.
	Missing []string
	// Env is the default environment beside what every board has.
	Env map[string]string
	// FDT is the control device tree, found at $fdtcontroladdr.
	FDT []byte
	// UDP opens a socket in the board's network and returns it with the address
	// that reaches server.
	UDP func(ctx context.Context, server netip.AddrPort) (net.PacketConn, net.Addr, error)
	// TCP connects to a server.
	TCP func(ctx context.Context, network, address string) (net.Conn, error)
	// Wget makes it a build with the command wget, as of 2025.01.
	Wget bool
	// TFTPLoss is the share of packets, 0 to 1, that get lost in each direction,
	// decided by Random.
	TFTPLoss float64
	// TFTPLimit ends a transfer as if it were complete after so many bytes,
	// where not 0.
	TFTPLimit int64
	// Random gives numbers from 0 to 1.
	Random func() float64
}

// Ending says how U-Boot ended.
type Ending struct {
	// Booted says that a kernel was started; otherwise the board resets.
	Booted bool
	// Installed says that the kernel is the installed system's, not one that was
	// loaded.
	Installed bool
	// Args are the boot arguments.
	Args string
}

// machine is one power-on.
type machine struct {
	cfg  *Config
	ctx  context.Context
	tty  TTY
	env  map[string]string
	ram  ram
	stat int // exit status of the last command
	last string
	end  *Ending
	// once says that a command was run that is not run again at an empty line.
	once bool
	// interrupted says that Ctrl-C ended a command, and the list with it.
	interrupted bool
	depth       int // of run
}

// Run is the board from its first instruction until it boots something, resets,
// or loses power, which is the end of ctx.
func Run(ctx context.Context, tty TTY, cfg Config) (Ending, error) {
	m := &machine{cfg: &cfg, ctx: ctx, tty: tty, ram: ram{}, env: map[string]string{
		"bootdelay": fmt.Sprint(cfg.Delay), "baudrate": "115200", "arch": "sim",
		"loadaddr": "0x40200000", "kernel_addr_r": "0x40400000", "ramdisk_addr_r": "0x44000000",
		"fdt_addr_r": "0x48000000", "fdtcontroladdr": fmt.Sprintf("%x", controlFDT),
		"ethaddr": "52:54:00:12:34:56", "bootcmd": "run distro_bootcmd", "distro_bootcmd": "echo No bootable device",
	}}
	maps.Copy(m.env, cfg.Env)
	m.ram.write(controlFDT, cfg.FDT)
	m.banner()
	if m.autoboot() {
		if cfg.PastAutoboot {
			m.print("Starting kernel ...\n\n")
			return Ending{Booted: true, Installed: true}, ctx.Err()
		}
		m.execute("run bootcmd")
	}
	for m.end == nil && ctx.Err() == nil {
		m.print(cfg.Prompt)
		line, ok := m.readLine()
		for ok && open(line) {
			m.print("> ")
			var more string
			more, ok = m.readLine()
			line += " " + more
		}
		if ok {
			m.execute(line)
		}
	}
	if m.end == nil {
		return Ending{}, ctx.Err()
	}
	return *m.end, nil
}

// controlFDT is where U-Boot's own device tree is.
const controlFDT = 0x7ee4f5a0

func (m *machine) release() string {
	if m.cfg.Wget {
		return "2025.01 (Jan 06 2025 - 14:21:11 +0000)"
	}
	return "2023.01 (Jan 09 2023 - 16:07:33 +0000)"
}

func (m *machine) banner() {
	m.print("\n\nU-Boot " + m.release() + "\n\nDRAM:  1 GiB\nCore:  47 devices, 13 uclasses, devicetree: board\n" +
		"Loading Environment from nowhere... OK\nIn:    serial@9000000\nOut:   serial@9000000\nErr:   serial@9000000\n")
	if m.cfg.NoEthernet {
		m.print("Net:   No ethernet found.\n")
	} else {
		m.print("Net:   eth0: ethernet@31\n")
	}
}

// autoboot counts down and says whether nobody stopped it.
func (m *machine) autoboot() bool {
	if m.cfg.StopKey == "" {
		m.print("Hit any key to stop autoboot: ")
	} else {
		m.print("Autoboot in ")
	}
	m.printf("%2d ", m.cfg.Delay)
	typed := ""
	for left := m.cfg.Delay; left > 0; left-- {
		until, cancel := context.WithTimeout(m.ctx, time.Second)
		for {
			var p [1]byte
			n, err := m.tty.Receive(until, p[:])
			if err != nil {
				break
			}
			typed += string(p[:n])
			if !m.cfg.PastAutoboot && contains(typed, m.cfg.StopKey) {
				cancel()
				m.print("\b\b\b 0 \n")
				return false
			}
		}
		cancel()
		if m.ctx.Err() != nil {
			return false
		}
		m.printf("\b\b\b%2d ", left-1)
	}
	m.print("\n")
	return true
}

func (m *machine) printf(format string, args ...any) { m.print(fmt.Sprintf(format, args...)) }

// print writes to the serial line, whose line ends are CR LF.
func (m *machine) print(s string) {
	out := make([]byte, 0, len(s)+8)
	for i := range len(s) {
		if s[i] == '\n' {
			out = append(out, '\r')
		}
		out = append(out, s[i])
	}
	// A line that is gone is noticed where something is awaited from it.
	_ = m.tty.Send(m.ctx, out)
}

// pause waits, and says whether Ctrl-C came instead.
func (m *machine) pause(d time.Duration) (interrupted bool) {
	for until := time.Now().Add(d); m.ctx.Err() == nil; {
		if m.ctrlC() {
			return true
		}
		left := time.Until(until)
		if left <= 0 {
			return false
		}
		select {
		case <-time.After(min(left, 10*time.Millisecond)):
		case <-m.ctx.Done():
		}
	}
	return true
}

// ctrlC looks for a typed Ctrl-C, and takes everything typed up to it, as
// U-Boot's ctrlc() does.
func (m *machine) ctrlC() bool {
	typed := m.tty.Peek()
	for i := range len(typed) {
		if typed[i] == 3 {
			p := make([]byte, i+1)
			if _, err := m.tty.Receive(m.ctx, p); err != nil {
				return true
			}
			m.interrupted = true
			return true
		}
	}
	return false
}
