package flasher

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/transport/console"
	"github.com/dutflash/dutflash/transport/image"
	"github.com/dutflash/dutflash/uboot"
)

// Option configures a [Flasher]. An error from any of them is returned by
// [New], wraps [ErrConfig], and nothing was touched.
type Option func(*config) error

type config struct {
	log        *slog.Logger
	transcript io.Writer
	progress   func(Event)
	closers    []io.Closer

	network    Network // nil is the host's own
	servers    *Servers
	serverAddr netip.Addr
	bindAddr   netip.Addr
	httpPort   int
	tftpWindow int
	tftpDir    string
	tftpServer netip.Addr // not this process
	tftpPrefix string
	load       LoadMethod
	loadBaud   int // or 0

	cacheDir  string
	overrides bundle.Overrides
	target    string
	powerOff  bool
	cycleWait time.Duration
	verify    Verify
	method    Method
	direct    *Remote
	writeAll  bool
	retries   int
	retryWait time.Duration
	timeouts  Timeouts
	static    *uboot.Network

	console []console.Option
	uboot   []uboot.Option
	busybox []busybox.Option
	bundle  []bundle.Option
	source  []image.SourceOption
	prepare []image.PrepareOption
}

// Timeouts limit the steps. A zero field takes its default; each is the longest
// that the step may take, not a wait that always passes.
type Timeouts struct {
	// Bundle: pull the bundle. Default 10 min.
	Bundle time.Duration
	// Power: one command to the power switch, the waiting time of a power
	// cycle not counted. Default 30 s.
	Power time.Duration
	// Bootloader: from power on to a proved U-Boot prompt. Default 2 min,
	// because boards that train slow memory take long.
	Bootloader time.Duration
	// Network: DHCP with its retries. Default 2 min.
	Network time.Duration
	// Load: one file into RAM by one method. Default 5 min. Over the console a
	// file has twice the time of its bytes at 115200 baud, or [WithLoadBaud].
	Load time.Duration
	// Boot: from the boot command to the login prompt and a proved shell.
	// Default 6 min, twice what Jumpstarter allows for each half.
	Boot time.Duration
	// Command: one preflash command, or one of the commands that set up
	// network and clock. Default 2 min.
	Command time.Duration
	// Image: until the image is wholly prepared. Default 1 h.
	Image time.Duration
	// Stall: how long the board may get nothing done while it writes or, with
	// MethodExtents' tools, reads back. Default 2 min.
	Stall time.Duration
	// Write: the image onto the device. Default 6 h.
	Write time.Duration
	// Sync: flush what the board holds back. Default 20 min.
	Sync time.Duration
	// Verify: read back. Default 6 h.
	Verify time.Duration
	// Dump: read the device and bring it to the host. Default 6 h.
	Dump time.Duration
}

func (t *Timeouts) fill() error {
	for _, f := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"Bundle", &t.Bundle, 10 * time.Minute},
		{"Power", &t.Power, 30 * time.Second},
		{"Bootloader", &t.Bootloader, 2 * time.Minute},
		{"Network", &t.Network, 2 * time.Minute},
		{"Load", &t.Load, 5 * time.Minute},
		{"Boot", &t.Boot, 6 * time.Minute},
		{"Command", &t.Command, 2 * time.Minute},
		{"Image", &t.Image, time.Hour},
		{"Stall", &t.Stall, 2 * time.Minute},
		{"Write", &t.Write, 6 * time.Hour},
		{"Sync", &t.Sync, 20 * time.Minute},
		{"Verify", &t.Verify, 6 * time.Hour},
		{"Dump", &t.Dump, 6 * time.Hour},
	} {
		if *f.value < 0 {
			return fmt.Errorf("timeout %s is negative: %v", f.name, *f.value)
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	return nil
}

// Verify says what is proved after writing.
type Verify string

// What [WithVerify] takes.
const (
	// VerifyFull reads back, past the board's page cache and when everything is
	// written and flushed, all that was written, and compares its SHA-256 with the
	// host's; on a disk that was blank, every byte of the image's range. What
	// MethodExtents found on the device, it read in the same flash to find that
	// out; of that it reads pieces again. The default.
	VerifyFull Verify = "full"
	// VerifyWritten is the same, but with MethodExtents each chunk is read back as
	// soon as it is flushed, while others are written: sooner done on a device that
	// reads and writes at the same time, which eMMCs and SD cards do not. Of what
	// was read before the last write pieces are read again, 64 KiB in 32
	// places, so that a medium that has less than it claims is found, but not
	// every byte. The other methods do as with VerifyFull.
	VerifyWritten Verify = "written"
	// VerifyNone trusts the write. The Result then carries no digest.
	VerifyNone Verify = "none"
)

func defaults() config {
	return config{
		log:       slog.New(slog.DiscardHandler),
		progress:  func(Event) {},
		powerOff:  true,
		cycleWait: power.DefaultCycleWait,
		verify:    VerifyFull,
		method:    MethodAuto,
		load:      LoadAuto,
		// One that hides the round trip well: 15 times lock step with
		// half a millisecond each way. A driver with fewer receive buffers
		// loses the end of a window, and is then sent less at once.
		tftpWindow: 16,
		retries:    3,
		retryWait:  time.Second,
	}
}

// WithLogger sets where the steps are logged. The default is silence. The
// bytes of the console go to WithTranscript, never to the logger.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		if l == nil {
			return fmt.Errorf("WithLogger: the logger is nil")
		}
		c.log = l
		return nil
	}
}

