package linux

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzPartitions reads any bytes as a partition table: what comes out must be
// partitions that a kernel could have.
func FuzzPartitions(f *testing.F) {
	table := make([]byte, 2048)
	table[510], table[511] = 0x55, 0xaa
	mbr := bytes.Clone(table)
	mbr[446+4] = 0xc
	binary.LittleEndian.PutUint32(mbr[446+8:], 2048)
	binary.LittleEndian.PutUint32(mbr[446+12:], 100)
	gpt := bytes.Clone(table)
	copy(gpt[512:], "EFI PART")
	binary.LittleEndian.PutUint64(gpt[512+72:], 2)
	binary.LittleEndian.PutUint32(gpt[512+80:], 128)
	binary.LittleEndian.PutUint32(gpt[512+84:], 128)
	copy(gpt[1024:], "a type of a part")
	binary.LittleEndian.PutUint64(gpt[1024+32:], 34)
	binary.LittleEndian.PutUint64(gpt[1024+40:], 99)
	copy(gpt[1024+56:], "b\x00o\x00o\x00t\x00")
	for _, seed := range [][]byte{nil, table, mbr, gpt} {
		f.Add(seed)
	}
	if p := partitions(bytes.NewReader(gpt)); len(p) != 1 || p[0] != (partition{1, 34 * 512, 66 * 512, "boot"}) {
		f.Fatalf("%+v", p)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range partitions(bytes.NewReader(data)) {
			if p.number < 1 || p.number > maxPartitions || p.start < 512 && p.start != 0 || p.size <= 0 || p.start%512 != 0 || p.size%512 != 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}
