package flasher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/dutflash/dutflash/busybox"
)

// How what is read is compressed on its way to the host, for [DumpCompression].
const (
	// CompressAuto measures what the board has, with a piece each, and takes
	// the fastest. The default.
	CompressAuto = "auto"
	CompressNone = "none"
	CompressGzip = "gzip"
	CompressLZ4  = "lz4"
	CompressZstd = "zstd"
)

// What sends on the board, for [DumpVia].
const (
	// ViaAuto takes the first of those below that the board has. The default.
	ViaAuto = "auto"
	// ViaCurl sends with curl -T.
	ViaCurl = "curl"
	// ViaNetcat sends an HTTP request through nc.
	ViaNetcat = "nc"
	// ViaWget sends base64 with wget --post-file, because busybox's wget ends
	// a body at the first NUL.
	ViaWget = "wget"
	// ViaConsole sends base64 over the serial console: some 8 KB a second at
	// 115200 baud, and what compresses well several times of that.
	ViaConsole = "console"
)

// DumpOption configures one [Flasher.Dump].
type DumpOption func(*dumpConfig) error

type dumpConfig struct {
	partition string
	bundle    string
	used      bool
	from      int64
	compress  string
	via       string
}

// DumpPartition reads one partition of the target; see [WithPartition].
func DumpPartition(p string) DumpOption {
	return func(c *dumpConfig) error { c.partition = p; return nil }
}

// DumpUsed reads from the start of the disk to the end of its last partition.
// What comes out can be flashed again; [WithMoveBackupGPT] then gives the disk
// its second copy of the table back. A disk without a table is refused with
// [ErrPartitionTable].
func DumpUsed() DumpOption {
	return func(c *dumpConfig) error { c.used = true; return nil }
}

// DumpFrom begins at an offset in bytes, to continue a dump that was cut: as many
// bytes as the caller has kept of it.
func DumpFrom(offset int64) DumpOption {
	return func(c *dumpConfig) error {
		if offset < 0 {
			return fmt.Errorf("DumpFrom: %d is negative", offset)
		}
		c.from = offset
		return nil
	}
}

// DumpCompression sets how the bytes are compressed on their way; the writer gets
// them uncompressed in any case. The default is [CompressAuto], which is all that
// [ViaConsole] takes: it uses gzip where the board has it.
func DumpCompression(name string) DumpOption {
	return func(c *dumpConfig) error { c.compress = name; return nil }
}

// DumpVia sets what sends on the board. The default is [ViaAuto].
func DumpVia(name string) DumpOption {
	return func(c *dumpConfig) error { c.via = name; return nil }
}

// DumpBundle uses another flasher bundle for this dump.
func DumpBundle(ref string) DumpOption {
	return func(c *dumpConfig) error {
		if ref == "" {
			return errors.New("DumpBundle: the reference is empty")
		}
		c.bundle = ref
		return nil
	}
}

func (c *dumpConfig) check() error {
	switch c.compress {
	case CompressAuto, CompressNone, CompressGzip, CompressLZ4, CompressZstd:
	default:
		return fmt.Errorf("DumpCompression: %q is not known", c.compress)
	}
	switch c.via {
	case ViaAuto, ViaCurl, ViaNetcat, ViaWget, ViaConsole:
	default:
		return fmt.Errorf("DumpVia: %q is not known", c.via)
	}
	if c.used && c.partition != "" {
		return errors.New("DumpUsed is for a whole disk and DumpPartition for a part of it")
	}
	return nil
}

// DumpResult says what a dump did. It can be marshalled to JSON, where durations are
// seconds, as elapsed_seconds.
type DumpResult struct {
	Bundle       string `json:"bundle"`
	BundleDigest string `json:"bundle_digest,omitempty"`
	// Target is the name or path that was asked for, Partition the partition
	// of it, Device the block device that it turned out to be.
	Target      string `json:"target"`
	Partition   string `json:"partition,omitempty"`
	Device      string `json:"device"`
	DeviceBytes int64  `json:"device_bytes"`
	// Bytes were given to the writer, each piece proved by the board's digest;
	// they are those of the device from Offset. After a failure, a dump that
	// continues begins at Offset + Bytes.
	Offset int64 `json:"offset"`
	Bytes  int64 `json:"bytes"`
	// SHA256 is the digest of Bytes in hex.
	SHA256 string `json:"sha256"`
	// WireBytes crossed the network, ZeroBytes did not because they are zero.
	// Over the console WireBytes is not counted.
	WireBytes int64 `json:"wire_bytes"`
	ZeroBytes int64 `json:"zero_bytes"`
	// Via is what sent, Compression how it was compressed in the end.
	Via         string `json:"via"`
	Compression string `json:"compression"`

	Board    string        `json:"board"`
	Attempts []Attempt     `json:"attempts,omitempty"`
	Steps    []StepTime    `json:"steps"`
	Elapsed  time.Duration `json:"-"`
	Warnings []string      `json:"warnings,omitempty"`
}

