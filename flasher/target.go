package flasher

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dutflash/dutflash/busybox"
)

// targetPath turns the target that was asked for into the device path that the
// manifest or the caller names. It needs no board.
func (o *operation) targetPath(target string, res *Result) (string, error) {
	if strings.HasPrefix(target, "/dev/") || strings.HasPrefix(target, "/sys/class/block#") {
		return target, nil
	}
	device, err := o.manifest.Target(target)
	if err != nil {
		return "", err
	}
	if target == "" {
		res.Target = o.manifest.Spec.DefaultTarget
	}
	return device, nil
}

// resolveTarget finds the block device on the board and refuses one that the
// image must not or cannot go to.
func (w *writer) resolveTarget(ctx context.Context, device string) error {
	dev, err := w.shell.BlockDevice(ctx, device)
	if err != nil {
		return err
	}
	if err := dev.CheckTarget(w.image.Size()); err != nil {
		return targetError(err)
	}
	w.device = dev
	w.res.Device, w.res.DeviceBytes = dev.Path, dev.Size
	w.f.cfg.log.Info("Using target block device", "device", dev.Path, "bytes", dev.Size)
	return nil
}

// targetError makes a refusal one of this package's, so that a caller need not
// know where it was found.
func targetError(err error) error {
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
