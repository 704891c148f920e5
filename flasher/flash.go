package flasher

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/dutflash/dutflash/transport/image"
)

// FlashOption configures one [Flasher.Flash].
type FlashOption func(*flashConfig) error

type flashConfig struct {
	target    string
	partition string
	bundle    string
	sha256    string
	bmap      string
	noBmap    bool
	moveGPT   bool
}

// WithTarget names what is flashed: a name from the manifest's targets, a
// device path such as /dev/mmcblk1, or /sys/class/block#ADDRESS for the block
// device whose sysfs path contains the address. The default is the Flasher's
// default target, else the manifest's default_target.
//
// The kernel numbers disks in the order in which it finds them, so that after a
// reboot mmcblk0 may be another one than before; an address is always the same
// one's. A retry whose target is another device than in the first attempt, by
// address, size, model or serial number, fails with [ErrTargetChanged]. While it is
// written the target is held open, so that one that is taken away is noticed
// ([ErrTargetGone]) and nothing else is written in its place.
func WithTarget(target string) FlashOption {
	return func(c *flashConfig) error { c.target = target; return nil }
}

// WithPartition writes to one partition of the target instead of all of it. p is
// the partition's label in the GPT ("boot"), its number ("2", "p2"), its name in
// /dev ("mmcblk0p2"), or PARTLABEL=boot, PARTLABEL and PARTUUID being spelled as
// in fstab. Where no target is given and p is the name of one, it is that target,
// as with Jumpstarter's --partition.
//
// The table is read from the target's disk: a partition of that label on another
// disk is never taken. Errors: [ErrPartitionNotFound], [ErrPartitionAmbiguous],
// [ErrPartitionTable]. Where a preflash command of the bundle removes the table,
// it is put back before the partition is written.
func WithPartition(p string) FlashOption {
	return func(c *flashConfig) error { c.partition = p; return nil }
}

// WithMoveBackupGPT fits the image's GPT to a disk that is larger than the image,
// after the image was written and proved: the second copy of the table goes to
// the end of the disk and the last usable sector is set, so that a partition can
// grow to there. The first two sectors of the disk are then no longer the
// image's. An image without a good GPT is refused with [ErrPartitionTable]
// before anything is written.
func WithMoveBackupGPT() FlashOption {
	return func(c *flashConfig) error { c.moveGPT = true; return nil }
}

// WithBmap gives the image's block map, by what image.Open takes. Only what it
// maps is written and proved; see [Result.UnprovedBytes]. By default a .bmap
// beside the image is used; see image.WithoutBmap for where it is looked for.
// Only MethodExtents can do that: with another method chosen by [WithMethod] it
// is refused, and with one that was chosen for lack of tools on the board the
// whole image is written, which the result says in a warning.
func WithBmap(ref string) FlashOption {
	return func(c *flashConfig) error { c.bmap = ref; return nil }
}

// WithoutBmap writes and proves the whole image, whatever .bmap lies beside it.
func WithoutBmap() FlashOption {
	return func(c *flashConfig) error { c.noBmap = true; return nil }
}

// WithBundle uses another flasher bundle for this flash.
func WithBundle(ref string) FlashOption {
	return func(c *flashConfig) error {
		if ref == "" {
			return errors.New("WithBundle: the reference is empty")
		}
		c.bundle = ref
		return nil
	}
}

// WithImageSHA256 gives the SHA-256, in hex, that the image file as stored
// (that is, compressed) must have. A mismatch is an error before the disk is
// touched.
func WithImageSHA256(sum string) FlashOption {
	return func(c *flashConfig) error { c.sha256 = sum; return nil }
}

// Flash writes the image onto the board's target and proves that it is there.
// ref is what image.Open takes: a local path, "-" for standard input, an
// http(s) or an oci URL. Its format is recognised by magic number.
//
// The error is an [*Error]; with it comes a Result that says how far the flash
// got, unless nothing was begun. A target that is missing, read-only, mounted or too
// small is refused before the first write, preflash commands included; one that is
// mounted or read-only is left to preflash commands that look as if they released it
// (umount, swapoff, force_ro and the like), and refused after them if they did not.
func (f *Flasher) Flash(ctx context.Context, ref string, opts ...FlashOption) (*Result, error) {
	return f.flash(ctx, []Part{{Image: ref}}, false, opts)
}

