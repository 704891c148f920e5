package gpt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/gpt"
	"github.com/dutflash/dutflash/internal/testtool"
)

const mib = 1 << 20

// sgdisk makes or looks at a disk file.
func sgdisk(t *testing.T, disk string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), testtool.Need(t, "sgdisk", "apt-get install gdisk"), append(args, disk)...).CombinedOutput()
	if err != nil {
		t.Fatalf("sgdisk %s: %v\n%s", args, err, out)
	}
	return string(out)
}

func newDisk(t *testing.T, size int64, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	sgdisk(t, path, args...)
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func head(b []byte) []byte { return b[:min(len(b), gpt.HeadSize)] }

func tail(b []byte) []byte { return b[len(b)-gpt.TailSize:] }

// TestMoveBackup moves what sgdisk made, and sgdisk looks at it again.
func TestMoveBackup(t *testing.T) {
	for _, entries := range []int{128, 56, 200} {
		t.Run(strconv.Itoa(entries), func(t *testing.T) {
			path := newDisk(t, 16*mib, "--resize-table="+strconv.Itoa(entries), "-n1:2048:+4M", "-c1:boot", "-n2:0:+6M", "-c2:root fs")
			before := read(t, path)
			const size = 40*mib + 512*7
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			if out := sgdisk(t, path, "-v"); strings.Contains(out, "No problems found") {
				t.Fatalf("sgdisk finds nothing wrong with a backup in the middle:\n%s", out)
			}
			changes, err := gpt.MoveBackup(head(before), size)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, c := range changes {
				if _, err := f.WriteAt(c.Data, c.Offset); err != nil {
					t.Fatal(err)
				}
			}
			out := sgdisk(t, path, "-v", "-p")
			if !strings.Contains(out, "No problems found") || !strings.Contains(out, "root fs") {
				t.Errorf("sgdisk -v -p:\n%s", out)
			}
			// What is behind the partitions can be used now.
			sgdisk(t, path, "-n3:0:0")
			after := read(t, path)
			first, err1 := gpt.Parse(head(after))
			second, err2 := gpt.ParseBackup(tail(after), size)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			if len(first.Partitions) != 3 || len(second.Partitions) != 3 || first.Partitions[2] != second.Partitions[2] || first.End() < 39*mib {
				t.Errorf("tables %+v and %+v", first, second)
			}
		})
	}
}

func TestMoveBackupRefuses(t *testing.T) {
	disk := read(t, newDisk(t, 16*mib, "-n1:2048:0"))
	damaged := bytes.Clone(disk)
	damaged[1024+56]++ // in the first entry's label
	for _, tc := range []struct {
		name string
		disk []byte
		size int64
		want error
	}{
		{"no table", make([]byte, mib), 40 * mib, gpt.ErrNone},
		{"MBR", append(append(bytes.Repeat([]byte{0}, 450), 0x83, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0), append(make([]byte, 48), 0x55, 0xaa)...), 40 * mib, gpt.ErrNone},
		{"damaged", damaged, 40 * mib, gpt.ErrDamaged},
		{"smaller disk", disk, 15 * mib, gpt.ErrDamaged},
		{"odd size", disk, 40*mib + 1, gpt.ErrDamaged},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if changes, err := gpt.MoveBackup(head(tc.disk), tc.size); !errors.Is(err, tc.want) || changes != nil {
				t.Errorf("%v, %v; want %v", changes, err, tc.want)
			}
		})
	}
	// The second copy is good where the first is not.
	if table, err := gpt.ParseBackup(tail(damaged), int64(len(damaged))); err != nil || len(table.Partitions) != 1 {
		t.Errorf("backup: %+v, %v", table, err)
	}
	if table, err := gpt.ParseBackup(make([]byte, gpt.TailSize), 40*mib); table != nil || err != nil {
		t.Errorf("a blank disk has the backup %+v, %v", table, err)
	}
}

func FuzzBackup(f *testing.F) {
	g := make([]byte, 4096)
	copy(g[512:], "EFI PART")
	f.Add(g, int64(mib))
	// A fuzzer does not find checksums: one whole header, and the start of the disk
	// cut off right behind what it says it has.
	whole := make([]byte, 1024)
	h := whole[512:]
	copy(h, "EFI PART")
	le := binary.LittleEndian
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[24:], 1)
	le.PutUint64(h[72:], 1)
	le.PutUint32(h[84:], 128)
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	f.Add(whole, int64(mib))
	f.Add(slices.Clip(whole[:604]), int64(mib))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if size < int64(len(b)) || size > 1<<53 {
			return
		}
		if table, err := gpt.ParseBackup(b, size); table == nil && err != nil {
			t.Errorf("an error without a table: %v", err)
		}
		changes, err := gpt.MoveBackup(b, size)
		if err != nil {
			return
		}
		for _, c := range changes {
			if c.Offset < 0 || c.Offset+int64(len(c.Data)) > size {
				t.Errorf("a change outside the disk of %d bytes: offset %d, %d bytes", size, c.Offset, len(c.Data))
			}
		}
	})
}
