package serial_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/transport/serial"
)

// modemLines is what the kernel says of DTR and RTS of the UART, without opening it.
func modemLines() (string, error) {
	all, err := os.ReadFile("/proc/tty/driver/serial")
	if err != nil {
		return "", err
	}
	line := regexp.MustCompile(`(?m)^1: uart:16550A .*$`).FindString(string(all))
	state := map[bool]string{true: "on", false: "off"}
	return "dtr=" + state[strings.Contains(line, "DTR")] + " rts=" + state[strings.Contains(line, "RTS")], nil
}

func modemsAre(dtr, rts string) error {
	got, err := modemLines()
	if want := "dtr=" + dtr + " rts=" + rts; err == nil && got != want {
		err = fmt.Errorf("after Close the kernel says %s, want %s", got, want)
	}
	return err
}

// modemLoop is TIOCM_LOOP of asm-generic/termios.h: the UART hears itself.
const modemLoop = 0x8000

// boardsLines reads the modem lines of the other end. Nobody is there: QEMU has them on,
// and the UART's own loop then has CTS at its RTS, and DSR at its DTR.
func boardsLines(ctx context.Context, pid int, p io.ReadWriteCloser, dtr, rts bool) error {
	lines, ok := p.(serial.ModemReader)
	if !ok {
		return fmt.Errorf("%T has no modem lines", p)
	}
	loop := func(request uint) error {
		return withUART(pid, func(fd int) error { return unix.IoctlSetPointerInt(fd, request, modemLoop) })
	}
	for _, s := range []struct {
		change uint
		want   serial.ModemLines
	}{
		{unix.TIOCMBIC, serial.ModemLines{CTS: true, DSR: true, DCD: true}},
		{unix.TIOCMBIS, serial.ModemLines{CTS: rts, DSR: dtr, DCD: true}},
		{unix.TIOCMBIC, serial.ModemLines{CTS: true, DSR: true, DCD: true}},
	} {
		if err := loop(s.change); err != nil {
			return err
		}
		for { // a server looks once a second
			got, err := lines.ModemLines(ctx)
			if err != nil {
				return fmt.Errorf("want %+v: %w", s.want, err)
			}
			if got == s.want {
				break
			}
			if ctx.Err() != nil || pid == os.Getpid() {
				return fmt.Errorf("the modem lines are %+v, want %+v", got, s.want)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}
