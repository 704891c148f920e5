// Package artefact tells what kind of boot file something is, from its first
// bytes, and what such a file says about itself.
package artefact

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
)

// Kind is the format of a file.
type Kind string

// The formats that are told apart. The magic numbers are those of the Linux
// kernel's Documentation/arch (arm64/booting, riscv/boot-image-header,
// x86/boot), of U-Boot's include/image.h, and of the compressors.
const (
	Unknown    Kind = "unknown data"
	Empty      Kind = "an empty file"
	ARM64Image Kind = "an arm64 Image"
	RISCVImage Kind = "a RISC-V Image"
	ZImage     Kind = "an ARM zImage"
	BzImage    Kind = "an x86 bzImage"
	UImage     Kind = "a uImage"
	FIT        Kind = "a FIT image"
	DTB        Kind = "a device tree blob"
	ELF        Kind = "an ELF file"
	PE         Kind = "a PE/EFI file"
	Android    Kind = "an Android boot image"
	CPIO       Kind = "a cpio archive"
	Gzip       Kind = "gzip data"
	XZ         Kind = "xz data"
	Bzip2      Kind = "bzip2 data"
	Zstd       Kind = "zstd data"
	LZ4        Kind = "lz4 data"
	LZMA       Kind = "lzma data"
	LZO        Kind = "lzo data"
	Squashfs   Kind = "a squashfs image"
	Text       Kind = "a text file"
)

// Compressed reports whether the kind is the output of a compressor.
func (k Kind) Compressed() bool {
	switch k {
	case Gzip, XZ, Bzip2, Zstd, LZ4, LZMA, LZO:
		return true
	}
	return false
}

// headSize is how much of a file decides its kind.
const headSize = 4096

// Info is what a file says about itself.
type Info struct {
	Kind Kind
	// Size is what the header announces: the total size of a flattened device
	// tree, the size in RAM of an arm64 or RISC-V Image. 0 where it says
	// nothing.
	Size int64
	// UImage fields.
	Type        string // "kernel", "ramdisk", ... of a uImage
	Compression string
	Arch        string
	// FIT fields: node names.
	Configs, Images []string
	DefaultConfig   string
}

var magics = []struct {
	off   int
	magic string
	kind  Kind
}{
	{0x38, "ARM\x64", ARM64Image},
	{0x38, "RSC\x05", RISCVImage},
	{0x24, "\x18\x28\x6f\x01", ZImage},
	{0x24, "\x01\x6f\x28\x18", ZImage}, // big endian
	{0x202, "HdrS", BzImage},
	{0, "\x27\x05\x19\x56", UImage},
	{0, "\xd0\x0d\xfe\xed", DTB},
	{0, "\x7fELF", ELF},
	{0, "MZ", PE},
	{0, "ANDROID!", Android},
	{0, "070701", CPIO},
	{0, "070702", CPIO},
	{0, "070707", CPIO},
	{0, "\x1f\x8b", Gzip},
	{0, "\xfd7zXZ\x00", XZ},
	{0, "BZh", Bzip2},
	{0, "\x28\xb5\x2f\xfd", Zstd},
	{0, "\x02\x21\x4c\x18", LZ4}, // the legacy format, which the kernel uses
	{0, "\x04\x22\x4d\x18", LZ4},
	{0, "\x89LZO\x00", LZO},
	{0, "\x5d\x00\x00", LZMA},
	{0, "hsqs", Squashfs},
}

// Identify looks at a file of the given size.
func Identify(r io.ReaderAt, size int64) (Info, error) {
	if size == 0 {
		return Info{Kind: Empty}, nil
	}
	head := make([]byte, min(size, headSize))
	if n, err := r.ReadAt(head, 0); err != nil && !(errors.Is(err, io.EOF) && n == len(head)) {
		return Info{}, err
	}
	info := Info{Kind: Unknown}
	for _, m := range magics {
		if len(head) >= m.off+len(m.magic) && string(head[m.off:m.off+len(m.magic)]) == m.magic {
			info.Kind = m.kind
			break
		}
	}
	switch info.Kind {
	case ARM64Image, RISCVImage:
		// Both have the size in RAM at offset 16, little endian.
		if n := binary.LittleEndian.Uint64(head[16:]); n < 1<<40 {
			info.Size = int64(n)
		}
	case UImage:
		info.uimage(head)
	case DTB:
		if err := info.fdt(r, head, size); err != nil {
			return info, err
		}
	case Unknown:
		if !bytes.ContainsFunc(head, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' && c != '\r' || c == '\uFFFD' }) {
			info.Kind = Text
		}
	}
	return info, nil
}

// uimage reads the fields of U-Boot's legacy header.
func (i *Info) uimage(head []byte) {
	if len(head) < 64 {
		i.Kind = Unknown
		return
	}
	i.Size = int64(binary.BigEndian.Uint32(head[12:]))
	name := func(n byte, names ...string) string {
		if int(n) < len(names) {
			return names[n]
		}
		return ""
	}
	i.Arch = map[byte]string{2: "arm", 3: "x86", 5: "mips", 7: "ppc", 22: "arm64", 24: "x86_64", 26: "riscv"}[head[29]]
	i.Type = name(head[30], "invalid", "standalone", "kernel", "ramdisk", "multi", "firmware", "script", "filesystem", "flat_dt")
	i.Compression = name(head[31], "none", "gzip", "bzip2", "lzma", "lzo", "lz4", "zstd")
}

func (i *Info) fdt(r io.ReaderAt, head []byte, size int64) error {
	if len(head) < fdtHeader {
		return errors.New("the device tree blob ends within its header")
	}
	i.Size = int64(binary.BigEndian.Uint32(head[4:]))
	if i.Size > size {
		return nil // cut off: the caller compares the sizes
	}
	t, err := parseFDT(r, head, i.Size)
	if err != nil {
		return err
	}
	for _, n := range t {
		dir, name, _ := strings.Cut(strings.TrimPrefix(n.path, "/"), "/")
		if strings.Contains(name, "/") {
			continue
		}
		switch {
		case n.path == "/images":
			i.Kind = FIT
		case n.path == "/configurations":
			i.DefaultConfig = n.defaultConf
		case dir == "images":
			i.Images = append(i.Images, name)
		case dir == "configurations":
			i.Configs = append(i.Configs, name)
		}
	}
	if i.Kind != FIT {
		i.Images, i.Configs, i.DefaultConfig = nil, nil, ""
	}
	return nil
}
