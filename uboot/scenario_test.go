package uboot_test

import (
	"context"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/uboot"
)

// files are what the TFTP server has.
func files() map[string][]byte {
	return map[string][]byte{"kernel.img": []byte(strings.Repeat("dutflash ", 50_000))}
}

// scenario is a session from power on to a board that is gone, against real U-Boot
// or what was recorded of it. It may run in a synctest bubble, so it has no
// subtests.
type scenario struct {
	*testing.T
	build
	con     *console.Console
	s       *uboot.Session
	options []uboot.Option
	full    bool // what is recorded, with the parts that wait for timeouts of U-Boot
	heading func(string)
}

func (d *scenario) run() {
	d.Helper()
	d.step("power on", d.powerOn)
	if d.s == nil || d.Failed() {
		return
	}
	d.step("commands", d.commands)
	d.step("a command that hangs", d.hangs)
	d.step("what boards say of themselves", d.information)
	d.step("environment", d.environment)
	d.step("long values and commands", d.long)
	if !d.full {
		d.step("long values and commands with quotes", d.longQuoted)
	}
	d.step("network", d.network)
	d.step("files", d.load)
	d.step("no kernel", d.bootRefused)
	if d.full {
		d.step("no TFTP server", d.noServer)
		d.step("no DHCP server", d.noDHCP) // after which U-Boot has no address
	}
	d.step("reset", d.reset)
	d.step("crash", d.crashes)
}

// step runs a part and says in which one something failed.
func (d *scenario) step(name string, f func()) {
	d.Helper()
	d.heading(name)
	before := d.Failed()
	f()
	if !before && d.Failed() {
		d.Logf("the first failure was in %q", name)
	}
}

func (d *scenario) powerOn() {
	s, err := uboot.New(d.con, d.options...)
	if err != nil {
		d.Fatal(err)
	}
	d.interrupt(s)
	d.s = s
	if s.Prompt() != d.prompt || !s.Hush() {
		d.Errorf("prompt %q and hush %v, want %q and true", s.Prompt(), s.Hush(), d.prompt)
	}
}

func (d *scenario) interrupt(s *uboot.Session) {
	ctx, cancel := context.WithTimeout(d.Context(), 2*time.Minute)
	defer cancel()
	if err := s.Interrupt(ctx); err != nil {
		d.Fatal(err)
	}
}

