package bootloader

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Magic numbers of what U-Boot boots, and where they are.
const (
	arm64Magic   = "ARM\x64"          // at 56 of an arm64 Image
	zImageMagic  = "\x18\x28\x6f\x01" // at 36 of a zImage
	fdtMagic     = "\xd0\x0d\xfe\xed" // at 0 of a device tree, and of a FIT
	uImageMagic  = "\x27\x05\x19\x56" // at 0 of a file made by mkimage
	arm64Offset  = 56
	zImageOffset = 36
)

func (m *machine) has(at uint64, magic string) bool {
	return string(m.ram.read(at, uint64(len(magic)))) == magic
}

// bootKernel is booti and bootz: kernel, initramfs[:size] or -, DTB.
func (m *machine) bootKernel(w []string) int {
	kernel := uint64(0x40400000)
	if len(w) > 1 {
		var err error
		if kernel, err = number(w[1]); err != nil {
			return m.usage(w, "boot Linux image from memory", "[addr [initrd[:size]] [fdt]]")
		}
	}
	if w[0] == "booti" && !m.has(kernel+arm64Offset, arm64Magic) {
		m.print("Bad Linux ARM64 Image magic!\n")
		return 1
	}
	if w[0] == "bootz" && !m.has(kernel+zImageOffset, zImageMagic) {
		m.print("zimage: Bad magic!\n")
		return 1
	}
	return m.start(w)
}

// bootImage is bootm: a FIT with a configuration, or a legacy image.
func (m *machine) bootImage(w []string) int {
	if len(w) < 2 {
		return m.usage(w, "boot application image from memory", "[addr [arg ...]]")
	}
	address, config, _ := strings.Cut(w[1], "#")
	at, err := number(address)
	if err != nil {
		return m.usage(w, "boot application image from memory", "[addr [arg ...]]")
	}
	switch {
	case m.has(at, fdtMagic):
		size := uint64(binary.BigEndian.Uint32(m.ram.read(at+4, 4)))
		m.printf("## Loading kernel from FIT Image at %08x ...\n", at)
		if config != "" && !bytes.Contains(m.ram.read(at, size), []byte(config+"\x00")) {
			m.print("Could not find configuration node\nERROR: can't get kernel image!\n")
			return 1
		}
		m.printf("   Using '%s' configuration\n   Verifying Hash Integrity ... OK\n", config)
		m.started()
		return 0
	case m.has(at, uImageMagic):
		return m.start(w)
	}
	m.print("Wrong Image Format for bootm command\nERROR: can't get kernel image!\n")
	return 1
}

// start checks the initramfs and the DTB behind a good kernel.
func (m *machine) start(w []string) int {
	if len(w) > 2 && w[2] != "-" {
		address, size, sized := strings.Cut(w[2], ":")
		at, err := number(address)
		if err == nil && sized {
			_, err = number(size)
		}
		if err != nil || !sized && !m.has(at, uImageMagic) {
			m.print("Wrong Ramdisk Image Format\nRamdisk image is corrupt or invalid\n")
			return 1
		}
		if !sized {
			m.printf("## Loading init Ramdisk from Legacy Image at %08x ...\n   Verifying Checksum ... OK\n", at)
		}
	}
	fdt := uint64(controlFDT)
	if len(w) > 3 {
		at, err := number(w[3])
		if err != nil || !m.has(at, fdtMagic) {
			m.print("ERROR: Did not find a cmdline Flattened Device Tree\nCould not find a valid device tree\n")
			return 1
		}
		fdt = at
	}
	m.printf("## Flattened Device Tree blob at %08x\n   Booting using the fdt blob at %#x\n", fdt, fdt)
	m.print("   Loading Ramdisk to 7e0c5000, end 7ee4e000 ... OK\n   Loading Device Tree to 000000007e0c2000, end 000000007e0c4fff ... OK\n")
	m.started()
	return 0
}

func (m *machine) started() {
	m.print("\nStarting kernel ...\n\n")
	m.end = &Ending{Booted: true, Args: m.env["bootargs"]}
}
