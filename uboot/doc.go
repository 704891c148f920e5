// Package uboot is a U-Boot session on a console: stop autoboot, run commands
// with their exit status, environment, DHCP, TFTP, boot.
//
// A prompt is a hint here, never a proof. That a command ended is known by a
// marker that was made for that command and that the echo of the command cannot
// contain; a session begins with such a marker as well. What goes wrong is
// recognised by U-Boot's own messages and has a name: see the Err variables.
//
// The behaviour was taken from U-Boot's sources (cmd/, net/, common/cli_hush.c)
// and is tested on Debian's builds for QEMU.
package uboot
