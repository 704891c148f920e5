package linux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/applet"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/ash"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// Ending is how a system has ended.
type Ending string

// The endings.
const (
	Rebooted   Ending = "reboot"
	PoweredOff Ending = "poweroff"
	Halted     Ending = "halt"
	Panicked   Ending = "panic"
	Cut        Ending = "cut" // the context has ended: somebody took the power away
)

// System is a board whose kernel was started. Its methods may be called
// concurrently.
type System struct {
	cfg     Config
	k       *kernel.Kernel
	machine *applet.Machine
	cancel  context.CancelFunc
	disks   []*blockDevice
}

// Start starts a kernel, which lives until ctx ends, Panic is called, or a
// program shuts it down. What it prints goes to out, whose Write must not
// block for ever: it must return once ctx has ended. Wait must be called.
func Start(ctx context.Context, out io.Writer, cfg Config) (*System, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	s := &System{cfg: cfg}
	ctx, s.cancel = context.WithCancel(ctx)
	s.k = kernel.New(ctx, out)
	s.k.FS.SetLimit(cfg.Memory / 2)
	s.machine = &applet.Machine{
		Hostname: cfg.Hostname, Release: cfg.Release, Version: "#1 SMP PREEMPT Thu Jan  1 00:00:00 UTC 1970", Arch: cfg.Arch, CPUs: cfg.CPUs,
		Network: &applet.Network{Interface: cfg.Interface, MAC: cfg.MAC, Lease: cfg.Lease, Gateway: cfg.Gateway},
		Dial:    cfg.Dial, NoDirectIO: cfg.NoDirectIO,
		Rescan: s.rescan,
	}
	s.install()
	s.devices()
	s.sysfs()
	s.procfs()
	init := s.k.Spawn("init")
	s.k.Go(func() { init.Exit(s.boot(init)) })
	for _, n := range cfg.Noise {
		s.k.Go(func() { s.noise(n) })
	}
	return s, nil
}

// Input is what arrives at the board's serial port. It does not block.
func (s *System) Input(b []byte) { s.k.TTY.Type(b) }

// Printk has the kernel print a message of a level from 0 (emergency) to 7
// (debug); it is on the console only where the console's log level lets it through.
func (s *System) Printk(level int, text string) { s.k.Log.Print(level, text) }

// Panic has the kernel print a panic and stop: nothing runs any more.
func (s *System) Panic(reason string) {
	s.k.Log.Print(0, "Kernel panic - not syncing: "+reason)
	s.k.Log.Print(0, "---[ end Kernel panic - not syncing: "+reason+" ]---")
	s.k.Stop(&kernel.Shutdown{Action: string(Panicked)})
}

// Raw prints text on the console as it is.
func (s *System) Raw(text string) { s.k.TTY.Raw(text) }

// Wait waits for the end of the system. No goroutine of it is left then.
func (s *System) Wait() Ending {
	<-s.k.Done()
	s.k.Wait()
	s.cancel()
	var down *kernel.Shutdown
	if errors.As(s.k.Cause(), &down) {
		return Ending(down.Action)
	}
	return Cut
}

// Conn is a console that a System can be run on: a net.Conn and an *os.File
// are.
type Conn interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Run starts a system on a console and waits for its end. When ctx ends, reads
// and writes of tty are made to end by deadlines, which are taken off again.
func Run(ctx context.Context, tty Conn, cfg Config) (Ending, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { tty.SetWriteDeadline(past) })
	defer stop()
	s, err := Start(ctx, tty, cfg)
	if err != nil {
		return "", err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			s.Input(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	ending := s.Wait()
	tty.SetReadDeadline(past)
	<-done
	if !stop() { // the deadline was set
		tty.SetWriteDeadline(time.Time{})
	}
	tty.SetReadDeadline(time.Time{})
	return ending, nil
}

func (s *System) noise(n Noise) {
	t := time.NewTicker(n.Every)
	defer t.Stop()
	for i := 0; n.Times == 0 || i < n.Times; i++ {
		select {
		case <-t.C:
			s.Printk(n.Level, n.Text)
		case <-s.k.Done():
			return
		}
	}
}

// ExtraTools are the programs that busybox has not, but boards often have.
func ExtraTools() []string { return []string{"curl", "unzstd", "zstd", "zstdcat"} }

// BusyboxTools are the programs that busybox has here.
func BusyboxTools() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys((&applet.Machine{}).Table())), func(n string) bool { return slices.Contains(ExtraTools(), n) })
}

// shellTools are builtins of the shell that are programs too. They are always
// there.
var shellTools = []string{"echo", "printf", "test", "[", "kill", "true", "false", "pwd"}