// Dump reads the target, named as for [WithTarget] ("" for the default one), and
// gives its bytes to w in order. The board is booted as for a flash; the
// manifest's preflash commands are not run, and nothing is written to any disk.
//
// The device is read past the page cache in pieces. The board digests each piece
// as it was read, and w gets it only when what arrived has the same digest.
// Pieces of zeros are not sent. What fails is read or sent again; a board that
// is lost is booted again as often as [WithRetries] allows, and goes on where it
// was. Between runs [DumpFrom] does.
//
// The error is an [*Error]; with it comes a DumpResult that says how far it got,
// unless nothing was begun. Errors: [ErrDeviceRead], [ErrDumpWriter],
// [ErrDumpTransfer], and those of a flash up to the target. Dump returns only
// after a call of w.Write has returned.
func (f *Flasher) Dump(ctx context.Context, target string, w io.Writer, opts ...DumpOption) (res *DumpResult, err error) {
	cfg := dumpConfig{bundle: f.bundleRef, compress: CompressAuto, via: ViaAuto}
	if w == nil {
		err = errors.New("the writer is nil")
	}
	for _, opt := range opts {
		err = errors.Join(err, opt(&cfg))
	}
	if err = errors.Join(err, cfg.check()); err != nil {
		return nil, &Error{Op: "dump", Step: StepCheck, Err: fmt.Errorf("%w: %w", ErrConfig, err)}
	}
	if err := f.acquire(); err != nil {
		return nil, &Error{Op: "dump", Step: StepCheck, Err: err}
	}
	defer f.release()

	d := &dump{operation: f.begin("dump"), cfg: cfg, out: w, sum: sha256.New(), res: &DumpResult{Bundle: cfg.bundle}}
	d.part = &part{Part: Part{Target: target, Partition: cfg.partition}, defaultTarget: f.cfg.target, res: &Result{}}
	defer func() {
		err = errors.Join(err, d.end(ctx))
		d.finish()
		if err == nil {
			f.cfg.log.Info("Dump completed", "in", d.res.Elapsed.Round(time.Second), "bytes", d.res.Bytes, "sha256", d.res.SHA256)
		}
	}()
	return d.res, d.run(ctx)
}

// dump is a Dump under way.
type dump struct {
	*operation
	cfg  dumpConfig
	part *part
	out  io.Writer
	sum  hash.Hash // of what out took
	res  *DumpResult

	plan  *dumpPlan       // made when the device is known
	life  context.Context // of the goroutine that gives pieces to out
	saved chan struct{}   // closed when that has ended; nil before it began
	w     *writer
	dev   busybox.BlockDevice
	via   string
}

func (d *dump) run(ctx context.Context) error {
	if err := d.step(ctx, StepBundle, d.f.cfg.timeouts.Bundle, func(ctx context.Context) error {
		if err := d.openBundle(ctx, d.cfg.bundle); err != nil {
			return err
		}
		d.res.BundleDigest, d.res.Warnings = d.bundle.Digest(), d.bundle.Warnings()
		err := d.targetPath(d.part)
		d.res.Target, d.res.Partition = d.part.res.Target, d.part.res.Partition
		return err
	}); err != nil {
		return err
	}
	if err := d.step(ctx, StepServe, 0, d.serve); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	d.life = ctx
	defer func() {
		cancel()
		if d.saved != nil {
			<-d.saved
		}
	}()
	return d.try(ctx, d.once)
}

