package image

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"path"
	"regexp"
	"unicode/utf8"
)

// Format is what the first bytes of data say it is.
type Format string

// The formats that are undone. A chain of them ends in FormatRaw.
const (
	FormatRaw    Format = "raw"
	FormatXZ     Format = "xz"
	FormatGzip   Format = "gzip"
	FormatBzip2  Format = "bzip2"
	FormatZstd   Format = "zstd"
	FormatLZ4    Format = "lz4"
	FormatLZMA   Format = "lzma"
	FormatSparse Format = "android-sparse"
)

// sniffLen is how many bytes detect wants to see: the magic of tar is the last
// that it looks for, the boot signature of a disk comes after it.
const sniffLen = 1024

// detect tells the format from the first bytes of data, which are all of the
// data if there are fewer than sniffLen. What is certainly not a disk image is
// an error.
func detect(head []byte) (Format, error) {
	is := func(off int, magic string) bool {
		return len(head) >= off+len(magic) && string(head[off:off+len(magic)]) == magic
	}
	switch {
	case is(0, "\xfd7zXZ\x00"):
		return FormatXZ, nil
	case is(0, "\x1f\x8b"):
		return FormatGzip, nil
	case is(0, "BZh") && len(head) > 3 && head[3] >= '1' && head[3] <= '9' &&
		(is(4, "\x31\x41\x59\x26\x53\x59") || is(4, "\x17\x72\x45\x38\x50\x90") || len(head) < 10):
		return FormatBzip2, nil
	case is(0, "\x28\xb5\x2f\xfd"):
		return FormatZstd, nil
	case is(0, "\x04\x22\x4d\x18"), is(0, "\x02\x21\x4c\x18"):
		return FormatLZ4, nil
	case is(0, "\x3a\xff\x26\xed"):
		return FormatSparse, nil
	case len(head) >= 8 && head[0]&0xf0 == 0x50 && is(1, "\x2a\x4d\x18"):
		// A skippable frame: zstd and lz4 share them; pzstd starts with one.
		return skippable(head), nil
	case looksLikeLZMA(head):
		return FormatLZMA, nil
	}
	return FormatRaw, refuse(head, is)
}

// skippable looks past the skippable frames that data starts with.
func skippable(head []byte) Format {
	for len(head) >= 8 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18" {
		head = head[min(8+int64(binary.LittleEndian.Uint32(head[4:])), int64(len(head))):]
	}
	if m := string(head[:min(len(head), 4)]); m == "\x04\x22\x4d\x18" || m == "\x02\x21\x4c\x18" {
		return FormatLZ4
	}
	return FormatZstd
}

// refuse names formats that are recognised only to be refused.
func refuse(head []byte, is func(int, string) bool) error {
	no := func(what, command string) error {
		return fmt.Errorf("%w: this is %s; %s", ErrUnsupportedFormat, what, command)
	}
	switch {
	case is(0, "QFI\xfb"):
		return no("a qcow2 image", "convert it with: qemu-img convert -O raw IN.qcow2 OUT.raw")
	case is(0, "KDMV"), is(0, "# Disk DescriptorFile"):
		return no("a VMDK image", "convert it with: qemu-img convert -O raw IN.vmdk OUT.raw")
	case is(0, "vhdxfile"):
		return no("a VHDX image", "convert it with: qemu-img convert -O raw IN.vhdx OUT.raw")
	case is(0, "conectix"):
		return no("a VHD image", "convert it with: qemu-img convert -f vpc -O raw IN.vhd OUT.raw")
	case is(64, "\x7f\x10\xda\xbe"):
		return no("a VDI image", "convert it with: qemu-img convert -O raw IN.vdi OUT.raw")
	case is(0, "PK\x03\x04"), is(0, "PK\x05\x06"):
		return no("a zip archive", inArchive(zipName(head), "unzip -p IN.zip", "unzip IN.zip"))
	case is(257, "ustar"):
		return no("a tar archive", inArchive(tarName(head), "tar -xOf IN.tar", "tar -xf IN.tar"))
	case is(0, "7z\xbc\xaf\x27\x1c"):
		return no("a 7z archive", inArchive("", "", "7z x IN.7z"))
	case is(0, "Rar!\x1a\x07"):
		return no("a RAR archive", inArchive("", "", "unrar x IN.rar"))
	case is(0, "\x89LZO\x00\r\n\x1a\n"):
		return no("an lzop file", "convert it with: lzop -dc IN.lzo | xz -T0 > OUT.xz")
	case is(0, "\x1f\x9d"):
		return no("a file of compress(1)", "convert it with: gzip -dc IN.Z | xz -T0 > OUT.xz")
	case is(0, "LZIP"):
		return no("an lzip file", "convert it with: lzip -dc IN.lz | xz -T0 > OUT.xz")
	case looksLikeHTML(head):
		return no("an HTML page", "the server sent a page, perhaps a login, in place of the image; "+
			"look at the URL in a browser, and give credentials with WithBearerToken or WithHeader")
	case is(0, "version https://git-lfs.github.com/spec/"):
		return no("a git-lfs pointer", "fetch the file that it stands for with: git lfs pull")
	case looksLikeJSON(head):
		return no("a JSON document", "the server sent an answer of its API, perhaps an error, in place of the image; look at the URL with curl")
	case is(0, "<?xml"):
		return no("an XML document", "give the image, not the .bmap or error document beside it")
	}
	return nil
}

