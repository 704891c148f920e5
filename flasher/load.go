package flasher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dutflash/dutflash/uboot"
)

// LoadMethod says how U-Boot gets kernel, initramfs and DTB into the board's RAM.
type LoadMethod string

// What [WithLoad] takes.
const (
	// LoadAuto is TFTP. Where U-Boot cannot have that (the build has no
	// tftpboot, it finds no network interface, or the server never answers, in
	// lock step neither), HTTP is next where the build has wget, and then, for
	// files of at most 2 MiB together (at 115200 baud; more with a higher
	// [WithLoadBaud]), YMODEM. The log has the reason, and the
	// Flasher begins with what worked from then on, in its further operations too,
	// until that fails: then it is forgotten, and the order is the one above again.
	// The default.
	LoadAuto LoadMethod = "auto"
	// LoadTFTP is TFTP (RFC 1350, 2347 to 2349, 7440) and nothing else.
	LoadTFTP LoadMethod = "tftp"
	// LoadHTTP is U-Boot's wget command, of builds since 2022.10 with
	// CONFIG_CMD_WGET. Nothing listens on port 69. Builds before 2024.10 ask port
	// 80 only: see [WithHTTPPort].
	LoadHTTP LoadMethod = "http"
	// LoadYModem is U-Boot's loady command over the console: for a board without
	// a network in U-Boot. Nothing listens on port 69, and U-Boot asks for no
	// address. At 115200 baud it takes 100 s for each MB.
	LoadYModem LoadMethod = "ymodem"
	// LoadXModem is loadx, for a build without loady. XMODEM knows no sizes: up to
	// 1023 zeros follow a file in RAM.
	LoadXModem LoadMethod = "xmodem"
	// LoadKermit is loadb, for a line that does not carry all characters.
	LoadKermit LoadMethod = "kermit"
)

// WithLoad sets how U-Boot gets the bundle's files. A bundle whose manifest names
// no files (the kernel is on the board, and the boot command does it all) needs
// none of them, nor a network in U-Boot.
func WithLoad(m LoadMethod) Option {
	return func(c *config) error {
		if !slices.Contains(LoadMethods(), m) {
			return fmt.Errorf("WithLoad: %q is not one of %q", m, LoadMethods())
		}
		c.load = m
		return nil
	}
}

// LoadMethods returns what [WithLoad] takes.
func LoadMethods() []LoadMethod {
	return []LoadMethod{LoadAuto, LoadTFTP, LoadHTTP, LoadYModem, LoadXModem, LoadKermit}
}

// checkLoad refuses options that would have no effect on each other.
func (c *config) checkLoad() error {
	if c.loadBaud != 0 && c.load != LoadAuto && !c.load.serial() {
		return fmt.Errorf("WithLoadBaud has no meaning with WithLoad(%q)", c.load)
	}
	if c.load == LoadAuto || c.load == LoadTFTP {
		return nil
	}
	if c.tftpDir != "" || c.tftpServer.IsValid() {
		return fmt.Errorf("WithTFTPDir and WithTFTPServer have no meaning with WithLoad(%q)", c.load)
	}
	return nil
}

// servesTFTP says whether this process is the TFTP server.
func (c *config) servesTFTP() bool {
	return (c.load == LoadAuto || c.load == LoadTFTP) && c.tftpDir == "" && !c.tftpServer.IsValid()
}

// loadBytes is how much U-Boot has to load.
func (o *operation) loadBytes() (n int64) {
	for _, a := range o.files {
		n += a.size
	}
	return n
}

// needsNoNetwork says whether the board can be booted without a network in U-Boot.
func (o *operation) needsNoNetwork() bool {
	return len(o.files) == 0 || o.f.cfg.load == LoadAuto && o.loadBytes() <= o.f.cfg.serialLimit()
}

// setUpNetwork gives U-Boot an address and tells it ours, unless it can do without.
func (o *operation) setUpNetwork(ctx context.Context) error {
	cfg := &o.f.cfg
	o.net, o.noEthernet = uboot.Network{}, false
	switch {
	case cfg.static != nil:
		o.net = *cfg.static
		cfg.log.Info("Setting a static network configuration", "address", o.net.Address)
	case cfg.load.serial():
		cfg.log.Info("U-Boot gets no address: it loads over the console", "by", cfg.load)
		return nil
	default:
		cfg.log.Info("Running DHCP to obtain network configuration...")
		n, err := o.uboot.DHCP(ctx)
		if (errors.Is(err, uboot.ErrNoEthernet) || errors.Is(err, uboot.ErrUnknownCommand)) && o.needsNoNetwork() {
			cfg.log.Warn("U-Boot has no network; going on without", "bytes to load", o.loadBytes(), "error", err)
			o.noEthernet = true
			return nil
		}
		if err != nil {
			return err
		}
		o.net = n
		cfg.log.Info("discovered dhcp details", "address", n.Address, "gateway", n.Gateway)
	}
	if err := o.faceBoard(); err != nil {
		return err
	}
	return o.uboot.SetNetwork(ctx, o.net)
}

// faceBoard finds the address at which the board reaches this host, and the one
// of its TFTP server.
func (o *operation) faceBoard() error {
	server, err := o.f.serverAddress(o.net.Address.Addr())
	if err != nil {
		return err
	}
	o.servers.facing(server)
	if o.net.Server = server; o.f.cfg.tftpServer.IsValid() {
		o.net.Server = o.f.cfg.tftpServer
	}
	return nil
}

