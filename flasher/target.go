package flasher

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/dutflash/dutflash/busybox"
)

// targetPath turns what was asked for into the device path that the manifest or
// the caller names, and the partition on it, "" for all of it. It needs no board.
// As with Jumpstarter, a partition that is a target's name is that target.
func (o *operation) targetPath(p *part) (err error) {
	target := p.Target
	if target == "" && p.Partition != "" && o.hasTarget(p.Partition) {
		target, p.Partition = p.Partition, ""
	}
	if target == "" {
		target = p.defaultTarget
	}
	p.res.Target, p.res.Partition = target, p.Partition
	if strings.HasPrefix(target, "/dev/") || strings.HasPrefix(target, "/sys/class/block#") {
		p.path = target
		return nil
	}
	if p.path, err = o.manifest.Target(target); err != nil {
		return err
	}
	if target == "" {
		p.res.Target = o.manifest.Spec.DefaultTarget
	}
	return nil
}

func (o *operation) hasTarget(name string) bool {
	_, ok := o.manifest.Spec.Targets[name]
	return ok
}

// resolveTarget finds the block device on the board and refuses one that the
// image must not or cannot go to.
func (w *writer) resolveTarget(ctx context.Context, p *part) error {
	dev, err := w.findDevice(ctx, p)
	if err != nil {
		return err
	}
	if err := w.checkTarget(dev); err != nil {
		return err
	}
	w.device = dev
	w.res.Device, w.res.DeviceBytes = dev.Path, dev.Size
	w.f.cfg.log.Info("Using target block device", "device", dev.Path, "bytes", dev.Size, "label", dev.Label)
	return nil
}

// checkTarget refuses a device that the image cannot go to, or must not.
func (w *writer) checkTarget(dev busybox.BlockDevice) error {
	size := w.image.Size()
	err := dev.CheckTarget(size)
	if err == nil {
		return nil
	}
	if !w.settled && !errors.Is(err, busybox.ErrTooSmall) && releases(w.manifest.Spec.PreflashCommands, err) {
		w.f.cfg.log.Info("The preflash commands are to release the target", "device", dev.Path, "now", err)
		dev.ReadOnly, dev.Mounted, dev.Users = false, nil, nil
		err = dev.CheckTarget(size)
	}
	return targetError(err)
}

// findDevice finds the block device of a part, which may be a partition.
func (w *writer) findDevice(ctx context.Context, p *part) (busybox.BlockDevice, error) {
	dev, err := w.shell.BlockDevice(ctx, p.path)
	if err != nil {
		return dev, err
	}
	if p.known == nil {
		p.known = &dev
	} else if err := sameDisk(*p.known, dev); err != nil {
		return dev, err
	}
	p.disk = dev
	if p.Partition == "" {
		return dev, nil
	}
	return w.resolvePartition(ctx, p)
}

// resolvePartition finds the partition by the table on the disk itself: a link in
// /dev/disk/by-partlabel may lead to another disk's partition of that label.
func (w *writer) resolvePartition(ctx context.Context, p *part) (dev busybox.BlockDevice, err error) {
	if p.disk.Partition {
		return dev, fmt.Errorf("%w: %s is a partition itself; name its disk as the target", ErrPartitionNotFound, p.disk.Path)
	}
	table, head, err := w.readTable(ctx, p.disk)
	if errors.Is(err, ErrPartitionTable) && p.head != nil {
		// An earlier attempt of this flash saw a good one; its preflash
		// commands removed it, and it was lost before it was put back.
		if err := w.putTableBack(ctx, p); err != nil {
			return dev, err
		}
		table, head, err = w.readTable(ctx, p.disk)
	}
	if err != nil {
		return dev, err
	}
	p.table, p.head = table, head
	if _, stale := partitions(p.disk, p.table); len(stale) > 0 {
		// Written since the kernel looked, perhaps by a program on the board.
		if err := w.rereadTable(ctx, p.disk); err != nil {
			w.f.cfg.log.Warn("The kernel does not read the partition table again", "device", p.disk.Path, "error", err)
		} else if p.disk, err = w.shell.BlockDevice(ctx, p.disk.Path); err != nil {
			return dev, err
		}
	}
	found, err := findPartition(p.disk, p.table, p.Partition)
	if err != nil {
		return dev, err
	}
	if dev, err = w.shell.BlockDevice(ctx, "/dev/"+strings.ReplaceAll(found.name, "!", "/")); err != nil {
		return dev, err
	}
	if dev.Start != found.start || dev.Size != found.size || diskOf(dev) != p.disk.Name {
		return dev, fmt.Errorf("%w: %s is not the partition that the table of %s says", ErrPartitionTable, dev.Path, p.disk.Path)
	}
	return dev, nil
}

// diskOf returns the kernel's name of the disk that a device is or lies on.
func diskOf(d busybox.BlockDevice) string {
	if !d.Partition {
		return d.Name
	}
	return path.Base(path.Dir(d.SysPath))
}

// targetError makes a refusal one of this package's, so that a caller need not
// know where it was found.
func targetError(err error) error {
	if err == nil {
		return nil
	}
	for reason, own := range map[error]error{
		busybox.ErrReadOnly: ErrTargetReadOnly,
		busybox.ErrInUse:    ErrTargetInUse,
		busybox.ErrTooSmall: ErrImageTooLarge,
	} {
		if errors.Is(err, reason) {
			return fmt.Errorf("%w: %w", own, err)
		}
	}
	return err
}
