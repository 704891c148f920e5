package debian

import (
	"encoding/binary"
	"errors"
)

// packDTB cuts off the free space that QEMU leaves in a device tree, a megabyte
// around eight kilobytes of data. Layout: Devicetree specification, chapter 5.
func packDTB(dtb []byte) ([]byte, error) {
	be := binary.BigEndian
	if len(dtb) < 40 || be.Uint32(dtb) != 0xd00dfeed {
		return nil, errors.New("no device tree: its magic number is missing")
	}
	structEnd := uint64(be.Uint32(dtb[8:])) + uint64(be.Uint32(dtb[36:]))
	stringsEnd := uint64(be.Uint32(dtb[12:])) + uint64(be.Uint32(dtb[32:]))
	end := max(structEnd, stringsEnd)
	if end > uint64(len(dtb)) {
		return nil, errors.New("device tree is cut off")
	}
	packed := append([]byte(nil), dtb[:end]...)
	be.PutUint32(packed[4:], uint32(end))
	return packed, nil
}
