package flasher

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/transport/image"
)

// extentsName is the directory of the extent protocol on the HTTP server.
const extentsName = "extents"

// missingForExtents says what the board lacks for MethodExtents; nil is nothing.
func (w *writer) missingForExtents() error {
	if err := w.tools.Need("dd", "head", w.digest.program, "cat", "sleep"); err != nil {
		return err
	}
	if !w.tools.DDInput["fullblock"] || !w.tools.DDConv["notrunc"] || !w.tools.DDConv["fsync"] {
		return fmt.Errorf("%w: dd with iflag=fullblock and conv=notrunc,fsync", busybox.ErrNoTool)
	}
	return nil
}

// plan makes the extent plan from the prepared image.
func (w *writer) plan() (*extents.Plan, error) {
	cfg := extents.Config{Image: w.image, WriteAll: w.f.cfg.writeAll}
	if w.f.cfg.verify == VerifyNone {
		cfg.Verify = extents.VerifyNone
	}
	if w.digest.program != digests[0].program {
		cfg.Digest, cfg.NewHash = w.digest.program, w.digest.new
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
	if err := w.step(ctx, StepWrite, t.Write+t.Verify, func(ctx context.Context) error {
		return w.orGone(ctx, w.runExtents(ctx))
	}); err != nil {
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
	if w.res.WrittenBytes > 0 {
		if err := w.step(ctx, StepVerify, t.Command, func(ctx context.Context) error {
			return w.orGone(ctx, w.recheck(ctx))
		}); err != nil {
			return err
		}
	}
	if w.unmapped() > 0 {
		w.res.ProofDigest = w.digest.program
		w.f.cfg.log.Info("The device holds what the block map covers of the image", "bytes", w.res.ProvedBytes)
		return nil
	}
	w.proved()
	return nil
}

// runExtents runs the board's script until every chunk is right.
func (w *writer) runExtents(ctx context.Context) error {
	if err := w.quickestDigest(ctx); err != nil {
		return err
	}
	p, err := w.plan()
	if err != nil {
		return err
	}
	device, err := w.hold(ctx, w.device)
	if err != nil {
		return err
	}
	w.servers.http.Handle(extentsName+"/task", p.TaskHandler())
	w.servers.http.Handle(extentsName+"/data", p.DataHandler())
	script := extents.Script()
	w.servers.http.File("extents.sh", bytes.NewReader(script), int64(len(script)))

	total := p.Stats().Total
	writing := w.meter(StepWrite, w.device.Path, total)
	checking := w.meter(StepVerify, w.device.Path, total)
	say := w.reporter(p)
	written := false
	tell := func(s extents.Stats) {
		say()
		if !written {
			writing.updateWire(s.Unchanged+s.Written, s.Sent)
			written = s.Unchanged+s.Written == s.Total
		}
		if written && w.f.cfg.verify != VerifyNone {
			checking.updateWire(s.Proved, s.Sent) // the writer is done, the reader may not be
		}
	}
	ctx, stop := w.watch(ctx, func() (any, bool) {
		s := p.Stats()
		tell(s)
		return s, false
	})
	// While one reader waits for the device, the other computes a digest or
	// starts its processes: also where there is only one processor.
	input := w.inputFlags()
	if input == "" {
		input = "drop"
	}
	scratch := ""
	if w.tools.Memory >= 4*p.LargestUnit() { // two readers, and as much for what else runs
		scratch = "/tmp"
	}
	args := []string{device, w.servers.url(extentsName), input, w.outputFlags(), w.digest.program, scratch, "writer", "reader", "reader2"}
	err = w.shell.Script(ctx, w.servers.url("extents.sh"), nil, args...)
	stop()
	s := p.Stats()
	tell(s)
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

// measured is how much the board must have read before its speed is told.
const measured = 8 << 20

// reporter returns a function that logs once what the probes decided, and once how
// fast the board turned out to be.
func (w *writer) reporter(p *extents.Plan) func() {
	var decided, told bool
	return func() {
		log := w.f.cfg.log
		if f := p.Findings(); f.Decided && !decided {
			decided = true
			log.Info("Looked at pieces of the device", "data_equal", f.DataEqual, "of", f.DataProbes, "zero_equal", f.ZeroEqual, "of_zero", f.ZeroProbes,
				"compare_data", f.DataEqual > 0, "compare_zeros", f.ZeroEqual > 0)
		}
		if hash := p.Speed(extents.Hash); hash.Bytes >= measured && !told {
			told = true
			write, m := p.Speed(extents.Write), p.Measured()
			log.Info("Measured on the board", "digest", w.digest.program, "cpus", w.tools.CPUs,
				"read_megabytes_per_second", megabytes(int64(hash.BytesPerSecond())),
				"write_megabytes_per_second", megabytes(int64(write.BytesPerSecond())),
				"milliseconds_per_digest", m.DigestCost.Milliseconds(), "megabytes_per_digest", megabytes(max(m.Unit, image.DefaultChunkSize)))
		}
	}
}

// planError makes a plan's failure one of this package's.
func planError(err error) error {
	switch {
	case errors.Is(err, extents.ErrVerify):
		return fmt.Errorf("%w: %w", ErrVerify, err)
	case errors.Is(err, extents.ErrImage):
		return fmt.Errorf("%w: %w", image.ErrChanged, err)
	}
	return err
}
