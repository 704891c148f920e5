// Package virtboard is a board without hardware: QEMU runs real U-Boot and real
// Linux, and what stands around a board on a desk is here too.
//
//   - The [Board] is a power switch: [Board.On] starts the QEMU process and
//     [Board.Off] kills it, which is what pulling the plug does.
//   - [Board.Console] is the serial cable. It stays while the board is off.
//   - [Board.Network] is the Ethernet cable with a host at the other end: a
//     user-mode network stack that answers DHCP and on which TFTP and HTTP
//     servers listen. Nothing of it exists outside the process, so it needs no
//     root, port 69 is no privilege, and many boards run side by side.
//
// Two architectures, because boards differ: see [ARM64] and [ARM].
//
// QEMU and U-Boot are Debian's (qemu-system-arm, u-boot-qemu). A kernel and an
// initramfs for the board are made by the package debian below this one, a disk
// image to flash by the package demoimage. [Missing] and [Install] say and get
// what a fresh Debian lacks.
//
// The board runs on Linux and macOS. On Windows [New] fails with
// [errors.ErrUnsupported]: QEMU is handed its network as an inherited socket
// there is no counterpart for.
package virtboard
