package flasher

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/gpt"
	"github.com/dutflash/dutflash/transport/image"
)

// Part is one image and where it goes, for [Flasher.FlashParts].
type Part struct {
	// Target is as for [WithTarget]; "" is the target of WithTarget, else the
	// Flasher's or the manifest's default target.
	Target string
	// Partition is as for [WithPartition]; "" is the whole target.
	Partition string

	// Image is what image.Open takes. Exactly one of Image, Source and
	// Prepared is given. A Prepared is not closed.
	Image    string
	Source   image.Source
	Prepared *image.Prepared

	// SHA256 is as for [WithImageSHA256], Bmap as for [WithBmap]; neither goes
	// with Prepared.
	SHA256 string
	Bmap   string
}

// ParsePart reads PARTITION:IMAGE as Jumpstarter's -t option has it, cut at the
// first colon: "boot:boot.img", "rootfs:https://host/rootfs.img.xz". In place of
// the partition a target's name may stand, or a device path. Errors wrap
// [ErrConfig].
func ParsePart(s string) (Part, error) {
	where, file, ok := strings.Cut(s, ":")
	if !ok || where == "" || file == "" {
		return Part{}, fmt.Errorf("%w: %q is not PARTITION:IMAGE", ErrConfig, s)
	}
	switch {
	case strings.HasPrefix(file, "//"):
		return Part{}, fmt.Errorf("%w: %q is a URL without a partition before it; write PARTITION:URL", ErrConfig, s)
	case strings.HasPrefix(where, "/sys/"):
		return Part{}, fmt.Errorf("%w: %q: an address may hold colons itself; give it as the target", ErrConfig, s)
	case strings.HasPrefix(where, labelDir), strings.HasPrefix(where, uuidDir), !strings.HasPrefix(where, "/dev/"):
		return Part{Partition: where, Image: file}, nil
	}
	return Part{Target: where, Image: file}, nil
}

// FlashParts is [Flasher.Flash] for several images, each with a target or a
// partition of its own, in one boot of the board. All of them are checked before
// the first write: the images are opened and wholly prepared, the targets found,
// the sizes compared, and parts that would overlap refused ([ErrTargetOverlap]).
// They are written and proved one after the other, in the order given.
func (f *Flasher) FlashParts(ctx context.Context, parts []Part, opts ...FlashOption) (*Result, error) {
	return f.flash(ctx, parts, true, opts)
}

// part is a Part on its way.
type part struct {
	Part
	name          string // of the image, without credentials
	defaultTarget string
	bmap          image.Source
	noBmap        bool
	several       bool // it is one of several

	path  string               // device path by manifest or caller
	known *busybox.BlockDevice // what it was when it was found first
	image *preparation
	res   *Result

	// From here on it is of one attempt.
	w     *writer
	disk  busybox.BlockDevice // what path is
	table *gpt.Table          // of disk, where a partition was asked for
	head  []byte              // which the table was read from
	moves []gpt.Change        // for WithMoveBackupGPT
}

// wrap names the part in an error where there are several.
func (p *part) wrap(err error) error {
	if err == nil || !p.several {
		return err
	}
	if own, ok := err.(*Error); ok { // stays the error that the caller gets
		own.Err = p.wrap(own.Err)
		return own
	}
	name := p.name
	if name == "" {
		name = "the prepared image"
	}
	return fmt.Errorf("%s to %s: %w", name, p.where(), err)
}

// where is the place of a part for people.
func (p *part) where() string {
	switch target := p.res.Target; {
	case p.Partition != "" && target != "":
		return fmt.Sprintf("partition %s of %s", p.Partition, target)
	case p.Partition != "":
		return "partition " + p.Partition
	case target != "":
		return target
	}
	return "the default target"
}

