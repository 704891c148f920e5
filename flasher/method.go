package flasher

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Method is how the image gets from the host onto the device.
type Method string

// What [WithMethod] takes.
const (
	// MethodAuto chooses MethodExtents where the board has the tools for it,
	// else MethodStream; the log says which and why. The default.
	MethodAuto Method = "auto"
	// MethodExtents compares the device with the image chunk by chunk, sends
	// only what differs, writes zeros without transfer, and reads back what
	// was written; what is wrong is written once more.
	MethodExtents Method = "extents"
	// MethodStream sends the whole raw image through one dd and then reads
	// the whole range back: for boards with little in their busybox. On one that
	// has the tools for MethodExtents, what is wrong is written once more.
	MethodStream Method = "stream"
	// MethodShell has the board run the plain pipeline itself, curl or wget,
	// decompressor, dd, on the file as it is stored, served by the host or, with
	// [WithDirect], by its own server; then the whole range is read back as
	// with MethodStream. A pipeline that is cut begins anew in the next attempt.
	MethodShell Method = "shell"
)

// WithMethod sets how the image gets onto the device. The default is MethodAuto.
func WithMethod(m Method) Option {
	return func(c *config) error {
		switch m {
		case MethodAuto, MethodExtents, MethodStream, MethodShell:
			c.method = m
			return nil
		}
		return fmt.Errorf("WithMethod: %q is not one of %q, %q, %q, %q", m, MethodAuto, MethodExtents, MethodStream, MethodShell)
	}
}

// put writes the image onto the device and has the board flush it.
func (w *writer) put(ctx context.Context) error {
	method, why, err := w.chooseMethod()
	if err != nil {
		return w.fail(ctx, StepWrite, 0, err)
	}
	w.res.Method = method
	w.f.cfg.log.Info("Writing image", "device", w.device.Path, "bytes", w.image.Size(), "method", method, "because", why)
	write := w.stream
	switch method {
	case MethodExtents:
		write = w.writeExtents
	case MethodShell:
		write = w.pipeline
	}
	if err := w.step(ctx, StepWrite, w.f.cfg.timeouts.Write, func(ctx context.Context) error {
		return w.orGone(ctx, write(ctx))
	}); err != nil {
		return err
	}
	return w.sync(ctx)
}

// prove reads back what put wrote, unless told not to.
func (w *writer) prove(ctx context.Context) error {
	if w.f.cfg.verify == VerifyNone {
		w.res.Warnings = append(w.res.Warnings, "what was written was not read back")
		return nil
	}
	check := w.verify
	if w.res.Method == MethodExtents {
		if !w.extents.ReadBack() { // all of it was there
			return w.provedExtents(ctx)
		}
		check = w.readBackExtents
	}
	if err := w.step(ctx, StepVerify, w.f.cfg.timeouts.Verify, func(ctx context.Context) error {
		return w.orGone(ctx, check(ctx))
	}); err != nil || w.res.Method != MethodExtents {
		return err
	}
	return w.provedExtents(ctx)
}

func (w *writer) chooseMethod() (m Method, why string, err error) {
	missing := w.missingForExtents()
	if w.f.cfg.direct != nil {
		return MethodShell, "the board is to fetch the image from its own server", w.missingForShell()
	}
	switch w.f.cfg.method {
	case MethodShell:
		return MethodShell, "the caller chose it", w.missingForShell()
	case MethodStream:
		return MethodStream, "the caller chose it", nil
	case MethodExtents:
		if missing != nil {
			return "", "", fmt.Errorf("method %q: %w", MethodExtents, missing)
		}
		return MethodExtents, "the caller chose it", nil
	}
	if missing != nil {
		return MethodStream, missing.Error(), nil
	}
	return MethodExtents, "the board has the tools for it", nil
}

// sync has the board flush what it holds back.
func (w *writer) sync(ctx context.Context) error {
	return w.step(ctx, StepSync, w.f.cfg.timeouts.Sync, func(ctx context.Context) error {
		w.f.cfg.log.Info("Flushing buffers")
		_, err := w.shell.Run(ctx, "sync")
		return err
	})
}

// missingForShell says what the board lacks for MethodShell; nil is nothing.
func (w *writer) missingForShell() error {
	if err := w.tools.Need("dd", "mkfifo", "mktemp", "sed", "sleep"); err != nil {
		return fmt.Errorf("method %q: %w", MethodShell, err)
	}
	return nil
}

// watchInterval is how often a write is looked at.
const watchInterval = 500 * time.Millisecond

// watch has look report progress while the board writes, and ends the returned
// context with [ErrStalled] when what look returns stays the same for too long
// before it is finished. The returned function ends the watching.
func (w *writer) watch(ctx context.Context, look func() (state any, finished bool)) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stall := w.f.cfg.timeouts.Stall
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		var last any
		since := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			state, finished := look()
			if state != last {
				last, since = state, time.Now()
			} else if !finished && time.Since(since) > stall {
				cancel(fmt.Errorf("%w: nothing for %v (%+v)", ErrStalled, stall, state))
				return
			}
		}
	}()
	return ctx, func() { cancel(nil); <-ended }
}

// stallCause returns the stall that ended ctx, if that is what ended it.
func stallCause(ctx context.Context) error {
	if err := context.Cause(ctx); errors.Is(err, ErrStalled) {
		return err
	}
	return nil
}
