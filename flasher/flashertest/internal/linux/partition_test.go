package linux_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/linux"
	"github.com/dutflash/dutflash/internal/testtool"
)

// partitioned is a disk image whose table util-linux has made.
func partitioned(t *testing.T, table string) []byte {
	t.Helper()
	sfdisk := testtool.Need(t, "sfdisk", "apt-get install fdisk")
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, make([]byte, 32*mib), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(sfdisk, file)
	cmd.Stdin = strings.NewReader(table)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPartitions(t *testing.T) {
	t.Parallel()
	gpt := partitioned(t, "label: gpt\nstart=2048, size=8192, name=boot\nsize=16384, name=\"root fs\"\n")
	mbr := partitioned(t, "label: dos\nstart=2048, size=8192, type=c\n")
	d := newDisk(t, 32*mib)
	if _, err := d.WriteAt(gpt, 0); err != nil {
		t.Fatal(err)
	}
	s := session(t, linux.Config{Disks: []linux.Disk{{Name: "mmcblk1", Disk: d}}})
	b, err := s.BlockDevice(testContext(t), "/dev/mmcblk1")
	if err != nil {
		t.Fatal(err)
	}
	want := []busybox.Partition{{Name: "mmcblk1p1", Label: "boot", Start: mib, Size: 4 * mib}, {Name: "mmcblk1p2", Label: "root fs", Start: 5 * mib, Size: 8 * mib}}
	if len(b.Partitions) != 2 || b.Partitions[0] != want[0] || b.Partitions[1] != want[1] {
		t.Errorf("%+v", b.Partitions)
	}
	p, err := s.PartitionByLabel(testContext(t), b, "root fs")
	if err != nil || p.Path != "/dev/mmcblk1p2" || !p.Partition || p.Size != 8*mib {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := s.Run(testContext(t), "printf hello | dd of=/dev/disk/by-partlabel/boot bs=1 seek=3 conv=notrunc 2>/dev/null"); err != nil {
		t.Error(err)
	}
	got := make([]byte, 5)
	if _, err := d.ReadAt(got, mib+3); err != nil || string(got) != "hello" {
		t.Errorf("the partition's place holds %q, %v", got, err)
	}
	// Behind a partition's end begins another one.
	if out, err := s.Run(testContext(t), "dd if=/dev/zero of=/dev/mmcblk1p1 bs=1M count=5 2>&1 | head -n 1"); err != nil || !strings.Contains(out, "No space left on device") {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := d.WriteAt(mbr[:mib], 0); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Run(testContext(t), "ls /dev/mmcblk1p2 && blockdev --rereadpt /dev/mmcblk1 && cat /sys/class/block/mmcblk1p1/size && ls /dev/mmcblk1p2"); err == nil || !strings.Contains(out, "8192\n") {
		t.Errorf("after a new table: %q, %v", out, err)
	}
	if _, err := s.PartitionByLabel(testContext(t), b, "boot"); !errors.Is(err, busybox.ErrNoDevice) {
		t.Errorf("an MBR with labels: %v", err)
	}
}

func TestDiskErrorsReachTheKernelLog(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 8*mib)
	d.FailWrites(3*mib, 512)
	s := session(t, linux.Config{Memory: 32 * mib, Disks: []linux.Disk{{Name: "mmcblk1", Disk: d}}})
	_, err := s.Run(testContext(t), "dd if=/dev/zero of=/dev/mmcblk1 bs=1M count=8 oflag=direct")
	if !errors.Is(err, busybox.ErrIO) || !strings.Contains(err.Error(), "I/O error, dev mmcblk1, sector 6144") {
		t.Errorf("%v", err)
	}
	d.SetReadOnly(true)
	if _, err := s.Run(testContext(t), "dd if=/dev/zero of=/dev/mmcblk1 bs=1M count=1"); err == nil || !strings.Contains(err.Error(), "Read-only file system") {
		t.Errorf("read-only: %v", err)
	}
	if _, err := s.Run(testContext(t), "dd if=/dev/mmcblk1 of=/dev/null bs=100 count=1 iflag=direct"); err == nil || !strings.Contains(err.Error(), "Invalid argument") {
		t.Errorf("direct read of 100 bytes: %v", err)
	}
	if _, err := s.Run(testContext(t), "head -c 20M /dev/zero >/tmp/big"); !errors.Is(err, busybox.ErrNoSpace) {
		t.Errorf("/tmp is full: %v", err)
	}
}
