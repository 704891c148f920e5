// Package gpt reads partition tables: GPT (UEFI specification, chapter 5) and
// MBR with extended partitions.
package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unicode/utf16"
)

// ErrDamaged says that there is a table that contradicts itself.
var ErrDamaged = errors.New("damaged partition table")

// HeadSize is how many bytes of a disk Parse needs to see all of a usual table,
// with sectors of 4096 bytes and 128 entries.
const HeadSize = 64 << 10

// Table is a partition table.
type Table struct {
	Kind       string // "gpt" or "mbr"
	ID         string // GUID of the disk, or the MBR's signature
	SectorSize int64
	Partitions []Partition
}

// Partition is an entry of a table.
type Partition struct {
	Number       int
	Label        string // GPT only
	Type         string // GUID, or "0x83"
	ID           string // GUID, GPT only
	Offset, Size int64  // bytes
}

// Extended says that p holds a chain of logical partitions.
func (p Partition) Extended() bool { return p.Type == "0x05" || p.Type == "0x0f" || p.Type == "0x85" }

// Parse reads the table in the first bytes of a disk. It returns nil where there
// is none. With [ErrDamaged] what could be read is returned too.
func Parse(head []byte) (*Table, error) {
	for _, sector := range []int{512, 4096} {
		if len(head) >= sector+92 && string(head[sector:sector+8]) == "EFI PART" {
			return parseGPT(head, sector)
		}
	}
	return parseMBR(head)
}

// header is what a GPT header says, its own checksum verified.
type header struct {
	raw           []byte
	size          uint32
	my, alternate uint64
	entries       uint64 // sector
	count, each   uint32

	entriesCRC uint32
}

// parseHeader reads the header at the start of h, which was found in sector at.
func parseHeader(h []byte, sector int, at uint64) (header, error) {
	le := binary.LittleEndian
	hd := header{raw: h[:min(sector, len(h))], size: le.Uint32(h[12:])}
	if hd.size < 92 || hd.size > uint32(sector) || int(hd.size) > len(h) {
		return hd, fmt.Errorf("%w: GPT header of %d bytes", ErrDamaged, hd.size)
	}
	b := bytes.Clone(h[:hd.size])
	clear(b[16:20])
	if crc32.ChecksumIEEE(b) != le.Uint32(h[16:]) {
		return hd, fmt.Errorf("%w: wrong checksum of the GPT header", ErrDamaged)
	}
	hd.my, hd.alternate = le.Uint64(h[24:]), le.Uint64(h[32:])
	hd.entries, hd.count, hd.each = le.Uint64(h[72:]), le.Uint32(h[80:]), le.Uint32(h[84:])
	hd.entriesCRC = le.Uint32(h[88:])
	if hd.my != at {
		return hd, fmt.Errorf("%w: the GPT header in sector %d says it is in sector %d", ErrDamaged, at, hd.my)
	}
	if hd.each < 128 || hd.each > 4096 || hd.count > 4096 {
		return hd, fmt.Errorf("%w: %d GPT entries of %d bytes", ErrDamaged, hd.count, hd.each)
	}
	return hd, nil
}

func parseGPT(head []byte, sector int) (*Table, error) {
	h := head[sector:]
	t := &Table{Kind: "gpt", ID: guid(h[56:72]), SectorSize: int64(sector)}
	hd, err := parseHeader(h, sector, 1)
	if err != nil {
		return t, err
	}
	if hd.entries > uint64(len(head)/sector) {
		return t, fmt.Errorf("%w: GPT entries at sector %d", ErrDamaged, hd.entries)
	}
	return t, t.parseEntries(head[int(hd.entries)*sector:], hd)
}

// parseEntries reads the partitions; entries may be longer than they are.
func (t *Table) parseEntries(entries []byte, hd header) error {
	le := binary.LittleEndian
	if int(hd.count)*int(hd.each) > len(entries) {
		return fmt.Errorf("%w: the GPT entries are cut off", ErrDamaged)
	}
	entries = entries[:hd.count*hd.each]
	if crc32.ChecksumIEEE(entries) != hd.entriesCRC {
		return fmt.Errorf("%w: wrong checksum of the GPT entries", ErrDamaged)
	}
	for i := range int(hd.count) {
		e := entries[i*int(hd.each):][:128]
		if [16]byte(e) == [16]byte{} {
			continue
		}
		first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
		if last < first || last >= 1<<50 {
			return fmt.Errorf("%w: partition %d is from sector %d to %d", ErrDamaged, i+1, first, last)
		}
		t.Partitions = append(t.Partitions, Partition{
			Number: i + 1, Label: label(e[56:128]), Type: guid(e[:16]), ID: guid(e[16:32]),
			Offset: int64(first) * t.SectorSize, Size: int64(last-first+1) * t.SectorSize,
		})
	}
	return nil
}

func parseMBR(head []byte) (*Table, error) {
	if len(head) < 512 || head[510] != 0x55 || head[511] != 0xaa {
		return nil, nil
	}
	t := &Table{Kind: "mbr", ID: fmt.Sprintf("%08x", binary.LittleEndian.Uint32(head[440:])), SectorSize: 512}
	for i := range 4 {
		e := head[446+16*i:][:16]
		if e[0]&0x7f != 0 {
			return nil, nil // the boot sector of a file system ends in the same two bytes
		}
		if p, ok := mbrEntry(e, 0); ok {
			p.Number = i + 1
			t.Partitions = append(t.Partitions, p)
		}
	}
	if len(t.Partitions) == 0 {
		return nil, nil
	}
	return t, nil
}

func mbrEntry(e []byte, base int64) (Partition, bool) {
	start, count := binary.LittleEndian.Uint32(e[8:]), binary.LittleEndian.Uint32(e[12:])
	if e[4] == 0 || count == 0 {
		return Partition{}, false
	}
	return Partition{Type: fmt.Sprintf("%#02x", e[4]), Offset: base + int64(start)*512, Size: int64(count) * 512}, true
}

// Logical reads a boot record inside the extended partition at base: the
// logical partition that it describes, and the offset of the next record, 0 at
// the end of the chain. at is the offset of the record itself.
func Logical(record []byte, at, base int64) (p Partition, ok bool, next int64) {
	if len(record) < 512 || record[510] != 0x55 || record[511] != 0xaa {
		return Partition{}, false, 0
	}
	p, ok = mbrEntry(record[446:462], at)
	if link, has := mbrEntry(record[462:478], base); has && link.Extended() {
		next = link.Offset
	}
	return p, ok, next
}

func guid(b []byte) string {
	le, be := binary.LittleEndian, binary.BigEndian
	return fmt.Sprintf("%08X-%04X-%04X-%04X-%X", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), be.Uint16(b[8:]), b[10:16])
}

func label(b []byte) string {
	var u []uint16
	for i := 0; i+1 < len(b); i += 2 {
		c := binary.LittleEndian.Uint16(b[i:])
		if c == 0 {
			break
		}
		u = append(u, c)
	}
	return string(utf16.Decode(u))
}
