package flashertest

import (
	"errors"
	"fmt"
	"strings"
)

// Option configures a [Board].
type Option func(*config) error

// Login is how one gets to the shell of a [Board]. The zero value is a shell
// without a login.
type Login struct {
	// Username and Password are what is let in. Without a Password nobody is
	// asked for one.
	Username, Password string
	// Prompt is the shell's; the default is "# ".
	Prompt string
}

// Bootloader is what may differ between builds of U-Boot. The zero value is the
// default: prompt "=> ", any key stops an autoboot of two seconds, hush, a line
// limit of 1024 characters, and all commands that the simulation has.
type Bootloader struct {
	// Prompt is CONFIG_SYS_PROMPT.
	Prompt string
	// StopKey is what stops autoboot; "" is any key.
	StopKey string
	// Delay is bootdelay in seconds.
	Delay int
	// LineLimit is CONFIG_SYS_CBSIZE in characters.
	LineLimit int
	// Missing are commands that were left out, such as "crc32".
	Missing []string
	// Wget makes it a U-Boot 2025.01 with the command wget (HTTP), which the
	// default, a 2023.01, has not.
	Wget bool
	// ARM makes it a 32-bit board, which boots a zImage with bootz.
	ARM bool
}

type config struct {
	seed       uint64
	diskSize   int64
	content    []byte
	second     int64 // size of the second disk; 0 is none
	login      Login
	bootloader Bootloader
	faults     Faults
	tools      []string
	without    []string
	noDirectIO bool
	network    *Network
}

// WithSeed sets what the random faults are decided by; the default is 1. Two
// boards of one seed drop the same characters of the same traffic.
func WithSeed(seed uint64) Option {
	return func(c *config) error {
		c.seed = seed
		return nil
	}
}

// WithDisk sets the size of the board's disk in bytes, a multiple of 4096, and
// what it holds at its beginning. The default is 64 MiB of zeros. Only what is
// not zero takes memory.
func WithDisk(size int64, content []byte) Option {
	return func(c *config) error {
		if size < 4096 || size%4096 != 0 || int64(len(content)) > size {
			return fmt.Errorf("WithDisk: %d bytes is no positive multiple of 4096, or less than the %d bytes of content", size, len(content))
		}
		c.diskSize, c.content = size, content
		return nil
	}
}

// WithSecondDisk gives the board another disk of so many bytes, a multiple of 4096:
// /dev/mmcblk1, at the address 4f80000 and of the same model. It has no faults.
func WithSecondDisk(size int64) Option {
	return func(c *config) error {
		if size < 4096 || size%4096 != 0 {
			return fmt.Errorf("WithSecondDisk: %d bytes is no positive multiple of 4096", size)
		}
		c.second = size
		return nil
	}
}

// WithLogin sets how one gets to the shell.
func WithLogin(l Login) Option {
	return func(c *config) error {
		if l.Password != "" && l.Username == "" {
			return errors.New("WithLogin: a password without a user name")
		}
		if strings.ContainsAny(l.Username+l.Password+l.Prompt, "\r\n") {
			return errors.New("WithLogin: a line break")
		}
		c.login = l
		return nil
	}
}

// WithBootloader sets the build of U-Boot.
func WithBootloader(b Bootloader) Option {
	return func(c *config) error {
		if b.Delay < 0 || b.LineLimit < 0 || b.LineLimit > 0 && b.LineLimit < 80 {
			return fmt.Errorf("WithBootloader: a delay of %d s or a line limit of %d is out of range", b.Delay, b.LineLimit)
		}
		c.bootloader = b
		return nil
	}
}

// WithFaults sets what is wrong with the board from the start; see also
// [Board.SetFaults].
func WithFaults(f Faults) Option {
	return func(c *config) error {
		if err := f.check(); err != nil {
			return fmt.Errorf("WithFaults: %w", err)
		}
		c.faults = f
		return nil
	}
}

// WithoutTools takes commands such as "curl" or "sha256sum" out of the board's
// busybox.
func WithoutTools(names ...string) Option {
	return func(c *config) error {
		c.without = append(c.without, names...)
		return nil
	}
}

// WithoutDirectIO has the board's dd not know iflag=direct and oflag=direct, as that
// of older busyboxes: what it reads may come from the page cache.
func WithoutDirectIO() Option {
	return func(c *config) error {
		c.noDirectIO = true
		return nil
	}
}

// WithCurl puts curl on the board, which a busybox has not by itself.
func WithCurl() Option {
	return func(c *config) error {
		c.tools = append(c.tools, "curl")
		return nil
	}
}

// WithNetworkOf puts the board on the network of another one, with an address of
// its own: the host's ports are then shared, of which there is one 69. Faults of
// HTTP connections set on either board are of the network.
func WithNetworkOf(b *Board) Option {
	return func(c *config) error {
		c.network = b.network
		return nil
	}
}

func (c *config) fill() {
	b := &c.bootloader
	if b.Prompt == "" {
		b.Prompt = "=> "
	}
	if b.Delay == 0 {
		b.Delay = 2
	}
	if b.LineLimit == 0 {
		b.LineLimit = 1024
	}
	if c.login.Prompt == "" {
		c.login.Prompt = "# "
	}
}
