// Package dutflash is the root of a Go SDK that flashes disk images onto
// embedded boards (devices under test, DUTs) the way a lab engineer does it:
// power-cycle, stop U-Boot on the serial console, DHCP, kernel, initramfs and
// DTB over TFTP from an OCI flasher bundle, a busybox shell on the board, and
// the image over HTTP onto the right block device, with proof that what is on
// the disk is what was meant.
//
// The root package holds no code. Where to start:
//
//   - [github.com/dutflash/dutflash/flasher] assembles everything: one
//     Flasher per board, with Flash, BootloaderShell and BusyboxShell. Below it
//     are config (board files), cli (the command tree) and flashertest.
//   - [github.com/dutflash/dutflash/uboot] and
//     [github.com/dutflash/dutflash/busybox] are sessions on a console, usable
//     alone.
//   - [github.com/dutflash/dutflash/bundle] reads and makes flasher bundles.
//   - [github.com/dutflash/dutflash/power] switches the board.
//   - [github.com/dutflash/dutflash/transport/console],
//     [github.com/dutflash/dutflash/transport/tftp],
//     [github.com/dutflash/dutflash/transport/httpd] and
//     [github.com/dutflash/dutflash/transport/image] are how bytes reach a
//     board.
//
// Imports point down only: flasher knows everybody; uboot and busybox know
// transport/console; bundle, power and the transport packages know none of the
// others. A program that wants only a U-Boot session imports only that.
package dutflash
