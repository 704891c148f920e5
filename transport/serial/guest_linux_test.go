package serial_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/internal/guest"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/transport/serial"
)

func TestMain(m *testing.M) { guest.Main(m, onThePC) }

// TestRealLine runs what a pty has no hardware for on a PC of QEMU's, with Debian's
// kernel and ser2net: modem lines, sizes of characters, an FTDI adapter that is
// unplugged. Its ttyS1 is a 16550, to the board at the first port of a PCI card;
// ttyUSB0 is the adapter, to the board at the second.
func TestRealLine(t *testing.T) {
	files := []string{testtool.Need(t, "ser2net", "apt-get install ser2net")}
	plugins, err := filepath.Glob("/usr/libexec/*/gensio/*/libgensio_*.so")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plugins { // it loads them by name
		if regexp.MustCompile(`_(net|telnet|serialdev)\.so$`).MatchString(p) {
			files = append(files, p)
		}
	}
	uart, adapter := filepath.Join(t.TempDir(), "uart"), filepath.Join(t.TempDir(), "adapter")
	guest.Run(t, guest.Machine{Arch: debian.PC, Modules: []string{"xhci_pci", "ftdi_sio"}, Files: files, QEMUArgs: []string{
		"-chardev", "socket,id=uart,server=on,wait=off,path=" + uart, "-serial", "chardev:uart",
		"-chardev", "socket,id=usb,server=on,wait=off,path=" + adapter,
		"-chardev", "socket,id=board0,path=" + uart, "-chardev", "socket,id=board1,path=" + adapter,
		"-device", "pci-serial-2x,chardev1=board0,chardev2=board1",
		"-device", "qemu-xhci,id=x", "-device", "usb-hub,bus=x.0,port=1,port-power=on",
		"-device", "usb-serial,bus=x.0,port=1.1,chardev=usb,always-plugged=on",
	}})
}

const (
	uartPort    = "/dev/ttyS1"
	adapterPort = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_1-if00-port0"
)

func onThePC() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	all, err := os.ReadFile("/proc/tty/driver/serial")
	if err != nil {
		return err
	}
	card := regexp.MustCompile(`(?m)^(\d+): uart:16550A (?:mmio|port):\w+ irq:(\d+)`).FindAllSubmatch(all, -1)
	if len(card) != 4 {
		return fmt.Errorf("there are not four ports:\n%s", all)
	}
	boards := []string{"/dev/ttyS" + string(card[2][1]), "/dev/ttyS" + string(card[3][1])}
	for _, try := range []struct {
		name string
		do   func(ctx context.Context, board string) error
		at   string
	}{{"local port", localLine, boards[0]}, {"ser2net", remoteLine, boards[0]}, {"FTDI adapter", unplugged, boards[1]}} {
		if err := try.do(ctx, try.at); err != nil {
			return fmt.Errorf("%s: %w", try.name, err)
		}
	}
	return nil
}

