package uboot_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dutflash/dutflash/uboot"
)

// says is a command that prints a text and comes back.
func says(text string) func(*oldBoard, []string) {
	return func(b *oldBoard, _ []string) { b.print("%s", text) }
}

// hangs is a command that prints a text and listens to nothing but Ctrl-C.
func hangs(text string) func(*oldBoard, []string) {
	return func(b *oldBoard, _ []string) {
		b.print("%s", text)
		b.waits(forever)
	}
}

// startsAgain is a command that says the same every five seconds, until Ctrl-C.
func startsAgain(text string) func(*oldBoard, []string) {
	return func(b *oldBoard, _ []string) {
		for stopped := false; !stopped; stopped = b.waits(5 * time.Second) {
			b.print("%s", text)
		}
	}
}

// dies is a command that prints a text and listens to nothing.
func dies(text string) func(*oldBoard, []string) {
	return func(b *oldBoard, _ []string) {
		b.print("%s", text)
		dead(b)
	}
}

type action func(context.Context, *uboot.Session) error

func run(cmd string) action {
	return func(ctx context.Context, s *uboot.Session) error { _, err := s.Run(ctx, cmd); return err }
}

func boot(cmd string) action {
	return func(ctx context.Context, s *uboot.Session) error { return s.Boot(ctx, cmd) }
}

func dhcp(ctx context.Context, s *uboot.Session) error { _, err := s.DHCP(ctx); return err }

func tftp(ctx context.Context, s *uboot.Session) error {
	_, err := s.TFTPBoot(ctx, uboot.File{Name: "kernel.img", Address: "20800000", Size: 1000, CRC32: 0x12345678, CheckCRC: true})
	return err
}

// loading is what precedes the fate of a transfer.
const loading = "Using FEC ETHERNET device\nTFTP from server 10.0.0.1; our IP address is 10.0.0.2\nFilename 'kernel.img'.\nLoad address: 0x20800000\nLoading: *\b"

