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
	target string
	bundle string
	sha256 string
}

// WithTarget names what is flashed: a name from the manifest's targets, a
// device path such as /dev/mmcblk1, or /sys/class/block#ADDRESS for the block
// device whose sysfs path contains the address. The default is the Flasher's
// default target, else the manifest's default_target.
func WithTarget(target string) FlashOption {
	return func(c *flashConfig) error { c.target = target; return nil }
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
// got, unless nothing was begun.
func (f *Flasher) Flash(ctx context.Context, ref string, opts ...FlashOption) (*Result, error) {
	src, err := image.Open(ref, f.cfg.source...)
	if err != nil {
		return nil, &Error{Op: "flash", Step: StepCheck, Err: err}
	}
	return f.flash(ctx, displayName(ref), src, nil, opts)
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
	name := ""
	if info, err := src.Info(ctx); err == nil {
		name = info.Name // a source that fails says so again when it is prepared
	}
	return f.flash(ctx, name, src, nil, opts)
}

// FlashPrepared is [Flasher.Flash] for an image that the caller has prepared,
// so that several Flashers share the work. The image is not closed.
func (f *Flasher) FlashPrepared(ctx context.Context, p *image.Prepared, opts ...FlashOption) (*Result, error) {
	return f.flash(ctx, "", nil, p, opts)
}

func (f *Flasher) flash(ctx context.Context, name string, src image.Source, p *image.Prepared, opts []FlashOption) (res *Result, err error) {
	cfg := flashConfig{bundle: f.bundleRef, target: f.cfg.target}
	for _, opt := range opts {
		if err := opt(&cfg); err != nil {
			return nil, &Error{Op: "flash", Step: StepCheck, Err: fmt.Errorf("%w: %w", ErrConfig, err)}
		}
	}
	if err := f.acquire(); err != nil {
		return nil, &Error{Op: "flash", Step: StepCheck, Err: err}
	}
	defer f.release()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o := f.begin("flash")
	res = &Result{Image: name, Bundle: cfg.bundle, Target: cfg.target}
	defer func() {
		err = errors.Join(err, o.end(ctx))
		o.finish(res)
		if err == nil {
			f.cfg.log.Info("Flashing completed", "in", res.Elapsed.Round(time.Second), "sha256", res.SHA256)
		}
	}()
	return res, o.flash(ctx, cancel, src, p, cfg, res)
}

// flash is the order of a flash, and the only place where it stands.
func (o *operation) flash(ctx context.Context, cancel context.CancelCauseFunc, src image.Source, p *image.Prepared, cfg flashConfig, res *Result) error {
	t := &o.f.cfg.timeouts
	var device string
	if err := o.step(ctx, StepBundle, t.Bundle, func(ctx context.Context) (err error) {
		if err = o.openBundle(ctx, cfg.bundle); err != nil {
			return err
		}
		res.BundleDigest, res.Warnings = o.bundle.Digest(), o.bundle.Warnings()
		device, err = o.targetPath(cfg.target, res)
		return err
	}); err != nil {
		return err
	}
	prepared, err := o.prepare(ctx, cancel, src, p, cfg)
	if err != nil {
		return err
	}
	defer prepared.release()
	if err := o.step(ctx, StepServe, 0, o.serve); err != nil {
		return err
	}
	return o.try(ctx, func(ctx context.Context) error {
		return o.flashOnce(ctx, prepared, device, res)
	})
}

// flashOnce is the part of a flash that begins with a power cycle.
func (o *operation) flashOnce(ctx context.Context, prepared *preparation, device string, res *Result) error {
	t := &o.f.cfg.timeouts
	if err := o.toBootloader(ctx); err != nil {
		return err
	}
	if err := o.toShell(ctx); err != nil {
		return err
	}
	res.Board = o.net.Address.Addr().String()
	// The image and the target are both known to be good before the first
	// command that writes, which may be a preflash command.
	if err := prepared.wait(ctx); err != nil {
		return err
	}
	res.ImageBytes = prepared.image.Size()
	w := &writer{operation: o, image: prepared.image, res: res}
	if err := o.step(ctx, StepShell, 3*t.Command, w.setUpShell); err != nil {
		return err
	}
	if err := o.step(ctx, StepTarget, t.Command, func(ctx context.Context) error {
		return w.resolveTarget(ctx, device)
	}); err != nil {
		return err
	}
	if err := o.step(ctx, StepPreflash, t.Write, o.preflash); err != nil {
		return err
	}
	return w.put(ctx)
}

// finish fills in what is known only at the end.
func (o *operation) finish(res *Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	res.Steps, res.Attempts = o.steps, o.attempts
	res.Elapsed = time.Since(o.begun)
}
