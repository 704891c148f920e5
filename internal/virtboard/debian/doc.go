// Package debian makes the software of a virtual board out of Debian's own
// packages: the stock kernel and busybox-static for the board's architecture.
//
// [Prepare] downloads them with apt, into directories of its own: it needs no
// root, and leaves the system's package lists and its own architecture as they
// are. What it took from the packages is kept in a cache, so that this happens
// once. [Software.Initramfs] packs busybox and the kernel modules into an
// initramfs that ends in a shell or a login prompt, and [Software.WriteBundle]
// writes a flasher bundle: a manifest and the files that it names.
package debian
