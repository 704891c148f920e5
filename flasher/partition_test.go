package flasher

import (
	"errors"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/gpt"
)

func testDisk(name string) (busybox.BlockDevice, *gpt.Table) {
	sep := ""
	if name[len(name)-1] <= '9' {
		sep = "p"
	}
	disk := busybox.BlockDevice{Path: "/dev/" + name, Name: name, Partitions: []busybox.Partition{
		{Name: name + sep + "1", Start: 1000, Size: 10}, {Name: name + sep + "2", Start: 2000, Size: 20},
		{Name: name + sep + "10", Start: 3000, Size: 30}, {Name: name + sep + "11", Start: 4000, Size: 40},
	}}
	return disk, &gpt.Table{Kind: "gpt", SectorSize: 512, Partitions: []gpt.Partition{
		{Number: 1, Label: "boot", ID: "AAAA-1", Offset: 1000, Size: 10}, {Number: 2, Label: "twice", ID: "AAAA-2", Offset: 2000, Size: 20},
		{Number: 10, Label: "twice", ID: "AAAA-3", Offset: 3000, Size: 30}, {Number: 11, Label: "2", ID: "AAAA-4", Offset: 4000, Size: 40},
	}}
}

func TestFindPartition(t *testing.T) {
	for _, tc := range []struct {
		disk, want string
		number     int
		err        error
	}{
		{disk: "vda", want: "boot", number: 1},
		{disk: "vda", want: "PARTLABEL=boot", number: 1},
		{disk: "vda", want: "/dev/disk/by-partlabel/boot", number: 1},
		{disk: "vda", want: "PARTUUID=aaaa-3", number: 10},
		{disk: "vda", want: "1", number: 1},
		{disk: "vda", want: "10", number: 10},
		{disk: "vda", want: "vda10", number: 10},
		{disk: "vda", want: "/dev/vda1", number: 1},
		{disk: "mmcblk0", want: "p2", number: 2},
		{disk: "mmcblk0", want: "mmcblk0p2", number: 2},
		{disk: "mmcblk0", want: "PARTLABEL=2", number: 11},
		{disk: "vda", want: "2", err: ErrPartitionAmbiguous}, // the label of 11
		{disk: "vda", want: "twice", err: ErrPartitionAmbiguous},
		{disk: "vda", want: "rootfs", err: ErrPartitionNotFound},
		{disk: "vda", want: "3", err: ErrPartitionNotFound},
		{disk: "vda", want: "01", err: ErrPartitionNotFound},
		{disk: "vda", want: "vdb1", err: ErrPartitionNotFound},
		{disk: "mmcblk0", want: "mmcblk1p1", err: ErrPartitionNotFound},
		{disk: "vda", want: "PARTLABEL=", err: ErrPartitionNotFound},
		{disk: "vda", want: "PARTUUID=", err: ErrPartitionNotFound},
		{disk: "vda", want: "Boot", err: ErrPartitionNotFound},
	} {
		t.Run(tc.disk+" "+tc.want, func(t *testing.T) {
			disk, table := testDisk(tc.disk)
			p, err := findPartition(disk, table, tc.want)
			if !errors.Is(err, tc.err) || err == nil && p.number != tc.number {
				t.Fatalf("got %v, %v; want %d, %v", p, err, tc.number, tc.err)
			}
			if err != nil && !strings.Contains(err.Error(), `"twice"`) && tc.want != "PARTLABEL=" && tc.want != "2" {
				t.Errorf("the error does not list the partitions: %v", err)
			}
		})
	}
}

// TestFindPartitionOtherTables: what the kernel and the table disagree about is
// not touched, and an MBR has numbers only.
func TestFindPartitionOtherTables(t *testing.T) {
	disk, table := testDisk("vda")
	disk.Partitions[0].Start += 512
	if _, err := findPartition(disk, table, "twice"); !errors.Is(err, ErrPartitionTable) || !strings.Contains(err.Error(), "boot") {
		t.Errorf("a kernel with another table: %v", err)
	}
	disk, _ = testDisk("vda")
	mbr := &gpt.Table{Kind: "mbr", SectorSize: 512, Partitions: []gpt.Partition{{Number: 1, Type: "0x83", Offset: 1000, Size: 10}, {Number: 2, Type: "0x05", Offset: 2000, Size: 3000}}}
	if _, err := findPartition(disk, mbr, "2"); !errors.Is(err, ErrPartitionNotFound) {
		t.Errorf("an extended partition: %v", err)
	}
	if p, err := findPartition(disk, mbr, "10"); err != nil || p.name != "vda10" {
		t.Errorf("number of an MBR: %v, %v", p, err)
	}
	if _, err := findPartition(disk, mbr, "boot"); !errors.Is(err, ErrPartitionNotFound) || !strings.Contains(err.Error(), "MBR") {
		t.Errorf("label of an MBR: %v", err)
	}
	mbr.Partitions = mbr.Partitions[1:]
	if _, err := findPartition(disk, mbr, "10"); !errors.Is(err, ErrPartitionTable) || !strings.Contains(err.Error(), "only the kernel knows") {
		t.Errorf("a kernel that knows more: %v", err)
	}
}