// WithTranscript sets where every byte that the board prints goes, with the
// manifest's password replaced by ***. The writer must not block for long: the
// serial port is not read meanwhile.
func WithTranscript(w io.Writer) Option {
	return func(c *config) error {
		if w == nil {
			return fmt.Errorf("WithTranscript: the writer is nil")
		}
		c.transcript = w
		return nil
	}
}

// WithProgress sets a function that is called with each [Event], from one
// goroutine at a time. It must return quickly.
func WithProgress(fn func(Event)) Option {
	return func(c *config) error {
		if fn == nil {
			return fmt.Errorf("WithProgress: the function is nil")
		}
		c.progress = fn
		return nil
	}
}

// WithNetwork sets where the servers listen. The default is the host's own
// network.
func WithNetwork(n Network) Option {
	return func(c *config) error {
		if n == nil {
			return fmt.Errorf("WithNetwork: the network is nil")
		}
		c.network = n
		return nil
	}
}

// WithServerAddress sets the address that the board uses for this host. The
// default is the local end of the route to the board's own address; say it where
// that is not what the board sees (a container, a NAT, several interfaces).
func WithServerAddress(a netip.Addr) Option {
	return func(c *config) error {
		if !a.IsValid() || a.IsUnspecified() {
			return fmt.Errorf("WithServerAddress: %v is no address that a board could reach", a)
		}
		c.serverAddr = a
		return nil
	}
}

// WithBindAddress sets the local address that the servers listen on. The
// default is every address, because the one that faces the board is known only
// when the board has one; on Linux the TFTP server answers from the address that
// was asked then.
func WithBindAddress(a netip.Addr) Option {
	return func(c *config) error {
		if !a.IsValid() {
			return fmt.Errorf("WithBindAddress: not an address")
		}
		c.bindAddr = a
		return nil
	}
}

// WithHTTPPort sets the port of the session's HTTP server. The default, 0, is
// any free one; say one where a firewall stands between.
func WithHTTPPort(port int) Option {
	return func(c *config) error {
		if port < 0 || port > 65535 {
			return fmt.Errorf("WithHTTPPort: %d is no port", port)
		}
		c.httpPort = port
		return nil
	}
}

// WithCacheDir sets where bundles and prepared images are kept. The default for bundles
// is /var/lib/jumpstarter/flasher where that is writable, else the user's cache
// directory, which is the default for images.
func WithCacheDir(dir string) Option {
	return func(c *config) error {
		if dir == "" {
			return fmt.Errorf("WithCacheDir: the directory is empty")
		}
		c.cacheDir = dir
		return nil
	}
}

// UseKernel loads a local file, or what an http(s) URL names, in place of the
// bundle's kernel; in flashes and in both shells. An override that the boot
// command would not take is refused before the board is touched
// (bundle.ErrOverride).
func UseKernel(ref string) Option {
	return func(c *config) error { c.overrides.Kernel = ref; return nil }
}

// UseInitram is [UseKernel] for the initramfs. The manifest must have one, as
// its address is used; with a FIT, which has its own, it is refused.
func UseInitram(ref string) Option {
	return func(c *config) error { c.overrides.Initram = ref; return nil }
}

// UseDTB is [UseKernel] for the DTB of the variant in use. With a FIT, choose a
// variant whose boot command takes a DTB from RAM; the error names those.
func UseDTB(ref string) Option {
	return func(c *config) error { c.overrides.DTB = ref; return nil }
}