// once is the part of a dump that begins with a power cycle.
func (d *dump) once(ctx context.Context) error {
	t := &d.f.cfg.timeouts
	if err := d.toBootloader(ctx); err != nil {
		return err
	}
	if err := d.toShell(ctx); err != nil {
		return err
	}
	d.w = &writer{operation: d.operation, res: d.part.res}
	if err := d.step(ctx, StepShell, 3*t.Command, d.w.setUpShell); err != nil {
		return err
	}
	d.res.Board = d.board()
	if err := d.step(ctx, StepTarget, t.Command, d.locate); err != nil {
		return err
	}
	return d.step(ctx, StepDump, t.Dump, d.transfer)
}

// locate finds the device and, the first time, what of it is read and how.
func (d *dump) locate(ctx context.Context) error {
	dev, err := d.w.findDevice(ctx, d.part)
	if err != nil {
		return err
	}
	if d.plan != nil {
		if err := sameDisk(d.dev, dev); err != nil {
			return err
		}
		d.dev = dev // its number may be another one
		return nil
	}
	end := dev.Size
	if d.cfg.used {
		if dev.Partition {
			return fmt.Errorf("%w: DumpUsed is for a whole disk; %s is a partition", ErrConfig, dev.Path)
		}
		table, _, err := d.w.readTable(ctx, dev)
		if err != nil {
			return err
		}
		if end = table.End(); end > dev.Size {
			return fmt.Errorf("%w: the partitions of %s end at byte %d, the disk at %d", ErrPartitionTable, dev.Path, end, dev.Size)
		}
	}
	if d.cfg.from > end {
		return fmt.Errorf("%w: DumpFrom: offset %d is behind the end, %d", ErrConfig, d.cfg.from, end)
	}
	if len(dev.Mounted) > 0 {
		d.res.Warnings = append(d.res.Warnings, fmt.Sprintf("%s is mounted on the board (%v) and may have changed while it was read", dev.Path, dev.Mounted))
	}
	d.dev, d.res.Device, d.res.DeviceBytes, d.res.Offset = dev, dev.Path, dev.Size, d.cfg.from
	return d.choose(end)
}

// choose decides how the bytes travel, by what the board has.
func (d *dump) choose(end int64) error {
	tools := d.w.tools
	has := map[string]error{
		ViaCurl: tools.Need("curl"), ViaNetcat: tools.Need("nc"), ViaWget: tools.Need("wget", "base64"), ViaConsole: nil,
	}
	d.via = d.cfg.via
	if d.via == ViaAuto {
		for _, d.via = range []string{ViaCurl, ViaNetcat, ViaWget, ViaConsole} {
			if has[d.via] == nil {
				break
			}
		}
	}
	if err := has[d.via]; err != nil {
		return err
	}
	program := digests[0]
	if d.via != ViaConsole {
		var err error
		if program, err = pickDigest(tools); err != nil {
			return err
		}
	}
	codecs := []string{CompressNone}
	for _, c := range []string{CompressLZ4, CompressZstd, CompressGzip} {
		if tools.Has(c) {
			codecs = append(codecs, c)
		}
	}
	if c := d.cfg.compress; c != CompressAuto {
		if err := tools.Need(c); err != nil && c != CompressNone {
			return err
		}
		codecs = []string{c}
	}
	piece := int64(4 << 20)
	if m := tools.Memory; m > 0 { // the board holds two pieces, each also compressed
		piece = min(piece, max(m/32, 1<<20)) &^ (1<<20 - 1)
	}
	if d.via == ViaConsole { // readBytes compresses by itself
		piece, codecs = 256<<10, []string{CompressNone}
		if tools.Has("gzip") {
			codecs = []string{CompressGzip}
		}
		if c := d.cfg.compress; c != CompressAuto && c != codecs[0] {
			return fmt.Errorf("%w: over the console the compression is %q and cannot be %q", ErrConfig, codecs[0], c)
		}
	}
	d.plan = newDumpPlan(d.cfg.from&^(1<<20-1), end, piece, program, codecs)
	d.f.cfg.log.Info("Reading target block device", "device", d.dev.Path, "from", d.cfg.from, "to", end, "via", d.via, "compression", codecs)
	return nil
}

// finish fills in what is known only at the end.
func (d *dump) finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.res
	r.Steps, r.Attempts, r.Elapsed = d.steps, d.attempts, time.Since(d.begun)
	r.SHA256 = hex.EncodeToString(d.sum.Sum(nil))
	if d.plan != nil {
		_, r.WireBytes, r.ZeroBytes = d.plan.state()
		r.Via, r.Compression = d.via, d.plan.codec.best
	}
}