func (d *scenario) commands() {
	ctx := d.Context()
	out, err := d.s.Run(ctx, "version")
	if err != nil || !strings.HasPrefix(strings.TrimSpace(out), "U-Boot 20") {
		d.Errorf("version: %q, %v", out, err)
	}
	if out, err := d.s.Run(ctx, "true"); err != nil || out != "" {
		d.Errorf("true: %q, %v", out, err)
	}
	_, err = d.s.Run(ctx, "false")
	var status *uboot.CommandError
	if !errors.As(err, &status) || status.Status != 1 {
		d.Errorf("false: %v, want exit status 1", err)
	}
	if _, err := d.s.Run(ctx, "nosuchcommand"); !errors.Is(err, uboot.ErrUnknownCommand) {
		d.Errorf("unknown command: %v", err)
	}
	if out, err := d.s.Run(ctx, "echo =>; echo '# '; echo $?; echo 'BCGHJKMP''QSTUVXYZ'0"); err != nil || out != "=>\n# \n0\nBCGHJKMPQSTUVXYZ0" {
		d.Errorf("prompts and markers in the output: %q, %v", out, err)
	}
	if out, err := d.s.Run(ctx, `echo back\`); err != nil || strings.TrimSpace(out) != "back" {
		d.Errorf("a backslash at the end: %q, %v", out, err)
	}
	if out, err := d.s.Run(ctx, "echo -n no line break"); err != nil || out != "no line break" && out != "-n no line break" {
		d.Errorf("no line break: %q, %v", out, err)
	}
}

func (d *scenario) hangs() {
	short, cancel := context.WithTimeout(d.Context(), 2*time.Second)
	defer cancel()
	out, err := d.s.Run(short, "echo before; sleep 1000; echo after")
	if !errors.Is(err, context.DeadlineExceeded) || out != "before" {
		d.Errorf("sleep: %q, %v, want a timeout", out, err)
	}
	d.answers("after a command that hangs")
}

// answers sees that the session goes on.
func (d *scenario) answers(when string) {
	d.Helper()
	if out, err := d.s.Run(d.Context(), "echo still here"); err != nil || out != "still here" {
		d.Errorf("%s: %q, %v", when, out, err)
	}
}

func (d *scenario) information() {
	for _, c := range [][2]string{{"bdinfo", "baudrate "}, {"printenv", "\nEnvironment size: "}, {"help", "printenv"}, {"md.b " + d.ram + " 40", " "}} {
		cmd := c[0]
		out, err := d.s.Run(d.Context(), cmd)
		if err != nil || !strings.Contains(out, c[1]) || strings.Contains(out, "\r") || strings.HasSuffix(out, d.prompt) {
			d.Errorf("%s: %q, %v", cmd, out, err)
		}
	}
}

func (d *scenario) environment() {
	ctx := d.Context()
	if _, err := d.s.Env(ctx, "no_such_variable"); !errors.Is(err, uboot.ErrNotDefined) {
		d.Errorf("missing variable: %v", err)
	}
	for _, value := range []string{
		"plain", "two words", "  blanks  ", "$HOME ${bootcmd}", "a;b && c || d", `back\slash\\`, `it's`, `"quoted"`, `'all' "of" $it; \n #`,
		"=> ", "-n", "# comment", "*?[a-z]{1,2}~", "größer", "console=ttyAMA0,115200n8 root=/dev/vda2", `"`, `'`, `\`, `$`, `;`, `'''`, `\'\"\$`,
	} {
		d.roundTrip(value)
	}
	if err := d.s.SetEnv(ctx, "dutflash_test", ""); err != nil {
		d.Error(err)
	}
	if _, err := d.s.Env(ctx, "dutflash_test"); !errors.Is(err, uboot.ErrNotDefined) {
		d.Errorf("deleted variable: %v", err)
	}
	if _, err := d.s.Run(ctx, "printenv dutflash_test"); !errors.Is(err, uboot.ErrNotDefined) {
		d.Errorf("deleted variable, asked for in a command: %v", err)
	}
	for _, value := range []string{"a tab\there", "two\nlines", "\x1b[A", "\x7f", "\x00"} {
		if err := d.s.SetEnv(ctx, "dutflash_test", value); !errors.Is(err, uboot.ErrControlCharacter) {
			d.Errorf("set %q: %v, want ErrControlCharacter", value, err)
		}
		if _, err := d.s.Run(ctx, "echo "+value); !errors.Is(err, uboot.ErrControlCharacter) {
			d.Errorf("echo %q: %v, want ErrControlCharacter", value, err)
		}
	}
	var status *uboot.CommandError
	if err := d.s.SetEnv(ctx, "ipaddr", "nonsense"); !errors.As(err, &status) || !strings.Contains(status.Output, "## Error") {
		d.Errorf("an address that is none: %v, want U-Boot's own error", err)
	}
}

func (d *scenario) roundTrip(value string) {
	d.Helper()
	if err := d.s.SetEnv(d.Context(), "dutflash_test", value); err != nil {
		d.Errorf("set %q: %v", value, err)
		return
	}
	got, err := d.s.Env(d.Context(), "dutflash_test")
	if len(value) > 200 && errors.Is(err, uboot.ErrTruncated) {
		return // this build cannot print it
	}
	if err != nil || got != value {
		d.Errorf("set %q, got %q, %v", value, got, err)
	}
}

func (d *scenario) long() {
	ctx := d.Context()
	d.roundTrip(strings.Repeat("a long value; ", 60))
	d.roundTrip(strings.Repeat(`"$x" `, 100))
	d.roundTrip(strings.Repeat("0123456789", 250)) // more than one line of output
	if err := d.s.SetEnv(ctx, "dutflash_test", strings.Repeat(`it's `, 1000)); !errors.Is(err, uboot.ErrLineTooLong) {
		d.Errorf("very long value with quotes: %v, want ErrLineTooLong", err)
	}
	long := strings.Repeat("echo 0123456789; ", 40) + "echo end"
	if out, err := d.s.Run(ctx, long); err != nil || out != strings.Repeat("0123456789\n", 40)+"end" {
		d.Errorf("command of %d characters: %q, %v", len(long), out, err)
	}
	var status *uboot.CommandError
	if _, err := d.s.Run(ctx, long+"; false"); !errors.As(err, &status) || status.Status != 1 || status.Command != long+"; false" {
		d.Errorf("long command that fails: %v", err)
	}
	if _, err := d.s.Env(ctx, "dutflash_cmd"); !errors.Is(err, uboot.ErrNotDefined) {
		d.Errorf("a long command leaves its variable: %v", err)
	}
}

// longQuoted goes through many pieces, which the transcripts need not hold.
func (d *scenario) longQuoted() {
	d.roundTrip(strings.Repeat(`it's a \n "$x"; `, 30))
	cmd := strings.Repeat(`setenv dutflash_test 'a;b'\\c; `, 10) + "printenv dutflash_test"
	if out, err := d.s.Run(d.Context(), cmd); err != nil || out != `dutflash_test=a;b\c` {
		d.Errorf("long command with quotes: %q, %v", out, err)
	}
	for _, name := range []string{"dutflash_cmd", "dutflash_1", "dutflash_2"} {
		if _, err := d.s.Env(d.Context(), name); !errors.Is(err, uboot.ErrNotDefined) {
			d.Errorf("%s is left behind: %v", name, err)
		}
	}
}

func (d *scenario) network() {
	ctx := d.Context()
	n, err := d.s.DHCP(ctx)
	if err != nil {
		d.Fatal(err)
	}
	if n.Address != netip.MustParsePrefix("10.0.2.15/24") {
		d.Errorf("address %v", n.Address)
	}
	if _, err := d.s.Env(ctx, "autoload"); !errors.Is(err, uboot.ErrNotDefined) {
		d.Errorf("autoload was not put back: %v", err)
	}
	n.Server = netip.MustParseAddr("10.0.2.2")
	if err := d.s.SetNetwork(ctx, n); err != nil {
		d.Fatal(err)
	}
	n.Address, n.Gateway = netip.MustParsePrefix("10.0.2.20/25"), netip.Addr{}
	if err := d.s.SetNetwork(ctx, n); err != nil {
		d.Fatal(err)
	}
	for _, v := range [][2]string{{"ipaddr", "10.0.2.20"}, {"netmask", "255.255.255.128"}, {"serverip", "10.0.2.2"}} {
		if got, err := d.s.Env(ctx, v[0]); err != nil || got != v[1] {
			d.Errorf("%s is %q, %v, want %q", v[0], got, err, v[1])
		}
	}
	if _, err := d.s.Env(ctx, "gatewayip"); !errors.Is(err, uboot.ErrNotDefined) {
		d.Errorf("no gateway, and gatewayip is there: %v", err)
	}
}

// kernel is a file that fits.
func (d *scenario) kernel() uboot.File {
	content := files()["kernel.img"]
	return uboot.File{Name: "kernel.img", Address: d.ram, Size: int64(len(content)), CRC32: crc32.ChecksumIEEE(content), CheckCRC: true}
}

func (d *scenario) load() {
	ctx := d.Context()
	file := d.kernel()
	l, err := d.s.TFTPBoot(ctx, file)
	if err != nil || l.Size != file.Size || !l.CRCChecked {
		d.Errorf("tftp: %+v, %v", l, err)
	}
	restore, err := d.s.TFTPWindow(ctx, 4, 1024)
	if err != nil {
		d.Fatal(err)
	}
	if l, err := d.s.TFTPBoot(ctx, file); err != nil || !l.CRCChecked {
		d.Errorf("tftp with windows: %+v, %v", l, err)
	}
	if err := restore(ctx); err != nil {
		d.Error(err)
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
		if _, err := d.s.TFTPBoot(ctx, f); !errors.Is(err, tc.is) {
			d.Errorf("%s: %v, want %v", tc.name, err, tc.is)
		}
	}
	d.answers("after failed transfers")
}

// noServer asks an address that nobody has, and one where no TFTP server is.
func (d *scenario) noServer() {
	ctx, cancel := context.WithTimeout(d.Context(), 10*time.Minute)
	defer cancel()
	if err := d.s.SetEnv(ctx, "tftptimeout", "1000"); err != nil {
		d.Error(err)
	}
	for _, server := range []string{"10.0.2.25", "10.0.2.3"} {
		if err := d.s.SetEnv(ctx, "serverip", server); err != nil {
			d.Error(err)
		}
		if _, err := d.s.TFTPBoot(ctx, d.kernel()); !errors.Is(err, uboot.ErrNoServer) {
			d.Errorf("TFTP from %s: %v, want ErrNoServer", server, err)
		}
		d.answers("after a server that does not answer")
	}
}

// noDHCP asks on the interface that has no cable.
func (d *scenario) noDHCP() {
	ctx, cancel := context.WithTimeout(d.Context(), 10*time.Minute)
	defer cancel()
	for _, v := range [][2]string{{"ethrotate", "no"}, {"ethact", "eth1"}, {"bootpretryperiod", "3000"}} {
		if err := d.s.SetEnv(ctx, v[0], v[1]); err != nil {
			d.Error(err)
		}
	}
	if _, err := d.s.DHCP(ctx); !errors.Is(err, uboot.ErrNoDHCP) {
		d.Errorf("DHCP without a cable: %v, want ErrNoDHCP", err)
	}
	if _, err := d.s.Env(ctx, "autoload"); !errors.Is(err, uboot.ErrNotDefined) {
		d.Errorf("autoload was not put back: %v", err)
	}
}

// bootRefused has boot commands find no kernel, or nothing that goes with it.
func (d *scenario) bootRefused() {
	ctx := d.Context()
	d.refuses(d.boot + " " + d.ram)
	if d.boot == "booti" {
		d.refuses("bootm " + d.ram)
	}
	if d.header != "" {
		if _, err := d.s.Run(ctx, d.header); err != nil {
			d.Error(err)
		}
		d.refuses(d.boot + " " + d.ram + " - " + d.free)                      // no DTB there
		d.refuses(d.boot + " " + d.ram + " " + d.free + " ${fdtcontroladdr}") // no initramfs
	}
	// Of a FIT: a configuration that it has not, and contents that were changed.
	for _, f := range [][2]string{{"good.itb", "#none"}, {"bad.itb", "#conf-1"}} {
		if _, err := d.s.TFTPBoot(ctx, uboot.File{Name: f[0], Address: d.free, Size: -1}); err != nil {
			d.Error(err)
		}
		d.refuses("bootm " + d.free + f[1])
	}
	if err := d.s.Boot(ctx, "true; echo nothing here boots"); !errors.Is(err, uboot.ErrBootReturned) || errors.Is(err, uboot.ErrBadImage) {
		d.Errorf("a command that does not boot: %v, want ErrBootReturned", err)
	}
	if err := d.s.Boot(ctx, "nosuchcommand"); !errors.Is(err, uboot.ErrBootReturned) || !errors.Is(err, uboot.ErrUnknownCommand) {
		d.Errorf("an unknown boot command: %v, want ErrBootReturned and ErrUnknownCommand", err)
	}
}

func (d *scenario) refuses(cmd string) {
	err := d.s.Boot(d.Context(), cmd)
	if !errors.Is(err, uboot.ErrBootReturned) || !errors.Is(err, uboot.ErrBadImage) {
		d.Errorf("%s: %v, want ErrBootReturned and ErrBadImage", cmd, err)
	}
	d.answers("after a boot command that came back")
}

func (d *scenario) reset() {
	if _, err := d.s.Run(d.Context(), "reset"); !errors.Is(err, uboot.ErrReset) {
		d.Errorf("reset: %v, want ErrReset", err)
	}
	d.interrupt(d.s)
	d.answers("after a reset")
}

func (d *scenario) crashes() {
	want := uboot.ErrCrash
	if d.crash == "panic" {
		want = uboot.ErrReset // it says nothing before
	}
	if _, err := d.s.Run(d.Context(), d.crash); !errors.Is(err, want) {
		d.Errorf("%s: %v, want %v", d.crash, err, want)
	}
	if d.resets {
		d.interrupt(d.s)
		d.answers("after a crash")
	}
}