// inArchive says how to get at the first file of an archive, or at all of them.
func inArchive(name, one, all string) string {
	if name == "" {
		return "the image is perhaps a file inside; unpack it with: " + all
	}
	return "if its first file is the image, unpack that with: " + one + " " + name + " > " + path.Base(name)
}

// plainName is a name that a shell takes as it is.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./+-]*[A-Za-z0-9_]$`)

// zipName is the name in the first local header (APPNOTE.TXT 4.3.7), "" if it
// is a folder or cannot be given to a shell.
func zipName(head []byte) string {
	if len(head) < 30 {
		return ""
	}
	n := int(binary.LittleEndian.Uint16(head[26:]))
	return plainName.FindString(string(head[30:min(30+n, len(head))]))
}

// tarName is the same for the first header of a tar archive.
func tarName(head []byte) string {
	if len(head) < 346 {
		return ""
	}
	name, _, _ := bytes.Cut(head[:100], []byte{0})
	if head[156] != '0' || head[345] != 0 { // not a file, or the name goes on elsewhere
		return ""
	}
	return plainName.FindString(string(name))
}

func looksLikeHTML(head []byte) bool {
	text := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n"))
	if !utf8.Valid(text[:min(len(text), 14)]) {
		return false
	}
	if rest, ok := bytes.CutPrefix(text, []byte("<!--")); ok {
		_, rest, _ = bytes.Cut(rest, []byte("-->"))
		text = bytes.TrimLeft(rest, " \t\r\n")
	}
	return bytes.HasPrefix(text, []byte("<!doctype html")) || bytes.HasPrefix(text, []byte("<html")) ||
		bytes.HasPrefix(text, []byte("<head")) ||
		bytes.HasPrefix(text, []byte("<?xml")) && bytes.Contains(text, []byte("<html"))
}

// looksLikeJSON recognises a short JSON document; what is longer than head
// is not looked at.
func looksLikeJSON(head []byte) bool {
	return len(head) > 0 && head[0] == '{' && len(head) < sniffLen && json.Valid(head)
}

// looksLikeLZMA recognises the .lzma header, which has no magic number, by the
// rules of xz -dc and by those that file(1) adds.
func looksLikeLZMA(head []byte) bool {
	if len(head) < 14 || head[0] >= 9*5*5 || head[13] != 0 {
		return false
	}
	dict := binary.LittleEndian.Uint32(head[1:])
	size := binary.LittleEndian.Uint64(head[5:])
	if dict < 4096 {
		return false
	}
	lowest := dict & -dict // 2^n, or 2^n + 2^(n-1)
	if n := bits.OnesCount32(dict); dict != 1<<32-1 && n != 1 && (n != 2 || dict != lowest*3) {
		return false
	}
	return size == 1<<64-1 || size < 1<<38
}