// TestFailures goes through what can go wrong: each has its sentinel, its step, and
// the console lines that show it.
func TestFailures(t *testing.T) {
	for _, tc := range []struct {
		name     string
		command  string // that goes wrong
		behave   func(*oldBoard, []string)
		do       action
		op       string
		is       []error
		tail     string
		isGone   bool // the session does not answer afterwards
		deadline time.Duration
	}{
		{name: "watchdog", command: "x", behave: dies("working\n\n\nU-Boot SPL 2022.04 (Apr 04 2022)\n"), do: run("x"), op: "run",
			is: []error{uboot.ErrReset}, tail: "U-Boot SPL", isGone: true},
		{name: "reset without SPL", command: "x", behave: dies("work\n\nU-Boot 2009.08 (Jan 01 2010 - 12:00:00)\n\nDRAM:  64 MB\n"), do: run("x"), op: "run",
			is: []error{uboot.ErrReset}, tail: "DRAM:  6", isGone: true},
		{name: "reset command", command: "reset", behave: dies("resetting ...\n"), do: run("reset"), op: "run",
			is: []error{uboot.ErrReset}, tail: "resetting ...", isGone: true},
		{name: "abort", command: "x", behave: dies("\"Synchronous Abort\" handler, esr 0x96000010\n"), do: run("x"), op: "run",
			is: []error{uboot.ErrCrash}, tail: "Synchronous Abort", isGone: true},
		{name: "hang with a panic", command: "x", behave: dies("### ERROR ### Please RESET the board ###\n"), do: run("x"), op: "run",
			is: []error{uboot.ErrCrash}, tail: "Please RESET the board", isGone: true},
		{name: "hang", command: "x", behave: hangs("working"), do: run("x"), op: "run",
			is: []error{context.DeadlineExceeded}, tail: "working"},
		{name: "deaf hang", command: "x", behave: dies("working"), do: run("x"), op: "run",
			is: []error{context.DeadlineExceeded}, tail: "working", isGone: true},

		{name: "no DHCP server, gives up", command: "dhcp", behave: says("BOOTP broadcast 1\nBOOTP broadcast 2\n\nRetry time exceeded; starting again\n"), do: dhcp, op: "dhcp",
			is: []error{uboot.ErrNoDHCP}, tail: "BOOTP broadcast 2"},
		{name: "no DHCP server, old words", command: "dhcp", behave: startsAgain("BOOTP broadcast 1\n\nRetry count exceeded; starting again\n"), do: dhcp, op: "dhcp",
			is: []error{uboot.ErrNoDHCP}, tail: "BOOTP broadcast 1"},
		{name: "no DHCP server, asks for ever", command: "dhcp", behave: hangs("BOOTP broadcast 1\nBOOTP broadcast 2\n"), do: dhcp, op: "dhcp",
			is: []error{uboot.ErrNoDHCP, context.DeadlineExceeded}, tail: "BOOTP broadcast 2"},
		{name: "no DHCP server, for longer than there is time", command: "dhcp", behave: hangs("BOOTP broadcast 1\n\nRetry count exceeded; starting again\n"), do: dhcp, op: "dhcp",
			is: []error{uboot.ErrNoDHCP, context.DeadlineExceeded}, tail: "starting again"},
		{name: "reset while asking DHCP", command: "dhcp", behave: dies("BOOTP broadcast 1\n\nRetry count exceeded; starting again\n\n\nU-Boot SPL 2022.04\n"), do: dhcp, op: "dhcp",
			is: []error{uboot.ErrReset}, tail: "SPL", isGone: true},
		{name: "no DHCP server, without a word", command: "dhcp", behave: says("FEC: link down\n"), do: dhcp, op: "dhcp",
			is: []error{uboot.ErrNoDHCP}, tail: "link down"},
		{name: "no network interface", command: "dhcp", behave: says("No ethernet found.\n"), do: dhcp, op: "dhcp",
			is: []error{uboot.ErrNoEthernet}, tail: "No ethernet"},
		{name: "no PHY", command: "dhcp", behave: says("Could not initialize PHY FEC\n"), do: dhcp, op: "dhcp",
			is: []error{uboot.ErrNoEthernet}, tail: "PHY"},
		{name: "no dhcp command", command: "none", do: dhcp, op: "dhcp",
			is: []error{uboot.ErrUnknownCommand}, tail: "Unknown command 'dhcp'"},
		{name: "no address from DHCP", command: "dhcp", behave: says("DHCP client bound to address 0.0.0.0\n"), do: dhcp, op: "dhcp",
			is: []error{uboot.ErrNoDHCP}, tail: "ipaddr=0.0.0.0"},

		{name: "missing file", command: "tftpboot", behave: says(loading + "\nTFTP error: 'File not found' (1)\nNot retrying...\n"), do: tftp, op: "tftp",
			is: []error{uboot.ErrTFTP}, tail: "File not found"},
		{name: "missing file, old words", command: "tftpboot", behave: startsAgain(loading + "\nTFTP error: 'File not found' (1)\nStarting again\n\n"), do: tftp, op: "tftp",
			is: []error{uboot.ErrTFTP}, tail: "File not found"},
		{name: "no ARP answer", command: "tftpboot", behave: startsAgain(loading + "\nARP Retry count exceeded; starting again\n"), do: tftp, op: "tftp",
			is: []error{uboot.ErrNoServer, uboot.ErrNoARP}, tail: "ARP Retry"},
		{name: "no TFTP server", command: "tftpboot", behave: startsAgain(loading + "T T T T T T \nRetry count exceeded; starting again\n"), do: tftp, op: "tftp",
			is: []error{uboot.ErrNoServer}, tail: "Retry count"},
		{name: "server died", command: "tftpboot", behave: startsAgain(loading + "####\nTFTP server died; starting again\n"), do: tftp, op: "tftp",
			is: []error{uboot.ErrNoServer}, tail: "server died"},
		{name: "no TFTP server, gives up", command: "tftpboot", behave: says(loading + "T T T T T T \nRetry count exceeded; starting again\n"), do: tftp, op: "tftp",
			is: []error{uboot.ErrNoServer}, tail: "Retry count"},
		{name: "stalled", command: "tftpboot", behave: hangs(loading + "##########\n\t #####T T T "), do: tftp, op: "tftp",
			is: []error{uboot.ErrNoServer, context.DeadlineExceeded}, tail: "T T T"},
		{name: "slow", command: "tftpboot", behave: hangs(loading + "##########\n\t #####T T #"), do: tftp, op: "tftp",
			is: []error{context.DeadlineExceeded}, tail: "T T #"},
		{name: "no size", command: "tftpboot", behave: says(loading + "####\ndone\n"), do: tftp, op: "tftp",
			is: []error{uboot.ErrSize}, tail: "done"},
		{name: "other size", command: "tftpboot", behave: says(loading + "####\ndone\nBytes transferred = 999 (3e7 hex)\n"), do: tftp, op: "tftp",
			is: []error{uboot.ErrSize}, tail: "999"},
		{name: "other contents", command: "crc32", behave: says("crc32 for 20800000 ... 20800be7 ==> 12345679\n"), do: tftp, op: "tftp",
			is: []error{uboot.ErrCRC}, tail: "12345679"},
		{name: "reset while loading", command: "tftpboot", behave: dies(loading + "####\n\n\nU-Boot SPL 2022.04 (Apr 04 2022)\n"), do: tftp, op: "tftp",
			is: []error{uboot.ErrReset}, tail: "####", isGone: true},

		{name: "not an image", command: "bootm", behave: says("Wrong Image Format for bootm command\nERROR: can't get kernel image!\n"), do: boot("bootm"), op: "boot",
			is: []error{uboot.ErrBadImage, uboot.ErrBootReturned}, tail: "Wrong Image"},
		{name: "bad checksum, then a reset", command: "bootm", behave: dies("   Verifying Checksum ... Bad Data CRC\nERROR: can't get kernel image!\nresetting ...\n"), do: boot("bootm"), op: "boot",
			is: []error{uboot.ErrBadImage, uboot.ErrReset}, tail: "Bad Data CRC", isGone: true},
		{name: "FDT gone", command: "bootm", behave: dies("ERROR: image is not a fdt - must RESET the board to recover.\nresetting ...\n"), do: boot("bootm"), op: "boot",
			is: []error{uboot.ErrBadImage, uboot.ErrReset}, tail: "not a fdt", isGone: true},
		{name: "boots nothing", command: "bootm", behave: says("temperature too low\n"), do: boot("bootm"), op: "boot",
			is: []error{uboot.ErrBootReturned}, tail: "too low"},
		{name: "no boot command", command: "none", do: boot("bootm"), op: "boot",
			is: []error{uboot.ErrBootReturned, uboot.ErrUnknownCommand}, tail: "Unknown command 'bootm'"},
		{name: "crash while booting", command: "bootm", behave: dies("## Booting kernel\nundefined instruction\npc : [<20800040>]\n"), do: boot("bootm"), op: "boot",
			is: []error{uboot.ErrCrash}, tail: "undefined instruction", isGone: true},
		{name: "reset while booting", command: "bootm", behave: dies("## Booting kernel\n\n\nU-Boot SPL 2022.04\n"), do: boot("bootm"), op: "boot",
			is: []error{uboot.ErrReset}, tail: "SPL", isGone: true},
		{name: "not an image, and hangs", command: "bootm", behave: dies("Wrong Image Format for bootm command\nplease reset\n"), do: boot("bootm"), op: "boot",
			is: []error{uboot.ErrBadImage, context.DeadlineExceeded}, tail: "Wrong Image", isGone: true},
		{name: "boots without a word", command: "bootm", behave: dies("## Booting kernel from Legacy Image\n"), do: boot("bootm"), op: "boot",
			is: []error{context.DeadlineExceeded}, tail: "Booting kernel", isGone: true},

		{name: "server does not show in a command", command: "ping", behave: says("*** ERROR: `ipaddr' not set\nping failed; host 10.0.0.1 is not alive\n"), do: run("ping"), op: "run",
			is: nil, tail: "not alive"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &oldBoard{commands: map[string]func(*oldBoard, []string){
				tc.command: tc.behave,
			}, env: map[string]string{"autoload": "yes", "ipaddr": "0.0.0.0"}}
			if tc.command == "crc32" {
				b.commands["tftpboot"] = says(loading + "#\ndone\nBytes transferred = 1000 (3e8 hex)\n")
			}
			synctest.Test(t, func(t *testing.T) {
				s := atPrompt(t, b)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				err := tc.do(ctx, s)
				var status *uboot.CommandError
				if tc.is == nil && !errors.As(err, &status) {
					t.Errorf("got %v, want a *CommandError", err)
				}
				for _, is := range append(tc.is, err) {
					wantError(t, err, is, tc.op, tc.tail)
				}
				for _, other := range append(sentinels(), context.DeadlineExceeded) {
					if errors.Is(err, other) && !contains(tc.is, other) && !implied(tc.is, other) {
						t.Errorf("it is also %v: %v", other, err)
					}
				}
				if !tc.isGone {
					answers(t, s)
					if b.env["autoload"] != "yes" {
						t.Errorf("autoload is %q, not put back", b.env["autoload"])
					}
				} else if _, err := s.Run(ctx, "version"); err == nil {
					t.Error("a board that is gone answers")
				}
			})
		})
	}
}

