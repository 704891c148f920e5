package flasher_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/transport/image"
)

// sgdisk makes partition tables, and says what it thinks of ours.
func sgdisk(t *testing.T, disk string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), testtool.Need(t, "sgdisk", "apt-get install gdisk"), append(args, disk)...).CombinedOutput()
	if err != nil {
		t.Fatalf("sgdisk %s: %v\n%s", args, err, out)
	}
	return string(out)
}

// blankFile makes a file of zeros.
func blankFile(t *testing.T, name string, size int64) string {
	t.Helper()
	path := imageFile(t, name, nil)
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// writeAt changes a file in place.
func writeAt(t *testing.T, path string, b []byte, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

// twoDisks is a board whose disks both have a partition that is called boot.
func twoDisks(t *testing.T) (r *rig, second string) {
	r = newRig(t, virtboard.ARM64, 96*mib)
	second = blankFile(t, "second.img", 32*mib)
	sgdisk(t, second, "-n1:2048:+8M", "-c1:boot", "-n2:0:+8M", "-c2:other")
	board, err := virtboard.New(virtboard.Config{Arch: virtboard.ARM64, Disk: r.disk, ExtraDrives: []virtboard.Drive{{Path: second}}})
	if err != nil {
		t.Fatal(err)
	}
	r.board = board
	t.Cleanup(func() {
		if err := board.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, second
}

// TestPartitions flashes a disk image onto a larger disk and moves its backup
// table, and then two partitions in one boot.
func TestPartitions(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "sgdisk", "apt-get install gdisk")
	r, second := twoDisks(t)
	untouched, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	const (
		bootAt, rootAt = 1 * mib, 9 * mib
		wipe           = "dd if=/dev/zero of=/dev/vda bs=512 count=34"
	)
	whole := imageFile(t, "whole.img", testImage(48*mib))
	sgdisk(t, whole, "-Z", "-o", "-n1:2048:+8M", "-c1:boot", "-n2:0:+24M", "-c2:root fs")
	raw, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	f := r.flasher(t, bundleDir(t, virtboard.ARM64, debian.Bundle{Preflash: []string{wipe}}))
	res, err := f.Flash(t.Context(), compressed(t, whole, "xz", ".xz", "-1"), flasher.WithMoveBackupGPT())
	if err != nil {
		t.Fatal(err)
	}
	if res.SHA256 != sha256Hex(raw) || !res.MovedBackupGPT {
		t.Errorf("result %+v", res)
	}
	if out := sgdisk(t, r.disk, "-v", "-p"); !strings.Contains(out, "No problems found") || !strings.Contains(out, "root fs") {
		t.Errorf("sgdisk -v -p:\n%s", out)
	}
	disk, err := os.ReadFile(r.disk)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(disk[1024:48*mib], raw[1024:]) {
		t.Error("behind the GPT header, the disk does not hold the image")
	}

	t.Run("two in one boot", func(t *testing.T) {
		// Of the second, its block map leaves out all but these stretches.
		boot, root := testImage(7*mib+512), make([]byte, 20*mib)
		mapped := [][2]int{{0, 3 * mib}, {10*mib + 4096, mib}, {15 * mib, 8192}}
		for i := range 40 { // small ones, which are written some dozens at a time
			mapped = append(mapped, [2]int{16*mib + i*40960, 4096 << (i % 3)})
		}
		left := int64(len(root))
		rootFile := blankFile(t, "root.img", int64(len(root)))
		for i, m := range mapped {
			copy(root[m[0]:], bytes.Repeat([]byte{'1' + byte(i)}, m[1]))
			writeAt(t, rootFile, root[m[0]:m[0]+m[1]], int64(m[0]))
			left -= int64(m[1])
		}
		bmaptool := testtool.Need(t, "bmaptool", "apt-get install bmap-tools")
		if out, err := exec.CommandContext(t.Context(), bmaptool, "create", "-o", rootFile+".bmap", rootFile).CombinedOutput(); err != nil {
			t.Fatalf("bmaptool: %v\n%s", err, out)
		}
		res, err := f.FlashParts(t.Context(), []flasher.Part{
			{Partition: "boot", Image: imageFile(t, "boot.img", boot)},
			{Partition: "p2", Image: rootFile},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Parts) != 2 || res.Parts[0].SHA256 != sha256Hex(boot) || res.Parts[1].SHA256 != "" || res.UnprovedBytes != left ||
			res.Parts[0].Device != "/dev/vda1" || res.Parts[1].Device != "/dev/vda2" || res.ImageBytes != int64(len(boot)+len(root)) {
			t.Errorf("result %+v", res)
		}
		if n := strings.Count(r.console.String(), "U-Boot 20"); n > 4 {
			t.Errorf("U-Boot showed its banner %d times in two flashes", n)
		}
		var order []flasher.Step
		for _, st := range res.Steps {
			if st.Step == flasher.StepWrite || st.Step == flasher.StepVerify {
				order = append(order, st.Step)
			}
		}
		if !slices.Equal(order, []flasher.Step{flasher.StepWrite, flasher.StepWrite, flasher.StepVerify, flasher.StepVerify}) {
			t.Errorf("steps %v, want all written before the first is read back", order)
		}
		// Each preflash wiped the table, which the partitions need.
		if len(res.Parts[0].Warnings) != 1 || !strings.Contains(res.Parts[0].Warnings[0], "put back") {
			t.Errorf("warnings %q, want that the table was put back", res.Parts[0].Warnings)
		}
		if out := sgdisk(t, r.disk, "-v"); !strings.Contains(out, "No problems found") {
			t.Errorf("sgdisk -v:\n%s", out)
		}
		want := bytes.Clone(disk)
		copy(want[bootAt:], boot)
		for _, m := range mapped {
			copy(want[rootAt+m[0]:], root[m[0]:m[0]+m[1]])
		}
		got, err := os.ReadFile(r.disk)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Error("the disk is not what it was with the two images in it")
		}
		t.Logf("%+v\n%+v", *res.Parts[0], *res.Parts[1])
	})
	if got, err := os.ReadFile(second); err != nil || !bytes.Equal(got, untouched) {
		t.Errorf("the other disk, with the same label, was written to (%v)", err)
	}
	r.isOff(t)
}

// TestPartsRefused does in one boot what a flash does before its first write, on
// disks whose table is made from outside.
func TestPartsRefused(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "sgdisk", "apt-get install gdisk")
	r, _ := twoDisks(t)
	s, err := r.flasher(t, bundleDir(t, virtboard.ARM64, debian.Bundle{})).BusyboxShell(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	prepared := func(size int64, table ...string) *image.Prepared {
		path := blankFile(t, "prepared.img", size)
		if table != nil {
			sgdisk(t, path, table...)
		}
		src, err := image.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := image.Prepare(t.Context(), src, image.WithCacheDir(filepath.Join(r.cache, "prepared")))
		if err == nil {
			err = p.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	small, large := prepared(mib), prepared(9*mib)
	withGPT := prepared(4*mib, "-n1:2048:0")
	usual := func() {
		sgdisk(t, r.disk, "-Z", "-o", "-n1:2048:+8M", "-c1:boot", "-n2:0:+8M", "-c2:twice", "-n3:0:+8M", "-c3:twice")
	}
	damage := func(offsets ...int64) {
		for _, off := range offsets {
			writeAt(t, r.disk, []byte("damaged"), off)
		}
	}
	mbr := func() {
		sgdisk(t, r.disk, "-Z")
		cmd := exec.CommandContext(t.Context(), testtool.Need(t, "sfdisk", "apt-get install fdisk"), "--no-tell-kernel", "-q", r.disk)
		cmd.Stdin = strings.NewReader("label: dos\nsize=8M, type=83\ntype=5\nsize=8M, type=83\nsize=8M, type=83\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("sfdisk: %v\n%s", err, out)
		}
	}
	to := func(partition string, p *image.Prepared) flasher.Part {
		return flasher.Part{Partition: partition, Prepared: p}
	}
	device := func(path string, p *image.Prepared) flasher.Part { return flasher.Part{Target: path, Prepared: p} }
	move := []flasher.FlashOption{flasher.WithMoveBackupGPT()}
	for _, tc := range []struct {
		name  string
		table func()
		parts []flasher.Part
		opts  []flasher.FlashOption
		err   error // nil: nothing is refused
		says  string
	}{
		{name: "no table", parts: []flasher.Part{to("boot", small)}, err: flasher.ErrPartitionTable, says: "there is none"},
		{name: "label and number", table: usual, parts: []flasher.Part{to("boot", small), to("2", small), to("vda3", small)}},
		{name: "by the device", table: usual, parts: []flasher.Part{device("/dev/vda1", small), to("p2", small), device("/dev/vdb", large)}},
		{name: "unknown label", table: usual, parts: []flasher.Part{to("boot", small), to("rootfs", small)}, err: flasher.ErrPartitionNotFound, says: `1 vda1 "boot" (8388608 bytes), 2 vda2 "twice"`},
		{name: "label of another disk", table: usual, parts: []flasher.Part{to("other", small)}, err: flasher.ErrPartitionNotFound},
		{name: "two of one label", table: usual, parts: []flasher.Part{to("twice", small)}, err: flasher.ErrPartitionAmbiguous, says: "PARTUUID"},
		{name: "number out of range", table: usual, parts: []flasher.Part{to("4", small)}, err: flasher.ErrPartitionNotFound},
		{name: "image larger than the partition", table: usual, parts: []flasher.Part{to("boot", large)}, err: flasher.ErrImageTooLarge},
		{name: "partition of a partition", table: usual, parts: []flasher.Part{{Target: "/dev/vda1", Partition: "1", Prepared: small}}, err: flasher.ErrPartitionNotFound},
		{name: "one partition by two names", table: usual, parts: []flasher.Part{to("boot", small), to("1", small)}, err: flasher.ErrTargetOverlap},
		{name: "one target twice", table: usual, parts: []flasher.Part{to("boot", small), to("boot", small)}, err: flasher.ErrTargetOverlap},
		{name: "disk and its partition", table: usual, parts: []flasher.Part{to("", small), device("/dev/vda2", small)}, err: flasher.ErrTargetOverlap},
		{name: "first header damaged", table: func() { usual(); damage(512 + 20) }, parts: []flasher.Part{to("boot", small)}, err: flasher.ErrPartitionTable, says: "second copy at the end of the disk is good and has 3"},
		{name: "entries damaged", table: func() { usual(); damage(1024 + 56) }, parts: []flasher.Part{to("boot", small)}, err: flasher.ErrPartitionTable, says: "second copy"},
		{name: "both copies damaged", table: func() { usual(); damage(512+20, 96*mib-512+20) }, parts: []flasher.Part{to("boot", small)}, err: flasher.ErrPartitionTable, says: "checksum"},
		{name: "protective MBR without a GPT", table: func() { usual(); damage(512, 96*mib-512) }, parts: []flasher.Part{to("1", small)}, err: flasher.ErrPartitionTable},
		{name: "numbers of an MBR", table: mbr, parts: []flasher.Part{to("1", small), to("vda5", small), to("6", small)}},
		{name: "extended partition of an MBR", table: mbr, parts: []flasher.Part{to("2", small)}, err: flasher.ErrPartitionNotFound, says: "6 vda6 (8388608 bytes)"},
		{name: "label of an MBR", table: mbr, parts: []flasher.Part{to("boot", small)}, err: flasher.ErrPartitionNotFound, says: "MBR"},
		{name: "another table by now", table: func() { sgdisk(t, r.disk, "-Z", "-o", "-n1:4096:+4M", "-c1:boot") }, parts: []flasher.Part{to("boot", small)}},
		{name: "move the table of an image with one", parts: []flasher.Part{to("", withGPT)}, opts: move},
		{name: "move the table of an image without one", parts: []flasher.Part{to("", small)}, opts: move, err: flasher.ErrPartitionTable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.table != nil {
				tc.table()
			}
			err := flasher.CheckParts(t.Context(), s, tc.parts, tc.opts...)
			if !errors.Is(err, tc.err) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %v with %q", err, tc.err, tc.says)
			}
			t.Log(err)
		})
	}
}

// TestTablePutBackAfterReset: a preflash command wipes the table, and the board
// resets before it is put back. The retry finds no table and knows the old one.
func TestTablePutBackAfterReset(t *testing.T) {
	t.Parallel()
	r, second := twoDisks(t)
	sgdisk(t, r.disk, "-n1:2048:+8M", "-c1:boot")
	before := sgdisk(t, r.disk, "-p")
	writeAt(t, second, []byte("once"), 0)
	f := r.flasher(t, bundleDir(t, virtboard.ARM64, debian.Bundle{Preflash: []string{
		"dd if=/dev/zero of=/dev/vda bs=512 count=34 conv=fsync",
		`if [ "$(head -c 4 /dev/vdb)" = once ]; then echo done | dd of=/dev/vdb conv=fsync,notrunc; echo b >/proc/sysrq-trigger; sleep 60; fi`,
	}}), flasher.WithRetryWait(time.Millisecond))
	boot := testImage(3 * mib)
	res, err := f.Flash(t.Context(), imageFile(t, "boot.img", boot), flasher.WithPartition("boot"))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Attempts) == 0 || res.Attempts[0].Step != flasher.StepPreflash || res.SHA256 != sha256Hex(boot) {
		t.Errorf("result %+v", res)
	}
	if out := sgdisk(t, r.disk, "-v"); !strings.Contains(out, "No problems found") || sgdisk(t, r.disk, "-p") != before {
		t.Errorf("sgdisk -v:\n%s", out)
	}
}
