package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf16"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// partition is an entry of a partition table.
type partition struct {
	number      int
	start, size int64
	label       string
}

const maxPartitions = 15

// partitions reads a GPT, or the primary partitions of an MBR. What it does not
// understand has no partitions.
func partitions(d io.ReaderAt) []partition {
	sector := make([]byte, 512)
	if _, err := d.ReadAt(sector, 0); err != nil || sector[510] != 0x55 || sector[511] != 0xaa {
		return nil
	}
	var out []partition
	le := binary.LittleEndian
	head := make([]byte, 512)
	if _, err := d.ReadAt(head, 512); err == nil && bytes.HasPrefix(head, []byte("EFI PART")) {
		table, count, length := int64(le.Uint64(head[72:])), int(le.Uint32(head[80:])), int64(le.Uint32(head[84:]))
		if table < 2 || table > 1<<40 || length < 128 || length > 4096 {
			return nil
		}
		entry := make([]byte, length)
		for i := range min(count, maxPartitions) {
			if _, err := d.ReadAt(entry, table*512+int64(i)*length); err != nil {
				break
			}
			first, last := int64(le.Uint64(entry[32:])), int64(le.Uint64(entry[40:]))
			if bytes.Equal(entry[:16], make([]byte, 16)) || first < 1 || last < first || last > 1<<40 {
				continue
			}
			var name []uint16
			for j := 56; j+1 < 128; j += 2 {
				c := le.Uint16(entry[j:])
				if c == 0 {
					break
				}
				name = append(name, c)
			}
			out = append(out, partition{i + 1, first * 512, (last - first + 1) * 512, string(utf16.Decode(name))})
		}
		return out
	}
	for i := range 4 {
		e := sector[446+16*i:]
		start, n := int64(le.Uint32(e[8:])), int64(le.Uint32(e[12:]))
		if e[4] != 0 && n > 0 {
			out = append(out, partition{i + 1, start * 512, n * 512, ""})
		}
	}
	return out
}

// partName is the kernel's name of a partition.
func (b *blockDevice) partName(n int) string {
	name := b.disk.Name
	if c := name[len(name)-1]; c >= '0' && c <= '9' {
		name += "p"
	}
	return fmt.Sprint(name, n)
}

func (b *blockDevice) parts() []partition {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.partitions
}

// nodes makes the partitions' device nodes.
func (b *blockDevice) nodes() {
	f := b.s.k.FS
	for _, p := range b.parts() {
		f.Put("/dev/"+b.partName(p.number), f.Device(fs.ModeDevice|0o660, 179, b.minor+p.number, b.open(p.start, p.size)))
		if p.label != "" {
			f.Put("/dev/disk/by-partlabel/"+strings.ReplaceAll(p.label, "/", "_"), f.Link("/dev/"+b.partName(p.number)))
		}
	}
}

// rescan reads a disk's partition table again.
func (s *System) rescan(name string) error {
	for _, b := range s.disks {
		if b.disk.Name != name {
			continue
		}
		found := partitions(b.disk)
		init := s.k.Process(1)
		for _, p := range b.parts() {
			s.k.FS.Remove(init, "/dev/"+b.partName(p.number), false)
			if p.label != "" {
				s.k.FS.Remove(init, "/dev/disk/by-partlabel/"+strings.ReplaceAll(p.label, "/", "_"), false)
			}
		}
		b.mu.Lock()
		b.partitions = found
		b.mu.Unlock()
		b.nodes()
		return nil
	}
	return kernel.ENOTTY
}

// complain is what the kernel says about a bad place.
func (b *blockDevice) complain(off int64, op string) {
	b.s.Printk(3, fmt.Sprintf("I/O error, dev %s, sector %d op %s flags 0x0 phys_seg 1 prio class 2", b.disk.Name, off/512, op))
}