// sentinels are all of the package's.
func sentinels() []error {
	return []error{
		uboot.ErrSilent, uboot.ErrNoPrompt, uboot.ErrPastBootloader, uboot.ErrPassword, uboot.ErrReset, uboot.ErrCrash, uboot.ErrNotDefined, uboot.ErrTruncated,
		uboot.ErrLineTooLong, uboot.ErrControlCharacter, uboot.ErrNoHush, uboot.ErrUnknownCommand, uboot.ErrNoEthernet, uboot.ErrNoDHCP, uboot.ErrNoServer, uboot.ErrNoARP,
		uboot.ErrTFTP, uboot.ErrSize, uboot.ErrCRC, uboot.ErrBadImage, uboot.ErrBootReturned,
		uboot.ErrEcho, uboot.ErrEarlyEnter,
	}
}

func contains(errs []error, err error) bool {
	for _, e := range errs {
		if errors.Is(e, err) {
			return true
		}
	}
	return false
}

// implied says that DHCP without an answer is, underneath, a server that does not
// answer.
func implied(errs []error, err error) bool {
	return err == uboot.ErrNoServer && contains(errs, uboot.ErrNoDHCP)
}

// TestBoot starts kernels that say something, each in its way, and one that says
// nothing.
func TestBoot(t *testing.T) {
	for _, first := range []string{"Starting kernel ...", "EFI stub: Booting Linux Kernel...", "[    0.000000] Booting Linux on physical CPU 0x0", "[    0.000000] Linux version 6.1.0"} {
		t.Run(first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &oldBoard{commands: map[string]func(*oldBoard, []string){"bootm": dies("## Booting kernel\n\n" + first + "\nrest")}}
				s := atPrompt(t, b)
				if err := s.Boot(t.Context(), "setenv bootargs quiet; bootm 20800000"); err != nil {
					t.Error(err)
				}
			})
		})
	}
	t.Run("quiet", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &oldBoard{commands: map[string]func(*oldBoard, []string){"bootm": dies("## Booting kernel\n")}}
			s := atPrompt(t, b, uboot.WithQuietBoot(5*time.Second))
			began := time.Now()
			if err := s.Boot(t.Context(), "bootm 20800000"); err != nil || time.Since(began) < 5*time.Second {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		})
	})
	t.Run("quiet, and it comes back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &oldBoard{commands: map[string]func(*oldBoard, []string){"bootm": says("Bad Magic Number\n")}}
			s := atPrompt(t, b, uboot.WithQuietBoot(5*time.Second))
			if err := s.Boot(t.Context(), "bootm 20800000"); !errors.Is(err, uboot.ErrBadImage) {
				t.Error(err)
			}
		})
	})
	t.Run("quiet, but for a failure", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &oldBoard{commands: map[string]func(*oldBoard, []string){"bootm": dies("Bad Magic Number\n")}}
			s := atPrompt(t, b, uboot.WithQuietBoot(5*time.Second))
			if err := s.Boot(t.Context(), "bootm 20800000"); !errors.Is(err, uboot.ErrBadImage) {
				t.Error(err)
			}
		})
	})
	t.Run("a long command that comes back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &oldBoard{modern: true, commands: map[string]func(*oldBoard, []string){"bootm": says("Bad Magic Number\n")}}
			s := atPrompt(t, b)
			err := s.Boot(t.Context(), "setenv bootargs 'console=ttyS0 "+strings.Repeat("quiet ", 40)+"'; bootm 20800000")
			wantError(t, err, uboot.ErrBadImage, "boot", "Bad Magic Number")
			if _, left := b.env["dutflash_cmd"]; left || !strings.HasPrefix(b.env["bootargs"], "console=ttyS0 quiet ") {
				t.Errorf("the board's variables are %q", b.env)
			}
		})
	})
	t.Run("nothing to boot", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if err := atPrompt(t, &oldBoard{}).Boot(t.Context(), ""); err == nil {
				t.Error("an empty command boots")
			}
		})
	})
}

