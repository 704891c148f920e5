package flasher

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/transport/image"
)

// extentsName is the directory of the extent protocol on the HTTP server.
const extentsName = "extents"

// missingForExtents says what the board lacks for MethodExtents; nil is nothing.
func (w *writer) missingForExtents() error {
	if err := w.tools.Need("dd", "head", w.digest.Program, "cat", "sleep"); err != nil {
		return err
	}
	if !w.tools.DDInput["fullblock"] || !w.tools.DDConv["notrunc"] || !w.tools.DDConv["fsync"] {
		return fmt.Errorf("%w: dd with iflag=fullblock and conv=notrunc,fsync", busybox.ErrNoTool)
	}
	return nil
}

// plan makes the extent plan from the prepared image; written says that another method
// wrote all of it.
func (w *writer) plan(written bool) (*extents.Plan, error) {
	cfg := extents.Config{Image: w.image, WriteAll: w.f.cfg.writeAll, Written: written, Digest: w.digest, Other: w.otherDigest()}
	switch w.f.cfg.verify {
	case VerifyWritten:
		cfg.Verify = extents.VerifyWritten
	case VerifyNone:
		cfg.Verify = extents.VerifyNone
	}
	mapped := w.image.Mapped()
	if written {
		mapped = nil
	}
	var err error
	if cfg.Chunks, err = w.chunks(mapped); err != nil {
		return nil, err
	}
	return extents.New(cfg)
}

// writeExtents is the first phase of MethodExtents: the board gets what it lacks.
func (w *writer) writeExtents(ctx context.Context) (err error) {
	if w.extents, err = w.plan(false); err != nil {
		return err
	}
	return w.runExtents(ctx, w.extents, StepWrite)
}

// readBackExtents is the second.
func (w *writer) readBackExtents(ctx context.Context) error {
	return w.runExtents(ctx, w.extents, StepVerify)
}

// provedExtents notes what both phases proved.
func (w *writer) provedExtents(ctx context.Context) error {
	if due := w.image.Size() - w.unmapped(); w.res.ProvedBytes != due {
		return w.fail(ctx, StepVerify, 0, fmt.Errorf("%w: only %d of %d bytes were proved", ErrVerify, w.res.ProvedBytes, due))
	}
	if w.unmapped() > 0 {
		w.res.ProofDigest = strings.Join(w.extents.Digests(), ", ")
		w.f.cfg.log.Info("The device holds what the block map covers of the image", "bytes", w.res.ProvedBytes)
		return nil
	}
	w.proved(w.extents.Digests()...)
	return nil
}

// errUnfinished: the board's script ended, or was ended, before its phase was over.
var errUnfinished = errors.New("the script on the board ended too early")

// runExtents runs the board's script for one phase: until all is written, or until
// all is proved.
func (w *writer) runExtents(ctx context.Context, p *extents.Plan, step Step) error {
	device, err := w.hold(ctx, w.device)
	if err != nil {
		return err
	}
	w.servers.http.Handle(extentsName+"/task", p.TaskHandler())
	w.servers.http.Handle(extentsName+"/data", p.DataHandler())
	script := w.servers.text("extents.sh", extents.Script())
	tell := w.extentsMeter(p, step)
	ctx, stop := w.watch(ctx, func() (any, bool) {
		s := p.Stats()
		tell(s)
		return s, false
	})
	input := w.inputFlags()
	if input == "" {
		input = "drop"
	}
	// While one reader waits for the device, another computes a digest or starts its
	// processes: also where there is only one processor. With files in memory between,
	// a third keeps both busy; there has to be room for a file each, and as much as two
	// for what else runs.
	readers, scratch := min(max(2, w.tools.CPUs), 4), ""
	for n := max(3, readers); n >= 2 && scratch == ""; n-- {
		if w.tools.Memory >= int64(n+2)*p.LargestUnit() {
			readers, scratch = n, "/tmp"
		}
	}
	args := []string{device, w.servers.url(extentsName), input, w.outputFlags(), scratch, "writer"}
	for i := range readers {
		args = append(args, fmt.Sprint("reader", i+1))
	}
	err = w.shell.Script(ctx, script, nil, args...)
	stop()
	s := p.Stats()
	tell(s)
	w.res.UnchangedBytes, w.res.WrittenBytes, w.res.ZeroedBytes = s.Unchanged, s.Written, s.Zeroed
	w.res.TransferredBytes, w.res.ProvedBytes = s.Sent, s.Proved
	w.f.cfg.log.Info("Extents", "step", step, "unchanged", s.Unchanged, "written", s.Written, "zeroed", s.Zeroed, "sent", s.Sent, "proved", s.Proved)
	select {
	case <-p.Done():
		return errors.Join(stallCause(ctx), planError(p.Err()), err)
	default:
	}
	if err == nil && step == StepWrite && p.Written() {
		return nil
	}
	return errors.Join(stallCause(ctx), err, fmt.Errorf("%w: %d of %d bytes written or found, %d proved", errUnfinished, s.Unchanged+s.Written, s.Total, s.Proved))
}

