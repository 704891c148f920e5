package applet

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/ash"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

type sttyFlag struct {
	field string
	bit   uint32
}

var sttyFlags = map[string]sttyFlag{
	"echo": {"l", kernel.ECHO}, "echoe": {"l", kernel.ECHOE}, "echok": {"l", kernel.ECHOK}, "echoctl": {"l", kernel.ECHOCTL}, "echoke": {"l", kernel.ECHOKE},
	"icanon": {"l", kernel.ICANON}, "isig": {"l", kernel.ISIG}, "iexten": {"l", kernel.IEXTEN}, "echonl": {"l", kernel.ECHONL}, "noflsh": {"l", kernel.NOFLSH},
	"opost": {"o", kernel.OPOST}, "onlcr": {"o", kernel.ONLCR},
	"icrnl": {"i", kernel.ICRNL}, "igncr": {"i", kernel.IGNCR}, "inlcr": {"i", kernel.INLCR}, "istrip": {"i", kernel.ISTRIP},
	"ixon": {"i", 0o2000}, "ixoff": {"i", 0o10000}, "brkint": {"i", 2}, "imaxbel": {"i", 0o20000}, "cstopb": {"c", 0o100}, "crtscts": {"c", 0o20000000000}, "clocal": {"c", 0o4000},
}

func stty(c *call, args []string) int {
	if !ash.IsTerminal(c.FDs.Get(0)) {
		return c.fail("standard input: %v", kernel.ENOTTY)
	}
	t := c.K.TTY.Termios()
	if len(args) == 0 || args[0] == "-a" {
		c.printf("speed 115200 baud;")
		for _, name := range []string{"isig", "icanon", "iexten", "echo", "echoe", "echok", "opost", "onlcr", "icrnl"} {
			f := sttyFlags[name]
			if *field(&t, f.field)&f.bit == 0 {
				name = "-" + name
			}
			c.printf(" %s", name)
		}
		c.printf("\n")
		return 0
	}
	if args[0] == "-g" {
		c.printf("%x:%x:%x:%x", t.Iflag, t.Oflag, t.Cflag, t.Lflag)
		for _, b := range t.CC {
			c.printf(":%x", b)
		}
		c.printf("\n")
		return 0
	}
	for _, a := range args {
		switch {
		case a == "raw" || a == "-cooked":
			t.Iflag &^= kernel.ICRNL
			t.Oflag &^= kernel.OPOST
			t.Lflag &^= kernel.ICANON | kernel.ISIG
		case a == "cooked" || a == "-raw":
			t.Iflag |= kernel.ICRNL
			t.Oflag |= kernel.OPOST
			t.Lflag |= kernel.ICANON | kernel.ISIG
		case a == "sane":
			t = kernel.DefaultTermios()
		case strings.Contains(a, ":"):
			if !restore(&t, a) {
				return c.fail("invalid argument '%s'", a)
			}
		case sttyFlags[strings.TrimPrefix(a, "-")] != sttyFlag{}:
			f := sttyFlags[strings.TrimPrefix(a, "-")]
			if strings.HasPrefix(a, "-") {
				*field(&t, f.field) &^= f.bit
			} else {
				*field(&t, f.field) |= f.bit
			}
		default:
			if _, err := strconv.Atoi(a); err != nil { // else a speed, which nobody notices
				return c.fail("invalid argument '%s'", a)
			}
		}
	}
	c.K.TTY.SetTermios(t, false)
	return 0
}

func field(t *kernel.Termios, name string) *uint32 {
	switch name {
	case "i":
		return &t.Iflag
	case "o":
		return &t.Oflag
	case "c":
		return &t.Cflag
	}
	return &t.Lflag
}

// restore reads what -g has printed.
func restore(t *kernel.Termios, text string) bool {
	parts := strings.Split(text, ":")
	if len(parts) != 4+len(t.CC) {
		return false
	}
	for i, p := range parts {
		var v uint32
		if _, err := fmt.Sscanf(p, "%x", &v); err != nil {
			return false
		}
		if i < 4 {
			*field(t, "iocl"[i:i+1]) = v
		} else {
			t.CC[i-4] = byte(v)
		}
	}
	return true
}