// TestDHCPOldBoard is what a build without hush is believed.
func TestDHCPOldBoard(t *testing.T) {
	tries := 0
	b := &oldBoard{commands: map[string]func(*oldBoard, []string){"dhcp": func(b *oldBoard, _ []string) {
		if b.env["autoload"] != "no" {
			b.print("*** ERROR: it loads a file\n")
		}
		if tries++; tries < 3 {
			b.print("BOOTP broadcast 1\n\nRetry time exceeded; starting again\n")
			return
		}
		b.env["ipaddr"], b.env["netmask"], b.env["serverip"] = "10.0.0.7", "255.255.254.0", "10.0.0.1"
		b.print("BOOTP broadcast 1\nDHCP client bound to address 10.0.0.7\n")
	}}}
	onOldBoard(t, b, func(t *testing.T, s *uboot.Session) {
		n, err := s.DHCP(t.Context())
		want := uboot.Network{Address: netip.MustParsePrefix("10.0.0.7/23"), Server: netip.MustParseAddr("10.0.0.1")}
		if err != nil || n != want || tries != 3 {
			t.Errorf("after %d tries: %+v, %v", tries, n, err)
		}
		if v, ok := b.env["autoload"]; ok {
			t.Errorf("autoload is %q, not put back", v)
		}
	})
}

