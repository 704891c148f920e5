package flasher

import (
	"context"

	"github.com/dutflash/dutflash/busybox"
)

// CheckParts does on a board at its shell what a flash does before its first
// write, so that many refusals cost one boot.
func CheckParts(ctx context.Context, s *BusyboxSession, parts []Part, opts ...FlashOption) error {
	o := s.o
	cfg, checked, err := o.f.checkParts(parts, true, opts)
	if err != nil {
		return err
	}
	for _, p := range checked {
		if err := o.targetPath(p); err != nil {
			return err
		}
	}
	if err := refuseSame(checked); err != nil {
		return err
	}
	tools, err := o.shell.Tools(ctx)
	if err != nil {
		return err
	}
	for _, p := range checked {
		p.image = &preparation{image: p.Prepared}
		p.w = &writer{operation: o, image: p.Prepared, res: p.res, tools: tools}
	}
	return o.resolve(ctx, checked, cfg.moveGPT)
}

// GetterText is the shell fragment that has the board fetch an image.
func GetterText(url string, headers []string, ca, insecure, curl bool) string {
	return getter{url: url, headers: headers, ca: ca, insecure: insecure}.text(curl)
}

// SameDisk says why now is not the device that before was.
func SameDisk(before, now busybox.BlockDevice) error { return sameDisk(before, now) }
