package flasher_test

import (
	"errors"
	"testing"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher"
)

// The paths are those of real machines.
func TestSameDisk(t *testing.T) {
	const gib = 1 << 30
	disk := func(sysPath, serial string) busybox.BlockDevice {
		return busybox.BlockDevice{Path: "/dev/x", SysPath: "/sys/devices/" + sysPath, Serial: serial, Model: "M", Size: 8 * gib, SectorSize: 512}
	}
	part := func(sysPath string, start int64) busybox.BlockDevice {
		d := disk(sysPath, "")
		d.Partition, d.Start = true, start
		return d
	}
	larger, otherModel := disk("a/block/sda", ""), disk("a/block/sda", "")
	larger.Size += 512
	otherModel.Model = "N"
	for _, tc := range []struct {
		name        string
		before, now busybox.BlockDevice
		same        bool
	}{
		{"mmc hosts numbered anew", disk("platform/bus@100000/4fb0000.mmc/mmc_host/mmc1/mmc1:aaaa/block/mmcblk1", "a1"), disk("platform/bus@100000/4fb0000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0", "a1"), true},
		{"another mmc host", disk("platform/bus@100000/4fb0000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0", ""), disk("platform/bus@100000/4f80000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0", ""), false},
		{"another card in the slot", disk("platform/4fb0000.mmc/mmc_host/mmc1/mmc1:aaaa/block/mmcblk1", "a1"), disk("platform/4fb0000.mmc/mmc_host/mmc1/mmc1:59b4/block/mmcblk1", "b2"), false},
		{"boot partition of an eMMC", disk("platform/4fb0000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0/mmcblk0boot0", "a1"), disk("platform/4fb0000.mmc/mmc_host/mmc1/mmc1:0001/block/mmcblk1/mmcblk1boot0", "a1"), true},
		{"the other boot partition", disk("platform/4fb0000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0/mmcblk0boot0", "a1"), disk("platform/4fb0000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0/mmcblk0boot1", "a1"), false},
		{"virtio numbered anew", disk("platform/a000000.virtio_mmio/virtio0/block/vda", ""), disk("platform/a000000.virtio_mmio/virtio1/block/vdb", ""), true},
		{"another virtio", disk("platform/a000000.virtio_mmio/virtio0/block/vda", ""), disk("platform/a000200.virtio_mmio/virtio0/block/vda", ""), false},
		{"NVMe numbered anew", disk("pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme1/nvme1n1", "s"), disk("pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0/nvme0n1", "s"), true},
		{"another namespace", disk("pci0000:00/0000:03:00.0/nvme/nvme0/nvme0n1", ""), disk("pci0000:00/0000:03:00.0/nvme/nvme0/nvme0n2", ""), false},
		{"SCSI host numbered anew", disk("pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host4/target4:0:0/4:0:0:0/block/sdb", ""), disk("pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host0/target0:0:0/0:0:0:0/block/sda", ""), true},
		{"another slot of a card reader", disk("pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host0/target0:0:0/0:0:0:0/block/sda", ""), disk("pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host0/target0:0:0/0:0:0:1/block/sda", ""), false},
		{"another port of a hub", disk("pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host0/target0:0:0/0:0:0:0/block/sda", ""), disk("pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0/host0/target0:0:0/0:0:0:0/block/sda", ""), false},
		{"another ATA port", disk("pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda", ""), disk("pci0000:00/0000:00:1f.2/ata2/host1/target1:0:0/1:0:0:0/block/sda", ""), false},
		{"loop devices have only their number", disk("virtual/block/loop0", ""), disk("virtual/block/loop1", ""), false},
		{"a partition", part("platform/4fb0000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0/mmcblk0p2", gib), part("platform/4fb0000.mmc/mmc_host/mmc1/mmc1:0001/block/mmcblk1/mmcblk1p2", gib), true},
		{"a partition elsewhere", part("platform/4fb0000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0/mmcblk0p2", gib), part("platform/4fb0000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0/mmcblk0p2", 2*gib), false},
		{"another partition", part("a/host0/target0:0:0/0:0:0:0/block/sda/sda1", gib), part("a/host0/target0:0:0/0:0:0:0/block/sda/sda2", gib), false},
		{"another size", disk("a/block/sda", ""), larger, false},
		{"another model", disk("a/block/sda", ""), otherModel, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := flasher.SameDisk(tc.before, tc.now)
			if (err == nil) != tc.same || err != nil && !errors.Is(err, flasher.ErrTargetChanged) {
				t.Errorf("got %v, want the same disk: %v", err, tc.same)
			}
		})
	}
}
