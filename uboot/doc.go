// Package uboot is a U-Boot session on a console: stop autoboot, run commands
// with their exit status, environment, DHCP, TFTP, boot.
//
// A prompt is a hint here, never a proof. That a command ended is known by a
// marker that was made for that command and that the echo of the command cannot
// contain; a session begins with such a marker as well. What goes wrong is
// recognised by U-Boot's own messages and has a name: see the Err variables.
//
// A serial line that loses, repeats or damages characters must not make another
// command of the one that was asked for. So Enter follows a line only when U-Boot's
// echo of it is right, and what is wrong is typed again ([ErrEcho]). What is not
// noticed is a character that is damaged on its way there and made right again on the
// way back, and anything at all where U-Boot's echo does not arrive as such. What
// U-Boot answers can be damaged as well: the environment is read until two answers
// are the same ([Session.Env]), and so is a checksum that is not right. What
// [Session.Run] returns is what arrived.
//
// A build without the hush shell, which is an old or a small one, can be used too,
// but has no exit statuses: a command that fails is noticed by messages that are
// known, and a failure in other words is not (see [Session.Hush]). Values whose
// blanks that parser would lose, and commands longer than a line, are refused
// there.
//
// Boards that show a menu before the prompt are left for the command line with the
// stop key that the menu takes for that: [WithStopKey] with ESC for U-Boot's own
// bootmenu, with "4" or the like for a vendor's.
//
// The behaviour was taken from U-Boot's sources (cmd/, net/, common/cli_hush.c,
// common/cli_simple.c, common/autoboot.c). It is tested on Debian's builds for
// QEMU, on what they were recorded to print (testdata), and, for what those builds
// do not have, on a simulated board.
package uboot
