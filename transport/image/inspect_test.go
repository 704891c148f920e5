package image_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/transport/image"
)

// disk makes a disk image with sfdisk and puts file systems into partitions.
func disk(t *testing.T, size int64, script string, fill func(f *os.File)) string {
	t.Helper()
	sfdisk := testtool.Need(t, "sfdisk", "apt-get install fdisk")
	path := filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(sfdisk, path)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
	fill(f)
	return path
}

// ext4 writes a file system that mkfs made at an offset.
func ext4(t *testing.T, f *os.File, off int64) {
	t.Helper()
	mkfs := testtool.Need(t, "mkfs.ext4", "apt-get install e2fsprogs")
	path := filepath.Join(t.TempDir(), "fs")
	if out, err := exec.Command(mkfs, "-q", "-F", path, "2M").CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func TestInspectPartitions(t *testing.T) {
	gpt := disk(t, 16*mib, "label: gpt\nstart=2048, size=8192, name=boot, type=uefi\nstart=16384, size=8192, name=root\n",
		func(f *os.File) { ext4(t, f, 16384*512) })
	mbr := disk(t, 16*mib, "label: dos\nlabel-id: 0x1234abcd\nstart=2048, size=4096, type=c\nstart=8192, size=20000, type=5\n"+
		"start=10240, size=6144, type=83\nstart=18432, size=6144, type=82\n", func(f *os.File) {
		ext4(t, f, 10240*512)
		f.WriteAt([]byte("SWAPSPACE2"), 18432*512+4086)
	})
	for _, tc := range []struct {
		path, kind string
		parts      []image.Partition
	}{
		{gpt, "gpt", []image.Partition{
			{Number: 1, Label: "boot", Type: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", Offset: mib, Size: 4 * mib},
			{Number: 2, Label: "root", Type: "0FC63DAF-8483-4772-8E79-3D69D8477DE4", Offset: 8 * mib, Size: 4 * mib, FileSystem: "ext4"},
		}},
		{mbr, "mbr", []image.Partition{
			{Number: 1, Type: "0x0c", Offset: mib, Size: 2 * mib},
			{Number: 2, Type: "0x05", Offset: 4 * mib, Size: 20000 * 512},
			{Number: 5, Type: "0x83", Offset: 5 * mib, Size: 3 * mib, FileSystem: "ext4"},
			{Number: 6, Type: "0x82", Offset: 9 * mib, Size: 3 * mib, FileSystem: "swap"},
		}},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			raw, err := os.ReadFile(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			r, err := image.Inspect(t.Context(), open(t, writeFile(t, "disk.xz", pack(t, packers[0], raw))), image.WithMaxSize(1<<30))
			if err != nil {
				t.Fatal(err)
			}
			if r.Table == nil || r.Table.Kind != tc.kind || len(r.Table.Partitions) != len(tc.parts) || r.RawSize != 16*mib || r.SHA256 != hexSum(raw) {
				t.Fatalf("%+v", r)
			}
			for i, p := range r.Table.Partitions {
				want := tc.parts[i]
				if p != want {
					t.Errorf("partition %+v, want %+v", p, want)
				}
			}
			if !strings.Contains(r.String(), "xz > raw") {
				t.Errorf("text: %s", r)
			}
			// A damaged header of the table is a problem, not a failure.
			if tc.kind == "gpt" {
				raw[512+40] ^= 1
				r, err := image.Inspect(t.Context(), open(t, writeFile(t, "disk", raw)))
				if err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "checksum") {
					t.Errorf("%v, %v", r, err)
				}
			}
		})
	}
}
