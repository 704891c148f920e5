package flasher

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/busybox"
)

// A disk that was not named is never written to. Three things could lead there: the
// kernel numbers its disks anew with each boot, a disk goes away in the middle and
// dd then makes a regular file of its name in /dev, and a device node leads to
// another device than its name says. So a target is found anew in each attempt and
// has to be the disk of the first, and everything that reads or writes it goes
// through a descriptor that the board's shell keeps open, not through its name.

// sameDisk says why now is not the device that before was. Both may be partitions.
func sameDisk(before, now busybox.BlockDevice) error {
	why := ""
	switch {
	case before.Size != now.Size || before.SectorSize != now.SectorSize:
		why = "another size"
	case before.Partition != now.Partition || before.Start != now.Start:
		why = "another place on the disk"
	case before.Model != now.Model:
		why = "another model"
	case before.Serial != now.Serial:
		why = "another serial number"
	case anchor(before) != anchor(now):
		why = "another address"
	default:
		return nil
	}
	return fmt.Errorf("%w, with %s: %s is now %s, and %s was %s (the kernel numbers disks in the order in which it finds them; name the target by its address, /sys/class/block#ADDRESS)",
		ErrTargetChanged, why, now.Path, identity(now), before.Path, identity(before))
}

// identity is what tells a device from others, for people.
func identity(d busybox.BlockDevice) string {
	s := fmt.Sprintf("%s with %d bytes", strings.TrimPrefix(d.SysPath, "/sys/devices/"), d.Size)
	if d.Model != "" {
		s += ", model " + d.Model
	}
	if d.Serial != "" {
		s += ", serial number " + d.Serial
	}
	return s
}

// numbered are the parts of a path in sysfs that the kernel numbers in the order in
// which it finds things, each below something that has an address of its own. What
// is not among them has to be the same.
var numbered = []*regexp.Regexp{
	regexp.MustCompile(`^(mmc)\d+$`),
	regexp.MustCompile(`^(mmc)\d+:[0-9a-f]+$`), // the card's number on its bus
	regexp.MustCompile(`^(virtio)\d+$`),
	regexp.MustCompile(`^(nvme)\d+(n\d+.*)?$`),
	regexp.MustCompile(`^(host)\d+$`),
	regexp.MustCompile(`^(target)\d+(:.*)$`),
	regexp.MustCompile(`^()\d+(:\d+:\d+:\d+)$`), // SCSI host, channel, target, LUN
}

// anchor is where a device is, without what the kernel numbers anew with each boot.
func anchor(d busybox.BlockDevice) string {
	if strings.HasPrefix(d.SysPath, "/sys/devices/virtual/") {
		return d.SysPath // there is nothing but the number
	}
	bus, below, _ := strings.Cut(d.SysPath, "/block/")
	parts := strings.Split(bus, "/")
	for i, p := range parts {
		for _, re := range numbered {
			if m := re.FindStringSubmatch(p); m != nil {
				parts[i] = m[1] + "#" + strings.Join(m[2:], "")
				break
			}
		}
	}
	// Below the disk, mmcblk0boot0 and mmcblk0p1 are "boot0" and "p1" of it.
	names := strings.Split(below, "/")
	for i := 1; i < len(names); i++ {
		parts = append(parts, strings.TrimPrefix(names[i], names[i-1]))
	}
	return strings.Join(parts, "/")
}

// heldPath is what the descriptor that [writer.hold] opened is called by the
// programs that the shell starts.
const heldPath = "/proc/self/fd/9"

// The exit statuses of holdScript that say more than that a command failed.
const (
	notBlock     = 82
	otherNumber  = 83
	otherDevice  = 84
	otherInstant = 85
)