func TestPartitionNumber(t *testing.T) {
	for _, tc := range []struct {
		disk, name string
		want       int
	}{
		{"vda", "vda2", 2}, {"sda", "sda15", 15}, {"mmcblk0", "mmcblk0p2", 2}, {"nvme0n1", "nvme0n1p3", 3},
		{"mmcblk0", "mmcblk0boot0", 0}, {"mmcblk0", "mmcblk02", 0}, {"mmcblk1", "mmcblk10p1", 0}, {"vda", "vdap1", 0}, {"vda", "vdb1", 0}, {"vda", "vda", 0}, {"vda", "vda-1", 0}, {"vda", "vda01", 0}, {"", "7", 7},
	} {
		if got := partitionNumber(tc.disk, tc.name); got != tc.want {
			t.Errorf("%q of %q: %d, want %d", tc.name, tc.disk, got, tc.want)
		}
	}
}

func TestParsePart(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Part
		ok   bool
	}{
		{"boot:boot.img", Part{Partition: "boot", Image: "boot.img"}, true},
		{"rootfs:https://host:8080/r.img.xz", Part{Partition: "rootfs", Image: "https://host:8080/r.img.xz"}, true},
		{"/dev/vda2:a.img", Part{Target: "/dev/vda2", Image: "a.img"}, true},
		{"/dev/disk/by-partlabel/boot:a.img", Part{Partition: "/dev/disk/by-partlabel/boot", Image: "a.img"}, true},
		{"PARTLABEL=2:a.img", Part{Partition: "PARTLABEL=2", Image: "a.img"}, true},
		{in: "boot.img"}, {in: ":boot.img"}, {in: "boot:"}, {in: ""}, {in: "https://host/boot.img"}, {in: "/sys/class/block#0000:01:00.0:a.img"},
	} {
		got, err := ParsePart(tc.in)
		if got != tc.want || (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %+v, %v", tc.in, got, err)
		}
	}
}

func FuzzParsePart(f *testing.F) {
	f.Add("boot:boot.img")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePart(s)
		if err == nil && (p.Image == "" || (p.Partition == "") == (p.Target == "")) {
			t.Errorf("%q: %+v", s, p)
		}
	})
}

func TestRefuseOverlap(t *testing.T) {
	disk := busybox.BlockDevice{Path: "/dev/vda", Name: "vda", Size: 5000, SysPath: "/sys/devices/x/block/vda"}
	at := func(name string, start, size int64) busybox.BlockDevice {
		return busybox.BlockDevice{Path: "/dev/" + name, Name: name, Partition: true, Start: start, Size: size, SysPath: "/sys/devices/x/block/" + name[:3] + "/" + name}
	}
	for _, tc := range []struct {
		name string
		a, b busybox.BlockDevice
		err  error
	}{
		{"two partitions", at("vda1", 1000, 500), at("vda2", 1500, 500), nil},
		{"overlapping partitions", at("vda1", 1000, 501), at("vda2", 1500, 500), ErrTargetOverlap},
		{"one partition twice", at("vda1", 1000, 500), at("vda1", 1000, 500), ErrTargetOverlap},
		{"disk and its partition", disk, at("vda1", 1000, 500), ErrTargetOverlap},
		{"disk and another's partition", disk, at("vdb1", 1000, 500), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var parts []*part
			for _, d := range []busybox.BlockDevice{tc.a, tc.b} {
				parts = append(parts, &part{several: true, res: &Result{}, w: &writer{device: d}})
			}
			if err := refuseOverlap(parts); !errors.Is(err, tc.err) {
				t.Errorf("got %v, want %v", err, tc.err)
			}
		})
	}
}
