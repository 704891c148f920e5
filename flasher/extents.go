package flasher

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/extents"
)

// extentsName is the directory of the extent protocol on the HTTP server.
const extentsName = "extents"

// missingForExtents says what the board lacks for MethodExtents; nil is nothing.
func (w *writer) missingForExtents() error {
	if err := w.tools.Need("dd", "head", "sha256sum", "cat", "sleep"); err != nil {
		return err
	}
	if !w.tools.DDInput["fullblock"] || !w.tools.DDConv["notrunc"] || !w.tools.DDConv["fsync"] {
		return fmt.Errorf("%w: dd with iflag=fullblock and conv=notrunc,fsync", busybox.ErrNoTool)
	}
	return nil
}

// plan makes the extent plan from the prepared image.
func (w *writer) plan() (*extents.Plan, error) {
	cfg := extents.Config{WriteAll: w.f.cfg.writeAll}
	if w.f.cfg.verify == VerifyNone {
		cfg.Verify = extents.VerifyNone
	}
	var err error
	if cfg.Chunks, err = w.chunks(); err != nil {
		return nil, err
	}
	return extents.New(cfg)
}

// putExtents is MethodExtents. Writing and reading back overlap; the step is
// StepWrite until the last chunk is written, then StepVerify.
func (w *writer) putExtents(ctx context.Context) error {
	t := &w.f.cfg.timeouts
	if err := w.step(ctx, StepWrite, t.Write+t.Verify, w.runExtents); err != nil {
		return err
	}
	if err := w.sync(ctx); err != nil {
		return err
	}
	if w.f.cfg.verify == VerifyNone {
		w.res.Warnings = append(w.res.Warnings, "what was written was not read back")
		return nil
	}
	if due := w.image.Size() - w.unmapped(); w.res.ProvedBytes != due {
		return w.fail(ctx, StepVerify, 0, fmt.Errorf("%w: only %d of %d bytes were proved", ErrVerify, w.res.ProvedBytes, due))
	}
	if w.unmapped() > 0 {
		w.f.cfg.log.Info("The device holds what the block map covers of the image", "bytes", w.res.ProvedBytes)
		return nil
	}
	w.res.SHA256 = w.image.SHA256()
	w.f.cfg.log.Info("The device holds the image", "sha256", w.res.SHA256)
	return nil
}

// runExtents runs the board's script until every chunk is right.
func (w *writer) runExtents(ctx context.Context) error {
	p, err := w.plan()
	if err != nil {
		return err
	}
	w.servers.http.Handle(extentsName+"/task", p.TaskHandler())
	w.servers.http.Handle(extentsName+"/data", p.DataHandler(w.image))
	script := extents.Script()
	w.servers.http.File("extents.sh", bytes.NewReader(script), int64(len(script)))

	total := p.Stats().Total
	writing := w.meter(StepWrite, w.device.Path, total)
	checking := w.meter(StepVerify, w.device.Path, total)
	ctx, stop := w.watch(ctx, func() (any, bool) {
		s := p.Stats()
		if right := s.Unchanged + s.Written; right < s.Total {
			writing.update(right)
		} else {
			checking.update(s.Proved) // the writer is done, the reader is not
		}
		return s, false
	})
	err = w.shell.Script(ctx, w.servers.url("extents.sh"), nil, w.device.Path, w.servers.url(extentsName), w.inputFlags(), w.outputFlags(), "reader", "writer")
	stop()
	s := p.Stats()
	w.res.UnchangedBytes, w.res.WrittenBytes, w.res.ZeroedBytes = s.Unchanged, s.Written, s.Zeroed
	w.res.TransferredBytes, w.res.ProvedBytes = s.Sent, s.Proved
	w.f.cfg.log.Info("Extents", "unchanged", s.Unchanged, "written", s.Written, "zeroed", s.Zeroed, "sent", s.Sent, "proved", s.Proved)
	select {
	case <-p.Done():
		return errors.Join(stallCause(ctx), planError(p.Err()), err)
	default:
		return errors.Join(stallCause(ctx), err, fmt.Errorf("the script on the board ended before the image was written: %d of %d bytes right", s.Proved, s.Total))
	}
}

// planError makes a plan's failure one of this package's.
func planError(err error) error {
	if errors.Is(err, extents.ErrVerify) {
		return fmt.Errorf("%w: %w", ErrVerify, err)
	}
	return err
}