// open opens the part's image and block map; nothing is read yet.
func (p *part) open(opts []image.SourceOption) (err error) {
	given := 0
	for _, has := range []bool{p.Part.Image != "", p.Source != nil, p.Prepared != nil} {
		if has {
			given++
		}
	}
	switch {
	case given != 1:
		return fmt.Errorf("%w: a part needs one of Image, Source and Prepared, and has %d", ErrConfig, given)
	case p.Prepared != nil && p.SHA256 != "":
		return fmt.Errorf("%w: a SHA-256 is for images that the flash prepares; a prepared one was checked when it was prepared", ErrConfig)
	case p.Prepared != nil && (p.Bmap != "" || p.noBmap):
		return fmt.Errorf("%w: whether a block map is used is decided when an image is prepared", ErrConfig)
	case p.Bmap != "" && p.noBmap:
		return fmt.Errorf("%w: a block map is given and forbidden", ErrConfig)
	}
	if p.Part.Image != "" {
		p.name = displayName(p.Part.Image)
		if p.Source, err = image.Open(p.Part.Image, opts...); err != nil {
			return err
		}
	}
	if p.Bmap != "" {
		p.bmap, err = image.Open(p.Bmap, opts...)
	}
	return err
}

// refuseSame refuses two parts that are seen to go to the same place before the
// board is touched.
func refuseSame(parts []*part) error {
	for i, p := range parts {
		for _, q := range parts[:i] {
			if p.path == q.path && (p.Partition == q.Partition || p.Partition == "" || q.Partition == "") {
				return fmt.Errorf("%w: %s goes to %s and %s to %s", ErrTargetOverlap, q.name, q.where(), p.name, p.where())
			}
		}
	}
	return nil
}

// refuseOverlap refuses two parts whose devices share a byte, however they were
// named.
func refuseOverlap(parts []*part) error {
	for i, p := range parts {
		for _, q := range parts[:i] {
			a, b := p.w.device, q.w.device
			if diskOf(a) == diskOf(b) && a.Start < b.Start+b.Size && b.Start < a.Start+a.Size {
				return fmt.Errorf("%w: %s (%s) and %s (%s)", ErrTargetOverlap, q.where(), b.Path, p.where(), a.Path)
			}
		}
	}
	return nil
}

// resolve finds and checks the places of all parts; nothing is written.
func (o *operation) resolve(ctx context.Context, parts []*part, moveGPT bool) error {
	for _, p := range parts {
		if err := p.w.resolveTarget(ctx, p); err != nil {
			return p.wrap(err)
		}
	}
	if err := refuseOverlap(parts); err != nil {
		return err
	}
	if !moveGPT {
		return nil
	}
	for _, p := range parts {
		if err := p.planMove(); err != nil {
			return p.wrap(err)
		}
	}
	return nil
}

// planMove computes the partition table that goes with the disk's size.
func (p *part) planMove() error {
	dev, size := p.w.device, p.image.image.Size()
	if dev.Partition {
		if !p.several {
			return fmt.Errorf("%w: WithMoveBackupGPT is for a whole disk; %s is a partition", ErrConfig, dev.Path)
		}
		return nil
	}
	head := make([]byte, min(gpt.HeadSize, size))
	if _, err := p.image.image.ReadAt(head, 0); err != nil && int64(len(head)) < size {
		return err
	}
	table, err := gpt.Parse(head)
	if err == nil && table != nil && table.Kind == "gpt" && table.SectorSize != int64(dev.SectorSize) {
		return fmt.Errorf("%w: the image's GPT is for sectors of %d bytes, %s has %d", ErrPartitionTable, table.SectorSize, dev.Path, dev.SectorSize)
	}
	moves, err := gpt.MoveBackup(head, dev.Size)
	if err != nil {
		return fmt.Errorf("%w in the image: %w", ErrPartitionTable, err)
	}
	if size < dev.Size {
		p.moves = moves
	}
	return nil
}

