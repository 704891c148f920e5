package flasher

import (
	"context"

	"github.com/dutflash/dutflash/transport/image"
)

// preparation is the image of a flash while it is made ready beside the boot
// of the board.
type preparation struct {
	image *image.Prepared
	done  chan struct{}
	err   error // valid when done is closed
	own   bool  // the image is ours to close
}

// prepare starts to make the image ready. Where that fails, the flash is
// cancelled with that cause: no board is booted for an image that is damaged.
func (o *operation) prepare(ctx context.Context, cancel context.CancelCauseFunc, part *part) (*preparation, error) {
	p := part.Prepared
	if p == nil {
		opts := []image.PrepareOption{image.WithLogger(o.f.cfg.log)}
		if o.f.cfg.cacheDir != "" {
			opts = append(opts, image.WithCacheDir(o.f.cfg.cacheDir))
		}
		if part.SHA256 != "" {
			opts = append(opts, image.WithSHA256(part.SHA256))
		}
		if part.bmap != nil {
			opts = append(opts, image.WithBmap(part.bmap))
		}
		if part.noBmap {
			opts = append(opts, image.WithoutBmap())
		}
		var err error
		if p, err = image.Prepare(ctx, part.Source, append(opts, o.f.cfg.prepare...)...); err != nil {
			return nil, o.fail(ctx, StepImage, 0, err)
		}
		prep := &preparation{image: p, done: make(chan struct{}), own: true}
		prep.start(ctx, cancel, o)
		return prep, nil
	}
	prep := &preparation{image: p, done: make(chan struct{})}
	prep.start(ctx, cancel, o)
	return prep, nil
}

func (p *preparation) start(ctx context.Context, cancel context.CancelCauseFunc, o *operation) {
	go func() {
		defer close(p.done)
		p.err = o.step(ctx, StepImage, o.f.cfg.timeouts.Image, p.image.Wait)
		if p.err != nil {
			cancel(p.err)
		}
	}()
}

// begun returns when the image's first bytes are there.
func (p *preparation) begun(ctx context.Context) error {
	if err := p.image.Begun(ctx); err == nil {
		return nil
	}
	return p.wait(ctx)
}

// wait returns when the image is wholly there and checked.
func (p *preparation) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		<-p.done
		return context.Cause(ctx)
	}
}

// release ends the preparation and waits for its goroutine.
func (p *preparation) release() {
	if p.own {
		p.image.Close()
	}
	<-p.done
}