// UseDTBVariant chooses the DTB variant in place of the manifest's dtb.default,
// in flashes and in both shells. One that the manifest lacks is refused before
// the board is touched (bundle.ErrUnknownVariant). "" is the default.
func UseDTBVariant(name string) Option {
	return func(c *config) error { c.overrides.Variant = name; return nil }
}

// UseManifest chooses one of several manifests in the bundle by its file name in
// place of manifest.yaml, in flashes and in both shells. One that the bundle
// lacks is refused before the board is touched (bundle.ErrNoManifest). "" is the
// default.
func UseManifest(name string) Option {
	return func(c *config) error { c.overrides.Manifest = name; return nil }
}

// WithDefaultTarget names the target that is flashed when [Flasher.Flash] is
// not told one, in place of the manifest's default_target.
func WithDefaultTarget(name string) Option {
	return func(c *config) error { c.target = name; return nil }
}

// WithPowerOff says whether the board is powered off at the end, which is the
// default, or left running.
func WithPowerOff(off bool) Option {
	return func(c *config) error { c.powerOff = off; return nil }
}

// WithCloser has [Flasher.Close] close c, which belongs to the Flasher alone: a power
// switch, for example, that holds a GPIO line between operations. Repeated, the last is
// closed first.
func WithCloser(c io.Closer) Option {
	return func(cfg *config) error {
		if c == nil {
			return errors.New("WithCloser: it is nil")
		}
		cfg.closers = append(cfg.closers, c)
		return nil
	}
}

// WithCycleWait sets how long the board is without power in a power cycle, at
// least 1 ms. The default is power.DefaultCycleWait, 2 s.
func WithCycleWait(d time.Duration) Option {
	return func(c *config) error {
		if d < time.Millisecond {
			return fmt.Errorf("WithCycleWait: %v is shorter than 1 ms", d)
		}
		c.cycleWait = d
		return nil
	}
}

// WithVerify sets what is proved after writing: [VerifyFull], the default,
// [VerifyWritten] or [VerifyNone].
func WithVerify(v Verify) Option {
	return func(c *config) error {
		switch v {
		case VerifyFull, VerifyWritten, VerifyNone:
			c.verify = v
			return nil
		}
		return fmt.Errorf("WithVerify: %q is not one of %q, %q, %q", v, VerifyFull, VerifyWritten, VerifyNone)
	}
}

// WithWriteAll writes every chunk without comparing it with what the device
// holds: for a device that is known to be full of something else, and for
// measurements. It is for MethodExtents; MethodStream always writes everything.
func WithWriteAll() Option {
	return func(c *config) error { c.writeAll = true; return nil }
}

// WithTimeouts sets the limits of the steps; zero fields keep their default.
func WithTimeouts(t Timeouts) Option {
	return func(c *config) error { c.timeouts = t; return nil }
}

// WithStaticNetwork gives the board an address in U-Boot and in Linux instead
// of asking DHCP.
func WithStaticNetwork(n uboot.Network) Option {
	return func(c *config) error {
		if !n.Address.IsValid() {
			return fmt.Errorf("WithStaticNetwork: the address is not valid")
		}
		c.static = &n
		return nil
	}
}

// WithConsoleOptions passes options on to the console, for instance
// console.WithPace for a UART that drops characters.
func WithConsoleOptions(opts ...console.Option) Option {
	return func(c *config) error { c.console = append(c.console, opts...); return nil }
}

// WithUBootOptions passes options on to the U-Boot session, for instance
// uboot.WithPrompts or uboot.WithStopKey.
func WithUBootOptions(opts ...uboot.Option) Option {
	return func(c *config) error { c.uboot = append(c.uboot, opts...); return nil }
}

// WithBusyboxOptions passes options on to the shell session.
func WithBusyboxOptions(opts ...busybox.Option) Option {
	return func(c *config) error { c.busybox = append(c.busybox, opts...); return nil }
}

// WithBundleOptions passes options on to the bundle, for instance
// bundle.WithCredentials.
func WithBundleOptions(opts ...bundle.Option) Option {
	return func(c *config) error { c.bundle = append(c.bundle, opts...); return nil }
}

// WithSourceOptions passes options on to the opening of images, for instance
// headers, a bearer token or a CA file for https.
func WithSourceOptions(opts ...image.SourceOption) Option {
	return func(c *config) error { c.source = append(c.source, opts...); return nil }
}

// WithPrepareOptions passes options on to the preparing of images, for instance
// limits of memory and cache.
func WithPrepareOptions(opts ...image.PrepareOption) Option {
	return func(c *config) error { c.prepare = append(c.prepare, opts...); return nil }
}