// lineFlags are the flags of the line that a process has the UART open with.
func lineFlags(pid int) (tio *unix.Termios, err error) {
	err = withUART(pid, func(fd int) error {
		tio, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	return tio, err
}

// withUART calls do with the descriptor that a process has the UART open with.
func withUART(pid int, do func(fd int) error) error {
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return err
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(process)
	for _, fd := range fds {
		if path, _ := os.Readlink(fd); path != uartPort {
			continue
		}
		var number int
		if _, err := fmt.Sscan(filepath.Base(fd), &number); err != nil {
			return err
		}
		// To open the port would change its modem lines.
		own, err := unix.PidfdGetfd(process, number, 0)
		if err != nil {
			return err
		}
		defer unix.Close(own)
		return do(own)
	}
	return fmt.Errorf("process %d does not have %s open", pid, uartPort)
}

// settings are the lines that are tried, and the flags that they are.
var settings = []struct {
	query       string
	dtr, rts    string
	flags, mask uint32
}{
	{"?baud=19200&data=7&parity=even&stop=2&dtr=off&rts=on", "off", "on", unix.B19200 | unix.CS7 | unix.PARENB | unix.CSTOPB, lineMask},
	{"?baud=115200&data=8&dtr=on&rts=off", "on", "off", unix.B115200 | unix.CS8, lineMask},
	{"?baud=9600&data=5&parity=odd&dtr=off&rts=off", "off", "off", unix.B9600 | unix.CS5 | unix.PARENB | unix.PARODD, lineMask},
	{"?baud=300&data=5&stop=1.5&dtr=on&rts=on", "on", "on", unix.B300 | unix.CS5 | unix.CSTOPB, lineMask},
	{"?baud=57600&data=6&dtr=on&rts=on", "on", "on", unix.B57600 | unix.CS6, lineMask},
}

const lineMask = unix.CBAUD | unix.CSIZE | unix.PARENB | unix.PARODD | unix.CSTOPB

// isSet compares the line with what it should be.
func isSet(pid int, dtr, rts string, flags, mask uint32) error {
	got, err := modemLines()
	if want := "dtr=" + dtr + " rts=" + rts; err == nil && got != want {
		err = fmt.Errorf("the kernel says %s, want %s", got, want)
	}
	if err != nil {
		return err
	}
	tio, err := lineFlags(pid)
	if err == nil && tio.Cflag&mask != flags {
		err = fmt.Errorf("the line's flags are %o, want %o", tio.Cflag&mask, flags)
	}
	return err
}

// localLine sets the line of a port of this machine.
func localLine(ctx context.Context, _ string) error {
	for _, s := range settings {
		p, err := serial.Open(ctx, uartPort+s.query)
		if err == nil {
			err = errors.Join(isSet(os.Getpid(), s.dtr, s.rts, s.flags, s.mask), p.Close())
		}
		if err == nil { // the driver's default
			err = modemsAre("off", "off")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.query, err)
		}
	}
	for _, query := range []string{"?dtr=off&rts=on", "?dtr=on&rts=off&reopen=1s"} {
		p, err := serial.Open(ctx, uartPort+query)
		if err == nil {
			err = errors.Join(boardsLines(ctx, os.Getpid(), p, strings.Contains(query, "dtr=on"), strings.Contains(query, "rts=on")), p.Close())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	// The lines stay as they are where somebody wants that.
	p, err := serial.Open(ctx, uartPort+"?hupcl=off&flow=rtscts")
	if err == nil {
		err = errors.Join(isSet(os.Getpid(), "on", "on", unix.CRTSCTS, unix.CRTSCTS|unix.HUPCL), p.Close())
	}
	if err == nil {
		err = modemsAre("on", "on")
	}
	return err
}

// remoteLine sets the line of a port behind ser2net.
func remoteLine(ctx context.Context, board string) error {
	if err := errors.Join(loopbackUp(), os.MkdirAll("/var/lock", 0o755), os.WriteFile("/ser2net.yaml", []byte("connection: &c\n"+
		"  accepter: telnet(rfc2217),tcp,127.0.0.1,4001\n  connector: serialdev,"+uartPort+",9600n81,local\n"), 0o600)); err != nil {
		return err
	}
	path, err := filepath.Glob("/usr/*bin/ser2net")
	if err != nil || len(path) != 1 {
		return fmt.Errorf("%v, %w", path, err)
	}
	cmd := exec.CommandContext(ctx, path[0], "-n", "-d", "-c", "/ser2net.yaml")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	other, err := serial.Open(ctx, board)
	if err != nil {
		return err
	}
	defer other.Close()
	for _, s := range settings {
		if strings.Contains(s.query, "stop=1.5") { // ser2net does not answer to that
			continue
		}
		p, err := openFree(ctx, "rfc2217://127.0.0.1:4001"+s.query)
		if err != nil {
			return fmt.Errorf("%s: %w", s.query, err)
		}
		err = isSet(cmd.Process.Pid, s.dtr, s.rts, s.flags, s.mask)
		if err == nil && s.flags&unix.CSIZE >= unix.CS7 {
			err = errors.Join(says(p, other, "to the board\r\n"), says(other, p, "from the board\r\n"))
		}
		if err = errors.Join(err, p.Close()); err != nil {
			return fmt.Errorf("%s: %w", s.query, err)
		}
	}
	p, err := openFree(ctx, "rfc2217://127.0.0.1:4001?dtr=off&rts=on")
	if err != nil {
		return err
	}
	read := make(chan struct{})
	go func() { // what the server says of the lines comes to who reads
		defer close(read)
		io.Copy(io.Discard, p)
	}()
	err = errors.Join(boardsLines(ctx, cmd.Process.Pid, p, false, true), p.Close())
	<-read
	return err
}

// openFree opens a console of a server that may not be up, or may not have noticed yet
// that the last connection is over.
func openFree(ctx context.Context, url string) (io.ReadWriteCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		p, err := serial.Open(ctx, url)
		if err == nil || errors.Is(err, serial.ErrRFC2217) || ctx.Err() != nil {
			return p, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// loopbackUp does what "ip link set lo up" does, and gives lo a further address: with
// 127.0.0.1 alone ser2net finds that there is no IPv4.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return err
	}
	further, err := unix.NewIfreq("lo:1")
	if err == nil {
		err = further.SetInet4Addr([]byte{10, 0, 0, 1})
	}
	if err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, further)
}

// says sends a text from one end to the other.
func says(from io.Writer, to io.Reader, text string) error {
	if _, err := io.WriteString(from, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		return fmt.Errorf("%q arrived, want %q: %w", got, text, err)
	}
	return nil
}

// unplugged takes the power from the adapter's port of the hub for a while, so that the
// kernel takes away the device, under a session that is open.
func unplugged(ctx context.Context, board string) error {
	switchPort := func(disable string) error {
		return os.WriteFile("/sys/bus/usb/devices/1-1:1.0/1-1-port1/disable", []byte(disable), 0)
	}
	if err := linkAdapter(ctx); err != nil {
		return err
	}
	p, err := serial.Open(ctx, adapterPort+"?reopen=1m&baud=57600")
	if err != nil {
		return err
	}
	defer p.Close()
	other, err := serial.Open(ctx, board)
	if err != nil {
		return err
	}
	defer other.Close()
	if err := errors.Join(says(p, other, "to the board\r\n"), says(other, p, "from the board\r\n")); err != nil {
		return err
	}
	said := make(chan string, 1)
	go func() {
		text := make([]byte, 256)
		n, err := p.Read(text)
		said <- fmt.Sprint(string(text[:n]), err)
	}()
	if err := switchPort("1"); err != nil {
		return err
	}
	for { // as udev does
		if _, err := os.Stat(adapterPort); err != nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the adapter stays: %w", ctx.Err())
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := errors.Join(os.Remove(adapterPort), switchPort("0"), linkAdapter(ctx)); err != nil {
		return err
	}
	if text := <-said; !strings.Contains(text, "vanished and came back") || !strings.HasSuffix(text, "<nil>") {
		return fmt.Errorf("the session is told %q", text)
	}
	return errors.Join(says(p, other, "to the board again\r\n"), says(other, p, "from the board again\r\n"))
}

// linkAdapter waits for the adapter and makes the link to it that udev would.
func linkAdapter(ctx context.Context) error {
	for {
		ports, err := filepath.Glob("/dev/ttyUSB*")
		if err != nil {
			return err
		}
		if len(ports) > 0 {
			return errors.Join(os.MkdirAll(filepath.Dir(adapterPort), 0o755), os.Symlink(ports[0], adapterPort))
		}
		if ctx.Err() != nil {
			return fmt.Errorf("there is no adapter: %w", ctx.Err())
		}
		time.Sleep(20 * time.Millisecond)
	}
}
