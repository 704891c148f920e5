package debian

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/dutflash/dutflash/internal/virtboard"
)

// Values of U-Boot's include/image.h.
const (
	imageMagic    = 0x27051956
	imageLinux    = 5 // IH_OS_LINUX
	imageARM      = 2 // IH_ARCH_ARM
	imageARM64    = 22
	imageRamdisk  = 3 // IH_TYPE_RAMDISK
	imageNoPacker = 0 // IH_COMP_NONE: the kernel unpacks it, not U-Boot
)

// uImage puts U-Boot's legacy image header before a ramdisk, as "mkimage -T
// ramdisk" does, so that a boot command needs not give its size.
func uImage(arch virtboard.Arch, name string, data []byte) []byte {
	const size = 64
	b := make([]byte, size, size+len(data))
	be := binary.BigEndian
	be.PutUint32(b[0:], imageMagic)
	be.PutUint32(b[12:], uint32(len(data)))
	be.PutUint32(b[24:], crc32.ChecksumIEEE(data))
	b[28], b[29], b[30], b[31] = imageLinux, imageARM, imageRamdisk, imageNoPacker
	if arch == virtboard.ARM64 {
		b[29] = imageARM64
	}
	copy(b[32:63], name)
	be.PutUint32(b[4:], crc32.ChecksumIEEE(b)) // over the header with 0 here
	return append(b, data...)
}
