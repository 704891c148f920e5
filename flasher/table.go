package flasher

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/gpt"
)

// usualHead is how much of a disk holds a usual GPT, with sectors of 512 or of
// 4096 bytes; it is what crosses the console.
const usualHead = 24 << 10

// On the board; both are removed again.
const (
	tableFile = "/tmp/dutflash-table"
	bytesFile = "/tmp/dutflash-bytes"
)

// readTable reads the partition table of a disk. An error wraps
// [ErrPartitionTable].
func (w *writer) readTable(ctx context.Context, disk busybox.BlockDevice) (*gpt.Table, []byte, error) {
	var table *gpt.Table
	var head []byte
	var err error
	for _, n := range []int64{usualHead, gpt.HeadSize} {
		if head, err = w.readBytes(ctx, disk, 0, min(n, disk.Size)); err != nil {
			return nil, nil, err
		}
		if table, err = gpt.Parse(head); err == nil {
			break // a table that is cut off looks damaged
		}
	}
	if err == nil && table != nil {
		if table.Kind == "gpt" && table.SectorSize != int64(disk.SectorSize) {
			return nil, nil, fmt.Errorf("%w: the GPT of %s is for sectors of %d bytes, the disk has %d", ErrPartitionTable, disk.Path, table.SectorSize, disk.SectorSize)
		}
		if table.Kind == "gpt" || !protectsGPT(table) {
			return table, head, nil
		}
		err = fmt.Errorf("%w: a protective MBR without a GPT behind it", gpt.ErrDamaged)
	}
	if err == nil {
		err = errors.New("there is none; flash the image of a whole disk first, or name the whole target")
	}
	return nil, nil, fmt.Errorf("%w of %s: %w%s", ErrPartitionTable, disk.Path, err, w.backupNote(ctx, disk))
}

// protectsGPT says whether an MBR is there only to keep hands off a GPT.
func protectsGPT(t *gpt.Table) bool {
	return len(t.Partitions) == 1 && t.Partitions[0].Type == "0xee"
}

// backupNote says what the second copy of a table is good for.
func (w *writer) backupNote(ctx context.Context, disk busybox.BlockDevice) string {
	n := min(gpt.TailSize, disk.Size)
	tail, err := w.readBytes(ctx, disk, disk.Size-n, n)
	if err != nil {
		return ""
	}
	table, err := gpt.ParseBackup(tail, disk.Size)
	if table == nil || err != nil {
		return ""
	}
	return fmt.Sprintf(" (the second copy at the end of the disk is good and has %d partitions; gdisk can restore the first from it)", len(table.Partitions))
}

// readBytes reads whole sectors of a device past the page cache. They come over
// the console, with their digest: they are few, and it always works.
func (w *writer) readBytes(ctx context.Context, dev busybox.BlockDevice, off, n int64) ([]byte, error) {
	pack := "cat"
	if w.tools.Has("gzip") {
		pack = "gzip -c"
	}
	device, err := w.hold(ctx, dev)
	if err != nil {
		return nil, err
	}
	block, drop := int64(4096), w.dropCaches()
	if off%block != 0 || n%block != 0 {
		// busybox's dd has no buffer for direct I/O in smaller blocks, and then
		// reads through the page cache without a word.
		block, drop = int64(dev.SectorSize), "sync && echo 3 >/proc/sys/vm/drop_caches && "
	}
	cmd := fmt.Sprintf(drop+"dd if=%s bs=%d skip=%d count=%d %s | %s >%s",
		device, block, off/block, n/block, w.inputFlags(), pack, tableFile)
	said, err := w.shell.Run(ctx, cmd)
	if err != nil {
		return nil, err
	}
	b, err := w.shell.Download(ctx, tableFile)
	if err != nil {
		return nil, err
	}
	if _, err := w.shell.Run(ctx, "rm -f "+tableFile); err != nil {
		return nil, err
	}
	if pack != "cat" {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", dev.Path, err)
		}
		if b, err = io.ReadAll(io.LimitReader(z, n+1)); err != nil {
			return nil, fmt.Errorf("read %s: %w", dev.Path, err)
		}
	}
	if int64(len(b)) != n {
		return nil, fmt.Errorf("read %s: got %d of %d bytes at offset %d: %s", dev.Path, len(b), n, off, strings.TrimSpace(said))
	}
	return b, nil
}

// writeBytes writes whole sectors and reads them back.
func (w *writer) writeBytes(ctx context.Context, dev busybox.BlockDevice, off int64, b []byte) error {
	device, err := w.hold(ctx, dev)
	if err != nil {
		return err
	}
	w.servers.http.File("bytes", bytes.NewReader(b), int64(len(b)))
	defer w.servers.http.Remove("bytes")
	if err := w.shell.Fetch(ctx, w.servers.url("bytes"), bytesFile); err != nil {
		return err
	}
	sector := int64(dev.SectorSize)
	cmd := fmt.Sprintf("dd if=%s of=%s bs=%d seek=%d conv=notrunc,fsync && rm -f %s", bytesFile, device, sector, off/sector, bytesFile)
	if _, err := w.shell.Run(ctx, cmd); err != nil {
		return err
	}
	got, err := w.readBytes(ctx, dev, off, int64(len(b)))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, b) {
		return fmt.Errorf("%w: the %d bytes at offset %d of %s are not what was written", ErrVerify, len(b), off, dev.Path)
	}
	return nil
}

// rereadTable has the board's kernel look at a partition table again.
func (w *writer) rereadTable(ctx context.Context, disk busybox.BlockDevice) error {
	tool, err := w.tools.Pick("blockdev", "partprobe")
	if err != nil {
		return err
	}
	if tool == "blockdev" {
		tool += " --rereadpt"
	}
	_, err = w.shell.Run(ctx, tool+" "+disk.Path)
	return err
}
