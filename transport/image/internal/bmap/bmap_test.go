package bmap_test

import (
	"errors"
	"testing"

	"github.com/dutflash/dutflash/transport/image/internal/bmap"
)

const old = `<?xml version="1.0" ?><bmap version="1.2"><ImageSize> 10000 </ImageSize><BlockSize> 4096 </BlockSize>
<BlockMap><Range> 0 </Range><Range> 2-2 </Range></BlockMap></bmap>`

func TestParseOldVersion(t *testing.T) {
	m, err := bmap.Parse([]byte(old))
	if err != nil || len(m.Ranges) != 2 || m.Ranges[1].Offset != 8192 || m.Ranges[1].Size != 10000-8192 {
		t.Fatalf("%+v, %v", m, err)
	}
	v := m.NewVerifier()
	if err := v.Write(make([]byte, 9000), 0); err != nil {
		t.Error(err)
	}
	if err := v.Finish(); !errors.Is(err, bmap.ErrChecksum) {
		t.Errorf("a short image: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(old))
	f.Add([]byte(`<bmap version="2.0"><ChecksumType>sha256</ChecksumType><BmapFileChecksum></BmapFileChecksum></bmap>`))
	f.Add([]byte(`<bmap version="1.2"><ImageSize>9223372036854775807</ImageSize><BlockSize>1</BlockSize><BlockMap><Range>0-9223372036854775806</Range></BlockMap></bmap>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := bmap.Parse(b)
		if err != nil {
			return
		}
		end := int64(0)
		for _, r := range m.Ranges {
			if r.Offset < end || r.Size <= 0 || r.Offset+r.Size > m.ImageSize {
				t.Errorf("range %+v of %+v", r, m)
			}
			end = r.Offset + r.Size
		}
	})
}
