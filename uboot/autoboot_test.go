package uboot_test

import (
	"strings"
	"time"
)

// The ways in which an oldBoard waits for somebody to stop it.

// anyKey is autoboot without CONFIG_AUTOBOOT_KEYED.
func anyKey(b *oldBoard) bool {
	b.print("Hit any key to stop autoboot: %2d ", 3)
	for left := 2; left >= 0; left-- {
		_, stopped := b.key(time.Second)
		b.print("\b\b\b%2d ", left)
		if stopped {
			b.print("\n")
			return true
		}
	}
	b.print("\n")
	return false
}

// keyed is autoboot with CONFIG_AUTOBOOT_STOP_STR.
func keyed(text, stop string) func(b *oldBoard) bool {
	return func(b *oldBoard) bool {
		b.print("%s", text)
		var keys []byte
		for end := time.Now().Add(3 * time.Second); ; {
			key, ok := b.key(time.Until(end))
			if !ok {
				return false
			}
			keys = append(keys, key)
			if strings.HasSuffix(string(keys), stop) {
				return true
			}
		}
	}
}

// hashed is autoboot with CONFIG_AUTOBOOT_ENCRYPTION: the string is compared from
// the first key on, after every key (sha256) or once at Enter (crypt).
func hashed(stop string, enter bool) func(b *oldBoard) bool {
	return func(b *oldBoard) bool {
		time.Sleep(time.Second) // loads its environment
		b.print("Enter the stop string within 3 seconds\n")
		var keys []byte
		for end := time.Now().Add(3 * time.Second); ; {
			key, ok := b.key(time.Until(end))
			if !ok {
				return false
			}
			if enter && key == '\r' {
				return string(keys) == stop
			}
			keys = append(keys, key)
			if !enter && string(keys) == stop {
				return true
			}
		}
	}
}

// password is a vendor's question after the countdown was stopped.
func password(right string) func(b *oldBoard) bool {
	return func(b *oldBoard) bool {
		if !anyKey(b) {
			return false
		}
		for range 5 {
			b.print("enter Password:")
			var line []byte
			for {
				key, ok := b.key(20 * time.Second)
				if !ok {
					return false
				}
				if key == '\r' {
					break
				}
				line = append(line, key)
				b.print("*")
			}
			b.print("\n")
			if string(line) == right {
				return true
			}
		}
		return false
	}
}

// bootMenu is the menu of CONFIG_CMD_BOOTMENU, shown before the prompt
// (CONFIG_AUTOBOOT_MENU_SHOW): ESC and Ctrl-C leave it for the command line.
func bootMenu(b *oldBoard) bool {
	b.print("\x1b[2J\x1b[1;1H\x1b[3;3H*** U-Boot Boot Menu ***\x1b[5;1H\x1b[7m     Boot from eMMC\x1b[0m\x1b[6;1H     U-Boot console")
	b.print("\x1b[9;3HPress UP/DOWN to move, ENTER to select, ESC/CTRL+C to quit\x1b[8;3HHit any key to stop autoboot:  3 ")
	for end := time.Now().Add(3 * time.Second); ; {
		key, ok := b.key(time.Until(end))
		if !ok || key == '\r' {
			return false
		}
		if key == 0x03 {
			break
		}
		if key == 0x1b {
			if next, more := b.key(10 * time.Millisecond); !more || next != '[' {
				break
			}
		}
	}
	b.print("\x1b[?25h\x1b[2J\x1b[1;1H")
	return true
}

// vendorMenu is a menu of numbers, one of which is the command line.
func vendorMenu(b *oldBoard) bool {
	b.print("Please choose the operation: \n   1: Load system code to SDRAM via TFTP. \n   3: Boot system code via Flash (default).\n   4: Enter boot command line interface.\n")
	return keyed("", "4")(b)
}
