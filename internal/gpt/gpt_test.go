package gpt_test

import (
	"encoding/binary"
	"testing"

	"github.com/dutflash/dutflash/internal/gpt"
)

func FuzzParse(f *testing.F) {
	mbr := make([]byte, 1024)
	mbr[510], mbr[511], mbr[450], mbr[458] = 0x55, 0xaa, 0x83, 1
	f.Add(mbr)
	g := make([]byte, 4096)
	copy(g[512:], "EFI PART")
	binary.LittleEndian.PutUint32(g[524:], 92)
	binary.LittleEndian.PutUint64(g[584:], 1<<63)
	binary.LittleEndian.PutUint32(g[592:], 1<<31)
	binary.LittleEndian.PutUint32(g[596:], 1<<31)
	f.Add(g)
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := gpt.Parse(b)
		if table == nil && err != nil {
			t.Errorf("an error without a table: %v", err)
		}
		if table != nil {
			for _, p := range table.Partitions {
				if p.Offset < 0 || p.Size <= 0 {
					t.Errorf("partition %+v", p)
				}
			}
		}
		gpt.Logical(b, 512, 512)
		gpt.FileSystem(b)
	})
}
