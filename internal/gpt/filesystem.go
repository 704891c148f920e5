package gpt

import "encoding/binary"

// ProbeSize is how many bytes from the start of a partition FileSystem looks at.
const ProbeSize = 65<<10 + 512

type signature struct {
	off   int
	magic string
	name  string
}

var signatures = []signature{
	{0, "XFSB", "xfs"},
	{0, "hsqs", "squashfs"},
	{0, "LUKS\xba\xbe", "luks"},
	{0, "UBI#", "ubi"},
	{0, "ANDROID!", "android-boot"},
	{0, "\xd0\x0d\xfe\xed", "fit or device tree"},
	{3, "NTFS    ", "ntfs"},
	{3, "EXFAT   ", "exfat"},
	{54, "FAT", "vfat"},
	{82, "FAT32", "vfat"},
	{512, "LABELONE", "lvm2"},
	{1024, "\xe2\xe1\xf5\xe0", "erofs"},
	{1024, "\x10\x20\xf5\xf2", "f2fs"},
	{4086, "SWAPSPACE2", "swap"}, // at the end of the first page, whatever its size
	{8182, "SWAPSPACE2", "swap"},
	{16374, "SWAPSPACE2", "swap"},
	{32758, "SWAPSPACE2", "swap"},
	{65526, "SWAPSPACE2", "swap"},
	{32769, "CD001", "iso9660"},
	{65600, "_BHRfS_M", "btrfs"},
}

// FileSystem names what the first bytes of a partition say it holds, "" if they
// say nothing.
func FileSystem(b []byte) string {
	for _, s := range signatures {
		if len(b) >= s.off+len(s.magic) && string(b[s.off:s.off+len(s.magic)]) == s.magic {
			return s.name
		}
	}
	if len(b) < 1024+104 || b[1080] != 0x53 || b[1081] != 0xef {
		return ""
	}
	compat, incompat := binary.LittleEndian.Uint32(b[1024+92:]), binary.LittleEndian.Uint32(b[1024+96:])
	switch {
	case incompat&0x40 != 0: // extents
		return "ext4"
	case compat&0x4 != 0: // a journal
		return "ext3"
	}
	return "ext2"
}