// displayName is a reference without what must not be seen: the user information
// and the query of a URL.
func displayName(ref string) string {
	if u, err := url.Parse(ref); err == nil && u.Host != "" {
		u.User, u.RawQuery = nil, ""
		return u.String()
	}
	return ref
}

// FlashSource is [Flasher.Flash] for an image that the caller has opened, for
// instance from an io.Reader or an fs.FS.
func (f *Flasher) FlashSource(ctx context.Context, src image.Source, opts ...FlashOption) (*Result, error) {
	return f.flash(ctx, []Part{{Source: src}}, false, opts)
}

// FlashPrepared is [Flasher.Flash] for an image that the caller has prepared,
// so that several Flashers share the work. The image is not closed.
func (f *Flasher) FlashPrepared(ctx context.Context, p *image.Prepared, opts ...FlashOption) (*Result, error) {
	return f.flash(ctx, []Part{{Prepared: p}}, false, opts)
}

// checkParts checks options and opens images; the board is not needed for it.
func (f *Flasher) checkParts(given []Part, several bool, opts []FlashOption) (flashConfig, []*part, error) {
	cfg := flashConfig{bundle: f.bundleRef}
	for _, opt := range opts {
		if err := opt(&cfg); err != nil {
			return cfg, nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	if several && (cfg.partition != "" || cfg.sha256 != "" || cfg.bmap != "") {
		return cfg, nil, fmt.Errorf("%w: WithPartition, WithImageSHA256 and WithBmap are for one image; each part has its own", ErrConfig)
	}
	if len(given) == 0 {
		return cfg, nil, fmt.Errorf("%w: there is nothing to flash", ErrConfig)
	}
	parts := make([]*part, len(given))
	for i, g := range given {
		p := &part{Part: g, several: several, noBmap: cfg.noBmap, defaultTarget: f.cfg.target, res: &Result{}}
		if several && cfg.target != "" {
			p.defaultTarget = cfg.target
		}
		if !several {
			p.Target, p.Partition, p.SHA256, p.Bmap = cfg.target, cfg.partition, cfg.sha256, cfg.bmap
		}
		p.res.Target, p.res.Partition = p.Target, p.Partition
		parts[i] = p
		if m := f.cfg.method; p.Bmap != "" && m != MethodAuto && m != MethodExtents {
			return cfg, nil, p.wrap(fmt.Errorf("%w: a block map is given, and method %q writes the whole image", ErrConfig, m))
		}
		if err := p.open(f.cfg.source); err != nil {
			return cfg, nil, p.wrap(err)
		}
	}
	return cfg, parts, nil
}

func (f *Flasher) flash(ctx context.Context, given []Part, several bool, opts []FlashOption) (res *Result, err error) {
	cfg, parts, err := f.checkParts(given, several, opts)
	if err != nil {
		return nil, &Error{Op: "flash", Step: StepCheck, Err: err}
	}
	if err := f.acquire(); err != nil {
		return nil, &Error{Op: "flash", Step: StepCheck, Err: err}
	}
	defer f.release()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o := f.begin("flash")
	res = &Result{}
	if !several {
		res = parts[0].res
	}
	res.Bundle = cfg.bundle
	for _, p := range parts {
		if p.name == "" && p.Source != nil {
			if info, err := p.Source.Info(ctx); err == nil {
				p.name = info.Name // a source that fails says so again when it is prepared
			}
		}
		p.res.Image = p.name
		if several {
			res.Parts = append(res.Parts, p.res)
		}
	}
	defer func() {
		err = errors.Join(err, o.end(ctx))
		sumUp(res, parts)
		o.finish(res)
		if err == nil {
			f.cfg.log.Info("Flashing completed", "in", res.Elapsed.Round(time.Second), "sha256", res.SHA256)
		}
	}()
	return res, o.flash(ctx, cancel, parts, cfg, res)
}

// flash is the order of a flash, and the only place where it stands.
func (o *operation) flash(ctx context.Context, cancel context.CancelCauseFunc, parts []*part, cfg flashConfig, res *Result) error {
	t := &o.f.cfg.timeouts
	if err := o.step(ctx, StepBundle, t.Bundle, func(ctx context.Context) (err error) {
		if err = o.openBundle(ctx, cfg.bundle); err != nil {
			return err
		}
		res.BundleDigest, res.Warnings = o.bundle.Digest(), o.bundle.Warnings()
		for _, p := range parts {
			if err := o.targetPath(p); err != nil {
				return p.wrap(err)
			}
		}
		return refuseSame(parts)
	}); err != nil {
		return err
	}
	for _, p := range parts {
		prepared, err := o.prepare(ctx, cancel, p)
		if err != nil {
			return err
		}
		defer prepared.release()
		p.image = prepared
	}
	if err := o.step(ctx, StepServe, 0, o.serve); err != nil {
		return err
	}
	// An image that cannot be had at all leaves the board as it is.
	for _, p := range parts {
		if err := p.image.begun(ctx); err != nil {
			return p.wrap(err)
		}
	}
	return o.try(ctx, func(ctx context.Context) error {
		return o.flashOnce(ctx, parts, cfg, res)
	})
}

// flashOnce is the part of a flash that begins with a power cycle.
func (o *operation) flashOnce(ctx context.Context, parts []*part, cfg flashConfig, res *Result) error {
	t := &o.f.cfg.timeouts
	if err := o.toBootloader(ctx); err != nil {
		return err
	}
	if err := o.toShell(ctx); err != nil {
		return err
	}
	res.Board = o.board()
	// The images and the targets are all known to be good before the first
	// command that writes, which may be a preflash command.
	for _, p := range parts {
		if err := p.image.wait(ctx); err != nil {
			return p.wrap(err)
		}
		p.res.ImageBytes = p.image.image.Size()
		p.w = &writer{operation: o, image: p.image.image, source: p.Source, ref: p.Part.Image, res: p.res}
		p.table, p.moves = nil, nil
		// What an earlier attempt proved may have been wiped by this one's
		// preflash commands before anything is proved again.
		p.res.SHA256, p.res.ProofDigest, p.res.ProvedBytes, p.res.UnprovedBytes, p.res.MovedBackupGPT = "", "", 0, 0, false
	}
	if err := o.step(ctx, StepShell, 3*t.Command, parts[0].w.setUpShell); err != nil {
		return err
	}
	res.Board = o.board() // where U-Boot had no network
	if err := o.step(ctx, StepTarget, time.Duration(len(parts))*t.Command, func(ctx context.Context) error {
		for _, p := range parts {
			p.w.tools = parts[0].w.tools
			if err := p.w.chooseDigest(); err != nil {
				return err
			}
		}
		return o.resolve(ctx, parts, cfg.moveGPT)
	}); err != nil {
		return err
	}
	if err := o.step(ctx, StepPreflash, t.Write, func(ctx context.Context) error {
		if err := o.preflash(ctx); err != nil || len(o.manifest.Spec.PreflashCommands) == 0 {
			return err
		}
		for _, p := range parts {
			if err := o.recheck(ctx, p); err != nil {
				return p.wrap(err)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, p := range parts {
		if err := p.w.put(ctx); err != nil {
			return p.wrap(err)
		}
	}
	// What one part wrote may have destroyed another, so that all is written first.
	for _, p := range parts {
		if err := o.prove(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// prove proves one part and settles the partition table that it brought.
func (o *operation) prove(ctx context.Context, p *part) error {
	if err := p.w.prove(ctx); err != nil {
		return p.wrap(err)
	}
	p.w.noteMapped()
	if p.w.device.Partition {
		return nil
	}
	return o.step(ctx, StepTable, o.f.cfg.timeouts.Command, func(ctx context.Context) error {
		return p.wrap(o.settleTable(ctx, p))
	})
}

// finish fills in what is known only at the end.
func (o *operation) finish(res *Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	res.Steps, res.Attempts = o.steps, o.attempts
	res.Elapsed = time.Since(o.begun)
}
