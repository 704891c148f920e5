package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrNone says that there is no GPT where one is needed.
var ErrNone = errors.New("no GPT partition table")

// TailSize is how many bytes of a disk's end ParseBackup needs to see all of a
// usual table.
const TailSize = HeadSize

// End returns where the last partition ends, in bytes from the start of the disk.
func (t *Table) End() int64 {
	var end int64
	for _, p := range t.Partitions {
		end = max(end, p.Offset+p.Size)
	}
	return end
}

// ParseBackup reads the second copy of a GPT in the last bytes of a disk of size
// bytes. It returns nil where there is none in its last sector. With [ErrDamaged]
// what could be read is returned too.
func ParseBackup(tail []byte, size int64) (*Table, error) {
	for _, sector := range []int{512, 4096} {
		at := len(tail) - sector
		if at < 0 || size%int64(sector) != 0 || string(tail[at:at+8]) != "EFI PART" {
			continue
		}
		h := tail[at:]
		t := &Table{Kind: "gpt", ID: guid(h[56:72]), SectorSize: int64(sector)}
		hd, err := parseHeader(h, sector, uint64(size)/uint64(sector)-1)
		if err != nil {
			return t, err
		}
		start := size - int64(len(tail))
		if hd.entries > hd.my || int64(hd.entries)*int64(sector) < start {
			return t, fmt.Errorf("%w: GPT entries of the backup at sector %d", ErrDamaged, hd.entries)
		}
		return t, t.parseEntries(tail[int64(hd.entries)*int64(sector)-start:at], hd)
	}
	return nil, nil
}

// Change is bytes to be written to a disk.
type Change struct {
	Offset int64
	Data   []byte
}

// MoveBackup returns what must be written, in this order, so that the GPT whose
// first copy is in head fits a disk of size bytes: the second copy at its end,
// then the protective MBR and the first header, which now say so. head is as for
// [Parse]. Errors wrap [ErrNone] or [ErrDamaged].
func MoveBackup(head []byte, size int64) ([]Change, error) {
	t, err := Parse(head)
	switch {
	case err != nil:
		return nil, err
	case t == nil || t.Kind != "gpt":
		return nil, ErrNone
	case size%t.SectorSize != 0:
		return nil, fmt.Errorf("%w: a disk of %d bytes is not made of sectors of %d", ErrDamaged, size, t.SectorSize)
	}
	sector := int(t.SectorSize)
	if len(head) < 2*sector {
		return nil, fmt.Errorf("%w: only %d bytes of it are there", ErrDamaged, len(head))
	}
	hd, err := parseHeader(head[sector:], sector, 1)
	if err != nil {
		return nil, err
	}
	length := (int(hd.count*hd.each) + sector - 1) / sector * sector
	table := int64(length) + t.SectorSize // entries and header
	if t.End() > size-table || int64(hd.entries)*t.SectorSize+int64(length) > size-table {
		return nil, fmt.Errorf("%w: partitions end at byte %d, a disk of %d bytes has room up to %d", ErrDamaged, t.End(), size, size-table)
	}
	le := binary.LittleEndian
	last := uint64(size)/uint64(sector) - 1

	front := bytes.Clone(head[:2*sector])
	first := front[sector:]
	le.PutUint64(first[32:], last)
	le.PutUint64(first[48:], last-uint64(length/sector)-1)
	sum(first, hd.size)
	growProtective(front, last)

	back := make([]byte, table)
	copy(back, head[int(hd.entries)*sector:][:hd.count*hd.each])
	second := back[length:]
	copy(second, first)
	le.PutUint64(second[24:], last)
	le.PutUint64(second[32:], 1)
	le.PutUint64(second[72:], last-uint64(length/sector))
	sum(second, hd.size)
	return []Change{{Offset: size - table, Data: back}, {Offset: 0, Data: front}}, nil
}

// sum puts a header's checksum into it.
func sum(h []byte, size uint32) {
	clear(h[16:20])
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:size]))
}

// growProtective has an MBR that only protects the GPT cover the whole disk (UEFI
// specification, 5.2.3). A hybrid one is somebody's intention and stays.
func growProtective(mbr []byte, last uint64) {
	e := mbr[446:510]
	if mbr[510] != 0x55 || mbr[511] != 0xaa || e[4] != 0xee || len(bytes.Trim(e[16:], "\x00")) > 0 {
		return
	}
	binary.LittleEndian.PutUint32(e[12:], uint32(min(last, 0xffffffff)))
}