// recheck looks again after the preflash commands. They may have unmounted the
// target, or mounted it. They often wipe the first sectors of the board's disks:
// where the table that a partition was found by is gone, it is put back. A table
// that is another one now is an error.
func (o *operation) recheck(ctx context.Context, p *part) error {
	p.w.settled = true
	o.held = nil // they may have closed it
	if p.table == nil {
		if err := p.w.resolveTarget(ctx, p); err != nil {
			return fmt.Errorf("after the preflash commands: %w", err)
		}
		return nil
	}
	w, before := p.w, p.w.device
	restored := false
	if _, _, err := w.readTable(ctx, p.disk); errors.Is(err, ErrPartitionTable) {
		if err := w.putTableBack(ctx, p); err != nil {
			return err
		}
		restored = true
	} else if err != nil {
		return err
	}
	if err := w.resolveTarget(ctx, p); err != nil {
		return fmt.Errorf("after the preflash commands: %w", err)
	}
	if now := w.device; now.Start != before.Start || now.Size != before.Size || now.Name != before.Name {
		return fmt.Errorf("%w: a preflash command changed it: %s was at byte %d of %s with %d bytes and is %s at byte %d with %d",
			ErrPartitionTable, before.Path, before.Start, p.disk.Path, before.Size, now.Path, now.Start, now.Size)
	}
	if restored {
		w.res.Warnings = append(w.res.Warnings, "a preflash command removed the partition table of "+p.disk.Path+"; it was put back")
	}
	return nil
}

// putTableBack writes the first sectors of a disk as they were before preflash
// commands changed them.
func (w *writer) putTableBack(ctx context.Context, p *part) error {
	w.f.cfg.log.Warn("A preflash command removed the partition table; putting it back", "device", p.disk.Path)
	if err := w.writeBytes(ctx, p.disk, 0, p.head); err != nil {
		return fmt.Errorf("put the partition table of %s back, which a preflash command removed: %w", p.disk.Path, err)
	}
	return nil
}

// settleTable leaves a disk that was written as a whole with a table that fits
// it and that the board's kernel has read.
func (o *operation) settleTable(ctx context.Context, p *part) error {
	w := p.w
	for _, c := range p.moves {
		if err := w.writeBytes(ctx, w.device, c.Offset, c.Data); err != nil {
			return fmt.Errorf("move the backup GPT to the end of %s: %w", w.device.Path, err)
		}
		w.res.MovedBackupGPT = true
	}
	if err := w.rereadTable(ctx, w.device); err != nil {
		// It matters only to who goes on working with this boot of the board.
		o.f.cfg.log.Warn("The board's kernel did not read the partition table again", "device", w.device.Path, "error", err)
		return ctx.Err()
	}
	return nil
}

// sumUp adds the parts' counts where there are several.
func sumUp(res *Result, parts []*part) {
	if len(parts) == 0 || parts[0].res == res {
		return
	}
	total := Result{}
	for _, p := range parts {
		r := p.res
		total.DeviceBytes += r.DeviceBytes
		total.ImageBytes += r.ImageBytes
		total.TransferredBytes += r.TransferredBytes
		total.WrittenBytes += r.WrittenBytes
		total.ZeroedBytes += r.ZeroedBytes
		total.UnchangedBytes += r.UnchangedBytes
		total.ProvedBytes += r.ProvedBytes
		total.UnprovedBytes += r.UnprovedBytes
		total.MovedBackupGPT = total.MovedBackupGPT || r.MovedBackupGPT
	}
	res.DeviceBytes, res.ImageBytes, res.TransferredBytes = total.DeviceBytes, total.ImageBytes, total.TransferredBytes
	res.WrittenBytes, res.ZeroedBytes, res.UnchangedBytes = total.WrittenBytes, total.ZeroedBytes, total.UnchangedBytes
	res.ProvedBytes, res.UnprovedBytes, res.MovedBackupGPT = total.ProvedBytes, total.UnprovedBytes, total.MovedBackupGPT
}