// hold has the board's shell keep a device open, and returns the path by which
// scripts and commands reach it. As long as it is open the kernel gives its number
// to no other device; once the device is gone, opening that path fails.
func (w *writer) hold(ctx context.Context, dev busybox.BlockDevice) (string, error) {
	if w.held != nil && w.held.Number == dev.Number && w.held.SysPath == dev.SysPath && w.held.Sequence == dev.Sequence {
		return heldPath, nil
	}
	w.held = nil
	number, err := hexNumber(dev.Number)
	if err != nil {
		return "", fmt.Errorf("%s: %w", dev.Path, err)
	}
	disk := dev.SysPath
	if dev.Partition {
		disk = path.Dir(disk)
	}
	// The number is compared, because a node in /dev may be older than the device
	// that now has its name.
	_, err = w.shell.Run(ctx, fmt.Sprintf(`command exec 9<%s && (
[ -b %[2]s ] || exit %d
n=$(stat -L -c %%t:%%T %[2]s 2>/dev/null) || { set -- $(ls -lnL %[2]s) && n=$(printf %%x:%%x "${5%%,}" "$6"); } || exit
[ "$n" = %[4]s ] || { echo "it has the number $n"; exit %[5]d; }
[ "$(cat %[6]s)" = %[7]s ] || exit %[8]d
[ ! -e %[9]s ] || [ "$(cat %[9]s)" = %[10]s ] || exit %[11]d
)`, shellQuote(dev.Path), heldPath, notBlock, number, otherNumber, shellQuote(dev.SysPath+"/dev"), dev.Number, otherDevice,
		shellQuote(disk+"/diskseq"), shellQuote(dev.Sequence), otherInstant))
	var command *busybox.CommandError
	switch {
	case err == nil:
		w.held = &dev
		return heldPath, nil
	case errors.As(err, &command) && command.Status == notBlock:
		return "", fmt.Errorf("%w: %s is no block device, or /proc is not mounted: %w", ErrTargetChanged, dev.Path, err)
	case errors.As(err, &command) && command.Status == otherNumber:
		return "", fmt.Errorf("%w: the node %s does not have the number of %s, %s: %w (mount devtmpfs or run mdev -s in the initramfs)",
			ErrTargetChanged, dev.Path, dev.Name, dev.Number, err)
	case errors.As(err, &command) && (command.Status == otherDevice || command.Status == otherInstant):
		return "", fmt.Errorf("%w: %s was taken away, and there is another one: %w", ErrTargetChanged, dev.Path, err)
	}
	return "", fmt.Errorf("keep %s open: %w", dev.Path, err)
}

// orGone says of an error that its reason is that the device is not there any more,
// where that is so.
func (w *writer) orGone(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || w.held == nil || boardLost(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, w.f.cfg.timeouts.Command)
	defer cancel()
	_, gone := w.shell.Run(ctx, "(: <"+heldPath+")")
	var command *busybox.CommandError
	if !errors.As(gone, &command) {
		return err
	}
	return fmt.Errorf("%w: %s cannot be opened any more (was it pulled out, or its bus or power reset? The kernel's messages say it): %w", ErrTargetGone, w.device.Path, err)
}

// hexNumber writes "179:8" as stat does, "b3:8".
func hexNumber(number string) (string, error) {
	major, minor, _ := strings.Cut(number, ":")
	a, err1 := strconv.ParseUint(major, 10, 32)
	b, err2 := strconv.ParseUint(minor, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return "", fmt.Errorf("the board gives the device number %q", number)
	}
	return fmt.Sprintf("%x:%x", a, b), nil
}

// releases says whether the manifest has a preflash command that may release a
// target that is in use, or make a read-only one writable. Only then is such a
// target refused after those commands instead of before them.
func releases(commands []string, reason error) bool {
	words := []string{"umount", "swapoff", "mdadm", "dmsetup", "vgchange", "lvchange", "cryptsetup", "losetup"}
	if errors.Is(reason, busybox.ErrReadOnly) {
		words = []string{"force_ro", "setrw"}
	}
	for _, c := range commands {
		for _, word := range words {
			if strings.Contains(c, word) {
				return true
			}
		}
	}
	return false
}
