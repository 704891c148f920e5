package uboot

import (
	"fmt"
	"regexp"
)

// failure is a message of U-Boot's and what it means.
type failure struct {
	pattern *regexp.Regexp
	means   error
}

// fatal messages end a session whatever is waited for. The banner is no proof of
// a reset, since the version command prints it; the memory line after it is. What
// may be in a variable's value counts at the beginning of a line only.
func fatal() []failure {
	return []failure{
		{regexp.MustCompile(`(?:^|[\r\n])(?:(?:` + stampText + `)?(?:U-Boot SPL 20\d\d|DRAM: +[\d<]|Resetting CPU|resetting \.\.\.))`), ErrReset},
		{regexp.MustCompile(`"(?:Synchronous Abort|Error)" handler|### ERROR ### Please RESET the board|(?:^|[\r\n])(?:Unhandled exception: |Ooops:)|undefined instruction\r?\n|data abort\r?\n|prefetch abort\r?\n`), ErrCrash},
	}
}

// passed are the signs of an operating system.
var passedText = regexp.MustCompile(`Starting kernel \.\.\.|Linux version \d|Booting Linux on physical CPU|EFI stub: `)

// networkFailures are what dhcp and tftpboot print when they fail. A PHY that does
// not work comes last: another interface may have been tried after it.
func networkFailures() []failure {
	return []failure{
		{regexp.MustCompile(`TFTP error: '[^'\r\n]*' \(\d+\)|TFTP error: [^\r\n]*\(\d+\)`), ErrTFTP},
		{regexp.MustCompile(`ARP Retry count exceeded`), ErrNoARP},
		{regexp.MustCompile(`TFTP server died`), ErrNoServer},
		{regexp.MustCompile(`Retry (?:count|time) exceeded`), ErrNoServer},
		{regexp.MustCompile(`No ethernet found|Could not initialize PHY`), ErrNoEthernet},
	}
}

// networkLoops end dhcp and tftpboot on builds where they never give up
// (net/net.c, net_start_again; $netretry). The first time that U-Boot starts
// again, it may do so on another interface, so it is the second that counts. A
// server's refusal will be the same again.
func networkLoops() []failure {
	return []failure{
		{regexp.MustCompile(`TFTP error: [^\r\n]*\(\d+\)\r*\n+Starting again`), ErrTFTP},
		{regexp.MustCompile(`; starting again(?s:.*); starting again`), ErrNoServer},
	}
}

// bootFailures are what boot commands print before they come back.
func bootFailures() []failure {
	return []failure{
		{regexp.MustCompile(`Bad Linux ARM64 Image magic!|Bad Linux ARM Image magic!|zimage: Bad magic!|Bad Linux RISCV Image magic!`), ErrBadImage},
		{regexp.MustCompile(`Wrong Image (?:Format|Type) for \w+ command|Wrong Ramdisk Image Format|Ramdisk image is corrupt or invalid`), ErrBadImage},
		{regexp.MustCompile(`ERROR: Did not find a cmdline Flattened Device Tree|ERROR: image is not a fdt|FDT and ATAGS support not compiled in|libfdt fdt_check_header\(\): FDT_ERR_\w+`), ErrBadImage},
		{regexp.MustCompile(`Bad (?:Data Hash|Header Checksum|Data CRC|Magic Number)|Can't get kernel image!|Could not find configuration node`), ErrBadImage},
	}
}

// BootFailure looks for what says that a boot went wrong in console output that
// came after [Session.Boot] had returned: an image that was refused
// ([ErrBadImage]), a crash of U-Boot ([ErrCrash]), or a reset ([ErrReset]). It
// returns nil where it finds none. The failures of the kernel itself are for
// whoever waits for it.
func BootFailure(output string) error {
	return recognise(output, append(bootFailures(), fatal()...))
}

// recognise returns the first failure whose message is in text.
func recognise(text string, failures []failure) error {
	for _, f := range failures {
		if m := f.pattern.FindString(text); m != "" {
			return fmt.Errorf("%w: %s", f.means, clip(m))
		}
	}
	return nil
}

// clip takes the line breaks off a message.
func clip(m string) string {
	for len(m) > 0 && (m[0] == '\r' || m[0] == '\n') {
		m = m[1:]
	}
	for len(m) > 0 && (m[len(m)-1] == '\r' || m[len(m)-1] == '\n') {
		m = m[:len(m)-1]
	}
	return m
}
