package flasher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/transport/image"
)

// writer brings a prepared image onto a block device of a board that is at a
// proved shell.
type writer struct {
	*operation
	image  *image.Prepared
	source image.Source // of image; nil where the caller prepared it
	ref    string       // which source was opened from, or ""
	res    *Result
	tools  busybox.Tools
	device busybox.BlockDevice
	// settled says that the preflash commands have run.
	settled bool
	before  int64 // bytes that earlier attempts took
	digest  extents.Digest
	extents *extents.Plan // of MethodExtents, once it has begun
	// What was found out on the board is in the log.
	toldFindings, toldTiming, toldSpeed bool
}

// setUpShell learns the board's tools and gives it network and time.
func (w *writer) setUpShell(ctx context.Context) error {
	var err error
	if w.tools, err = w.shell.Tools(ctx); err != nil {
		return err
	}
	if err := w.linuxNetwork(ctx); err != nil {
		return err
	}
	return w.shell.SetClock(ctx, time.Now())
}

// linuxNetwork gives the board's Linux an address: U-Boot's lease ended with
// U-Boot.
func (o *operation) linuxNetwork(ctx context.Context) error {
	if o.f.cfg.static != nil {
		return o.shell.SetAddress(ctx, busybox.Address{IP: o.net.Address, Gateway: o.net.Gateway})
	}
	a, err := o.shell.Udhcpc(ctx, "")
	if err != nil || o.net.Address.IsValid() {
		return err
	}
	o.net.Address, o.net.Gateway = a.IP, a.Gateway
	return o.faceBoard()
}

// inputFlags are dd's flags for reading past the page cache, where it has them.
func (w *writer) inputFlags() string {
	if w.tools.DDInput["direct"] {
		return "iflag=direct"
	}
	return ""
}

// dropCaches is what comes before a command that reads by dd with inputFlags: where
// those do not get past the page cache, what is in there goes first.
func (w *writer) dropCaches() string {
	if w.inputFlags() == "" {
		return "sync && echo 3 >/proc/sys/vm/drop_caches && "
	}
	return ""
}

// outputFlags are dd's flags for writing past the page cache.
func (w *writer) outputFlags() string {
	if w.tools.DDOutput["direct"] {
		return "oflag=direct"
	}
	return ""
}

// preflash runs the manifest's preflash commands; each must succeed. They may
// use $dhcp_addr and $gw_addr, which Jumpstarter exports as well.
func (o *operation) preflash(ctx context.Context) error {
	gateway := ""
	if o.net.Gateway.IsValid() {
		gateway = o.net.Gateway.String()
	}
	if _, err := o.shell.Run(ctx, fmt.Sprintf("export dhcp_addr=%s gw_addr=%s", o.board(), gateway)); err != nil {
		return err
	}
	for _, cmd := range o.manifest.Spec.PreflashCommands {
		o.f.cfg.log.Info("Running preflash command", "command", cmd)
		cmdCtx, cancel := context.WithTimeout(ctx, o.f.cfg.timeouts.Command)
		_, err := o.shell.Run(cmdCtx, cmd)
		cancel()
		if err != nil {
			return fmt.Errorf("preflash command: %w", err)
		}
	}
	return nil
}

// The names of the image's parts on the HTTP server.
const (
	imageName = "image"
	restName  = "image-rest"
)

// stream sends the raw image through dd. Direct I/O wants whole sectors; what
// is left over goes through the page cache in a second piece.
func (w *writer) stream(ctx context.Context) error {
	size := w.image.Size()
	sector := int64(max(w.device.SectorSize, 512))
	whole := size / sector * sector
	bodyURL, restURL := "", ""
	if whole > 0 {
		w.servers.http.File(imageName, io.NewSectionReader(w.image, 0, whole), whole)
		bodyURL = w.servers.url(imageName)
	}
	if whole < size {
		w.servers.http.File(restName, io.NewSectionReader(w.image, whole, size-whole), size-whole)
		restURL = w.servers.url(restName)
	}
	script, err := w.servers.script("stream.sh")
	if err != nil {
		return err
	}
	w.before += w.served()
	m := w.meter(StepWrite, w.device.Path, size)
	ctx, stop := w.watch(ctx, func() (any, bool) {
		done := w.served()
		m.updateWire(done, done)
		return done, done >= size
	})
	device, err := w.hold(ctx, w.device)
	if err != nil {
		return err
	}
	var out strings.Builder
	collect := func(chunk []byte) { out.Write(chunk) }
	err = w.shell.Script(ctx, script, collect, device, w.outputFlags(), bodyURL, restURL, strconv.FormatInt(whole, 10))
	stop()
	w.res.TransferredBytes = w.served()
	if err != nil {
		if writeFailed.MatchString(out.String()) {
			err = fmt.Errorf("%w: %w", errWriteRefused, err)
		}
		return errors.Join(stallCause(ctx), err)
	}
	if w.res.TransferredBytes < size {
		return fmt.Errorf("the board took %d of %d bytes of the image and reported success", w.res.TransferredBytes, size)
	}
	w.res.WrittenBytes = size
	m.updateWire(size, size)
	return nil
}

// served is how much of the image this attempt took.
func (w *writer) served() int64 {
	return w.servers.http.Served(imageName) + w.servers.http.Served(restName) - w.before
}

var (
	readPosition = regexp.MustCompile(`dutflash-read (\d+)\r?\n`)
	readDigest   = regexp.MustCompile(`dutflash-digest ([0-9a-f]+)\r?\n`)
)

// verify reads the image's range back from the device and compares digests: chunk by
// chunk where the board has the tools for that, else as a whole.
func (w *writer) verify(ctx context.Context) error {
	if w.missingForExtents() == nil {
		return w.checkExtents(ctx)
	}
	size := w.image.Size()
	script, err := w.servers.script("verify.sh")
	if err != nil {
		return err
	}
	w.f.cfg.log.Info("Reading back", "device", w.device.Path, "bytes", size, "flags", w.inputFlags())
	m := w.meter(StepVerify, w.device.Path, size)
	device, err := w.hold(ctx, w.device)
	if err != nil {
		return err
	}
	var out strings.Builder
	err = w.shell.Script(ctx, script, func(chunk []byte) {
		out.Write(chunk)
		all := readPosition.FindAllStringSubmatch(out.String(), -1)
		if all == nil {
			return
		}
		pos, err := strconv.ParseInt(all[len(all)-1][1], 10, 64)
		if err == nil {
			m.update(min(pos, size))
		}
	}, device, strconv.FormatInt(size, 10), w.inputFlags(), w.digest.Program)
	if err != nil {
		return err
	}
	sums := readDigest.FindAllStringSubmatch(out.String(), -1)
	if sums == nil {
		return fmt.Errorf("the board printed no digest: %q", out.String())
	}
	want, err := w.imageSum(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(sums, func(sum []string) bool { return sum[1] == want }) {
		return fmt.Errorf("%s: %w: %s of the first %d bytes is %s, the image's is %s",
			w.device.Path, ErrVerify, w.digest.Name(), size, sums[0][1], want)
	}
	m.update(size)
	w.res.ProvedBytes = size
	w.proved(w.digest.Program)
	return nil
}