// TestSecondInterface has U-Boot go on with another interface by itself, which is
// not to be disturbed.
func TestSecondInterface(t *testing.T) {
	b := &oldBoard{commands: map[string]func(*oldBoard, []string){
		"dhcp": func(b *oldBoard, _ []string) {
			b.print("Could not initialize PHY FEC0\nBOOTP broadcast 1\nBOOTP broadcast 2\n\nRetry count exceeded; starting again\n")
			b.waits(5 * time.Second)
			b.env["ipaddr"] = "10.0.0.7"
			b.print("BOOTP broadcast 1\nDHCP client bound to address 10.0.0.7\n")
		},
		"tftpboot": func(b *oldBoard, _ []string) {
			b.print("ARP Retry count exceeded; starting again\n")
			b.waits(5 * time.Second)
			b.print("%s", loading+"#\ndone\nBytes transferred = 1000 (3e8 hex)\n")
		},
		"crc32": says("crc32 for 20800000 ... 20800be7 ==> 12345678\n"),
	}}
	onOldBoard(t, b, func(t *testing.T, s *uboot.Session) {
		if n, err := s.DHCP(t.Context()); err != nil || n.Address != netip.MustParsePrefix("10.0.0.7/24") {
			t.Errorf("got %+v, %v", n, err)
		}
		if err := tftp(t.Context(), s); err != nil {
			t.Error(err)
		}
	})
}

// TestTFTPWindowPutsBack checks the variables after success, and after a failure
// in the middle.
func TestTFTPWindowPutsBack(t *testing.T) {
	b := &oldBoard{env: map[string]string{"tftpblocksize": "512"}}
	onOldBoard(t, b, func(t *testing.T, s *uboot.Session) {
		restore, err := s.TFTPWindow(t.Context(), 8, 1468)
		if err != nil || b.env["tftpwindowsize"] != "8" || b.env["tftpblocksize"] != "1468" {
			t.Fatalf("%v, %v", b.env, err)
		}
		if err := restore(t.Context()); err != nil || b.env["tftpwindowsize"] != "" || b.env["tftpblocksize"] != "512" {
			t.Errorf("%v, %v", b.env, err)
		}
	})
	b = &oldBoard{env: map[string]string{"tftpblocksize": "512"}}
	b.commands = map[string]func(*oldBoard, []string){"setenv": func(b *oldBoard, args []string) {
		switch {
		case args[1] == "tftpblocksize" && args[2] != "512":
			b.print("## Error: Can't overwrite \"tftpblocksize\"\n")
		case len(args) == 2:
			delete(b.env, args[1])
		default:
			b.env[args[1]] = strings.Join(args[2:], " ")
		}
	}}
	onOldBoard(t, b, func(t *testing.T, s *uboot.Session) {
		_, err := s.TFTPWindow(t.Context(), 8, 1468)
		if err == nil || b.env["tftpwindowsize"] != "" || b.env["tftpblocksize"] != "512" {
			t.Errorf("%v, %v", b.env, err)
		}
	})
}