// install puts the programs into /bin.
func (s *System) install() {
	tools := s.cfg.Tools
	if tools == nil {
		tools = BusyboxTools()
	}
	table := s.machine.Table()
	for _, n := range shellTools {
		s.program("/bin/"+n, ash.Builtin(n))
	}
	for _, n := range tools {
		if p := table[n]; p != nil {
			s.program("/bin/"+n, p)
		}
	}
	s.program("/bin/sh", ash.Main)
	s.program("/bin/ash", ash.Main)
	for _, d := range []string{"/tmp", "/root", "/var/log", "/run", "/mnt", "/sbin", "/usr/bin", "/usr/sbin"} {
		s.k.FS.Put(d, s.k.FS.Directory())
	}
	s.k.FS.PutFile("/etc/hostname", 0o644, s.cfg.Hostname+"\n")
	s.k.FS.PutFile("/etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n")
	s.k.FS.PutFile("/etc/resolv.conf", 0o644, "")
	if !s.cfg.NoUdhcpcScript {
		s.k.FS.PutFile("/usr/share/udhcpc/default.script", 0o755, udhcpcScript)
	}
}

func (s *System) program(path string, p func(*kernel.Process) int) {
	n := s.k.FS.Text(func(*kernel.Process) string { return "\x7fELF" }, nil)
	n.SetMode(0o755)
	n.Program = p
	s.k.FS.Put(path, n)
}

// udhcpcScript does what busybox's own sample does, as far as it matters here.
const udhcpcScript = `#!/bin/sh
case $1 in
deconfig)
	ip addr flush dev $interface
	ip link set $interface up
	;;
bound|renew)
	ip addr flush dev $interface
	ip addr add $ip/${mask:-24} dev $interface
	[ -n "$router" ] && ip route replace default via ${router%% *} dev $interface
	: >/etc/resolv.conf
	for d in $dns; do echo nameserver $d >>/etc/resolv.conf; done
	;;
esac
exit 0
`

// boot is what init does.
func (s *System) boot(p *kernel.Process) int {
	levels := s.k.Log.Levels()
	if s.cfg.Quiet {
		s.k.Log.SetLevels(0)
	}
	for _, line := range s.cfg.BootLog {
		s.k.Log.Print(6, line)
	}
	s.k.Log.SetLevels(levels[0])
	if p.Sleep(s.cfg.BootDelay) != nil {
		return 1
	}
	tty, err := s.k.FS.Open(p, s.cfg.Console, kernel.ReadWrite, 0)
	if err != nil {
		s.Panic(fmt.Sprintf("No working init found: %v", err))
		return 1
	}
	p.FDs.Set(0, tty)
	p.FDs.Set(1, tty.Retain())
	p.FDs.Set(2, tty.Retain())
	for !p.Killed() {
		if s.cfg.Login.User != "" && !s.login(p) {
			continue
		}
		shell := p.Fork()
		shell.SetPGID(shell.PID)
		shell.Args = []string{"-sh"}
		shell.Env = map[string]string{"PATH": "/sbin:/usr/sbin:/bin:/usr/bin", "HOME": "/", "TERM": "vt102"}
		if s.cfg.Login.User != "" {
			shell.Env["HOME"], shell.Env["USER"], shell.Env["LOGNAME"], shell.Env["SHELL"] = "/root", s.cfg.Login.User, s.cfg.Login.User, "/bin/sh"
			shell.Chdir("/root")
		}
		if s.cfg.Prompt != "" {
			shell.Env["PS1"] = s.cfg.Prompt
		}
		control := !s.cfg.NoControllingTTY
		s.k.TTY.SetControl(control)
		if control {
			s.k.TTY.SetForeground(shell.PID)
		}
		s.k.Go(func() { shell.Exit(ash.Main(shell)) })
		select {
		case <-shell.Done():
		case <-p.Dying():
			return 0
		}
		s.k.TTY.SetTermios(kernel.DefaultTermios(), true)
	}
	return 0
}

// refuseTime is how long a wrong password takes.
const refuseTime = 3 * time.Second

// login asks for user and password, as getty and login do.
func (s *System) login(p *kernel.Process) bool {
	l := &s.cfg.Login
	tty := p.Stream(1)
	io.WriteString(tty, "\n"+l.Issue+l.Prompt)
	user, ok := s.line(p)
	for ok && user == "" {
		io.WriteString(tty, l.Prompt)
		user, ok = s.line(p)
	}
	if !ok {
		return false
	}
	password := ""
	if l.Password != "" || user != l.User {
		io.WriteString(tty, l.PasswordPrompt)
		before := s.k.TTY.Termios()
		quiet := before
		quiet.Lflag &^= kernel.ECHO
		s.k.TTY.SetTermios(quiet, true)
		password, ok = s.line(p)
		s.k.TTY.SetTermios(before, false)
		io.WriteString(tty, "\n")
	}
	if !ok || user != l.User || password != l.Password {
		p.Sleep(refuseTime)
		io.WriteString(tty, "Login incorrect\n")
		return false
	}
	return true
}

// line reads a line from the console.
func (s *System) line(p *kernel.Process) (string, bool) {
	buf := make([]byte, 4096)
	n, err := p.Stream(0).Read(buf)
	if err != nil {
		return "", false
	}
	return strings.TrimRight(string(buf[:n]), "\n"), true
}