// checkExtents reads back, chunk by chunk, what another method wrote. What is wrong is
// sent and written again.
func (w *writer) checkExtents(ctx context.Context) error {
	p, err := w.plan(true)
	if err != nil {
		return err
	}
	p.ReadBack()
	before := *w.res
	err = w.runExtents(ctx, p, StepVerify)
	w.res.UnchangedBytes, w.res.ZeroedBytes = before.UnchangedBytes, before.ZeroedBytes+w.res.ZeroedBytes
	w.res.WrittenBytes += before.WrittenBytes
	w.res.TransferredBytes += before.TransferredBytes
	if err == nil {
		w.proved(p.Digests()...)
	}
	return err
}

// extentsMeter returns a function that tells progress and the log how a phase goes.
func (w *writer) extentsMeter(p *extents.Plan, step Step) func(extents.Stats) {
	begun := p.Stats()
	m := w.meter(step, w.device.Path, begun.Total-begun.Proved)
	return func(s extents.Stats) {
		w.tellFindings(p, step)
		w.tellTiming(p)
		if step == StepVerify {
			m.updateWire(s.Proved-begun.Proved, s.Sent)
		} else if p.Findings().Decided { // until then it is not known what is to be done
			m.total = s.Total - s.Presumed
			m.updateWire(min(s.Unchanged+s.Written, m.total), s.Sent)
		}
	}
}

// measured is how much the board must have read before its speed is told.
const measured = 8 << 20

// tellFindings logs once what the probes decided, and once how fast the board turned out
// to be.
func (w *writer) tellFindings(p *extents.Plan, step Step) {
	log := w.f.cfg.log
	if f := p.Findings(); f.Decided && step == StepWrite && !w.toldFindings {
		w.toldFindings = true
		log.Info("Looked at pieces of the device", "data_equal", f.DataEqual, "of", f.DataProbes, "zero_equal", f.ZeroEqual, "of_zero", f.ZeroProbes,
			"compare_data", f.DataEqual > 0, "compare_zeros", f.ZeroEqual > 0 && !f.Blank, "seems_blank", f.Blank)
	}
	if hash := p.Speed(extents.Hash); hash.Bytes >= measured && !w.toldSpeed {
		w.toldSpeed = true
		write, m := p.Speed(extents.Write), p.Measured()
		log.Info("Measured on the board", "digest", p.Digest(), "cpus", w.tools.CPUs,
			"read_megabytes_per_second", megabytes(int64(hash.BytesPerSecond())),
			"write_megabytes_per_second", megabytes(int64(write.BytesPerSecond())),
			"milliseconds_per_digest", m.DigestCost.Milliseconds(), "megabytes_per_digest", megabytes(max(m.Unit, image.DefaultChunkSize)))
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