// loadAll brings the artefacts into the board's RAM.
func (o *operation) loadAll(ctx context.Context) error {
	if len(o.files) == 0 {
		o.f.cfg.log.Info("Nothing to load: the manifest names no files")
		return nil
	}
	if known := o.f.loadsBy(); known != "" && o.loadMethods()[0] == known {
		o.f.cfg.log.Info("Loading first by what worked on this board before, where another method did not", "by", known)
	}
	limit := time.Duration(0)
	for _, a := range o.files {
		for _, by := range o.loadMethods() {
			limit += o.loadTime(a, by)
		}
	}
	return o.step(ctx, StepLoad, limit, func(ctx context.Context) error {
		for _, a := range o.files {
			if err := o.load(ctx, a); err != nil {
				return fmt.Errorf("%s: %w", a.role, err)
			}
		}
		return nil
	})
}

// loadTime is the limit of one file.
func (o *operation) loadTime(a artefact, by LoadMethod) time.Duration {
	limit := o.f.cfg.timeouts.Load
	if by.serial() {
		limit += time.Duration(a.size/o.f.cfg.serialRate()) * time.Second
	}
	return limit
}

// loadMethods are those to try, in their order. What worked where another failed
// comes first from then on.
func (o *operation) loadMethods() []LoadMethod {
	if o.f.cfg.load != LoadAuto {
		return []LoadMethod{o.f.cfg.load}
	}
	if o.noEthernet {
		return []LoadMethod{LoadYModem}
	}
	methods := []LoadMethod{LoadTFTP, LoadHTTP}
	if o.loadBytes() <= o.f.cfg.serialLimit() {
		methods = append(methods, LoadYModem)
	}
	if known := o.f.loadsBy(); slices.Contains(methods, known) {
		methods = slices.DeleteFunc(methods, func(m LoadMethod) bool { return m == known })
		methods = slices.Insert(methods, 0, known)
	}
	return methods
}

// loadsBy is the method that LoadAuto has found to work on this board where TFTP did
// not, "" where it found none.
func (f *Flasher) loadsBy() LoadMethod {
	m, _ := f.loadedBy.Load().(LoadMethod)
	return m
}

// load brings one artefact into RAM by the first method that the board can have.
func (o *operation) load(ctx context.Context, a artefact) error {
	methods, failed := o.loadMethods(), []error(nil)
	log, known := o.f.cfg.log, o.f.loadsBy()
	for i, by := range methods {
		fileCtx, cancel := context.WithTimeout(ctx, o.loadTime(a, by))
		err := o.loadBy(fileCtx, a, by)
		cancel()
		if err == nil {
			if i > 0 {
				o.f.loadedBy.Store(by)
				log.Info("This board is loaded by that first from now on", "by", by, "because", errors.Join(failed...))
			}
			return nil
		}
		failed = append(failed, fmt.Errorf("by %s: %w", by, err))
		if ctx.Err() != nil {
			break
		}
		if by == known && !errors.Is(err, uboot.ErrReset) && !errors.Is(err, uboot.ErrCrash) && !errors.Is(err, uboot.ErrEcho) && !errors.Is(err, uboot.ErrEarlyEnter) {
			o.f.loadedBy.Store(LoadMethod(""))
			log.Warn("What worked on this board before does not any more, and is forgotten", "by", by, "because", err)
		}
		if !cannotHave(err) {
			break
		}
		if i+1 < len(methods) {
			log.Warn("U-Boot cannot load that way, trying another", "by", by, "next", methods[i+1], "error", err)
		}
	}
	if len(failed) == 1 {
		return errors.Unwrap(failed[0])
	}
	return errors.Join(failed...)
}

// cannotHave says whether a method is not to be had on this board, as opposed to
// one that failed with this file.
func cannotHave(err error) bool {
	return errors.Is(err, uboot.ErrUnknownCommand) || errors.Is(err, uboot.ErrNoEthernet) || errors.Is(err, uboot.ErrNoServer) || errors.Is(err, uboot.ErrWgetPort)
}

func (o *operation) loadBy(ctx context.Context, a artefact, by LoadMethod) error {
	switch by {
	case LoadHTTP:
		return o.loadHTTP(ctx, a)
	case LoadYModem, LoadXModem, LoadKermit:
		return o.loadSerial(ctx, a, by)
	default:
		err := o.loadTFTP(ctx, a)
		if seen := o.servers.tftpFailure(a.name); err != nil && seen != nil {
			return noted(err, fmt.Errorf("seen by the TFTP server: %w", seen))
		}
		return err
	}
}

// loadHTTP has U-Boot fetch an artefact from the HTTP server.
func (o *operation) loadHTTP(ctx context.Context, a artefact) error {
	url := o.servers.url(a.name)
	o.f.cfg.log.Info("Loading into RAM by wget", "what", a.role, "file", a.name, "address", a.address, "bytes", a.size)
	m := o.meter(StepLoad, a.role+" "+a.name, a.size)
	before := o.servers.http.Served(a.name)
	stop := every(progressInterval, func() { m.update(min(o.servers.http.Served(a.name)-before, a.size)) })
	_, err := o.uboot.LoadWget(ctx, uboot.File{Name: url, Address: a.address, Size: a.size, CRC32: a.crc, CheckCRC: true})
	stop()
	if errors.Is(err, uboot.ErrWgetPort) {
		return fmt.Errorf("%w (WithHTTPPort(80) has the server there)", err)
	}
	if err == nil {
		m.update(a.size)
	}
	return err
}

// progressInterval is how often a transfer of which no events tell is looked at.
const progressInterval = 200 * time.Millisecond

// every calls fn from a goroutine of its own until the returned function is called,
// which waits for that.
func every(d time.Duration, fn func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fn()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}
