package bundle

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry"

	"github.com/dutflash/dutflash/bundle/internal/blobstore"
)

// Option changes how a bundle is opened, made or pushed. Options are applied
// in order, and a wrong one is an error of the function that got it.
type Option func(*config) error

type config struct {
	cacheDir     string
	user, pass   string
	plainHTTP    *bool
	tls          *tls.Config
	transport    http.RoundTripper
	offline      bool
	requireFresh bool
	strict       bool
	logger       *slog.Logger
	progress     func(Progress)
	limits       Limits
	retries      int
	stall        time.Duration
	parallel     int
	tag          string
}

// Limits bound what a bundle may contain, so that a hostile one cannot fill
// memory or disk. A zero field means its default.
type Limits struct {
	Layers int // layers of the OCI manifest; default 512
	Files  int // files, those in folder layers included; default 4096
	// Size bounds the bytes of all layers together, and again those of all
	// files unpacked from folder layers; default 4 GiB. Apart from it, a
	// folder layer that unpacks to more than 64 MiB and more than 100 times
	// its own size is refused as a decompression bomb.
	Size int64
}

const (
	defaultMaxLayers = 512
	defaultMaxFiles  = 4096
	defaultMaxSize   = 4 << 30

	maxOCIManifest = 4 << 20 // what registries accept, by the distribution spec
	bombFloor      = 64 << 20
	bombRatio      = 100
)

// Progress is one report while a bundle is pulled or pushed.
type Progress struct {
	Path   string // title of the layer, which is the path of a file or folder; "OCI manifest" for that
	Digest string
	Done   int64 // bytes of this layer
	Total  int64
	Cached bool // the layer was there already and is not transferred
}

func newConfig(opts []Option) (*config, error) {
	c := &config{}
	for _, o := range opts {
		if o == nil {
			return nil, errors.New("nil option")
		}
		if err := o(c); err != nil {
			return nil, err
		}
	}
	if c.offline && c.requireFresh {
		return nil, errors.New("WithOffline and WithRequireFresh contradict each other")
	}
	if c.transport != nil && c.tls != nil {
		return nil, errors.New("WithTransport and WithTLSConfig exclude each other: the transport has its own TLS settings")
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.limits.Layers == 0 {
		c.limits.Layers = defaultMaxLayers
	}
	if c.limits.Files == 0 {
		c.limits.Files = defaultMaxFiles
	}
	if c.limits.Size == 0 {
		c.limits.Size = defaultMaxSize
	}
	if c.retries == 0 {
		c.retries = 5
	}
	if c.stall == 0 {
		c.stall = time.Minute
	}
	if c.parallel == 0 {
		c.parallel = 4
	}
	return c, nil
}

// WithCacheDir sets the directory of the cache. The default is
// [DefaultCacheDir].
func WithCacheDir(dir string) Option {
	return func(c *config) error {
		if dir == "" {
			return errors.New("WithCacheDir: the directory is empty")
		}
		c.cacheDir = dir
		return nil
	}
}

// WithCredentials sets user and password for the registry of the reference.
// Without it they come from OCI_USERNAME and OCI_PASSWORD, then from the
// credential files and helpers of docker and podman. They are never logged.
func WithCredentials(user, password string) Option {
	return func(c *config) error {
		if user == "" || password == "" {
			return errors.New("WithCredentials: user and password must both be given")
		}
		c.user, c.pass = user, password
		return nil
	}
}

// WithPlainHTTP says whether the registry speaks HTTP without TLS. The default
// is no, except for registries on this machine (localhost, 127.0.0.0/8, ::1).
func WithPlainHTTP(plain bool) Option {
	return func(c *config) error { c.plainHTTP = &plain; return nil }
}

// WithTLSConfig sets the TLS configuration for the registry, for instance a
// private certificate authority.
func WithTLSConfig(t *tls.Config) Option {
	return func(c *config) error { c.tls = t.Clone(); return nil }
}

// WithTransport sends the registry's requests through rt instead of a
// transport that this package makes and closes. Retries stay on top of it.
func WithTransport(rt http.RoundTripper) Option {
	return func(c *config) error { c.transport = rt; return nil }
}

// WithOffline never asks a registry: what is not in the cache is an error that
// matches [ErrOffline].
func WithOffline() Option { return func(c *config) error { c.offline = true; return nil } }

// WithRequireFresh makes it an error when the registry cannot be asked what a
// tag means now. Without it the digest that the tag meant last time is used,
// and [Bundle.Warnings] says so.
func WithRequireFresh() Option { return func(c *config) error { c.requireFresh = true; return nil } }

// WithStrict turns the warnings about a manifest (unknown and repeated fields)
// into errors.
func WithStrict() Option { return func(c *config) error { c.strict = true; return nil } }

// WithLogger sets a logger. The default is silence.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error { c.logger = l; return nil }
}

// WithProgress has fn called while layers are transferred. Calls come one at a
// time, but from several goroutines; fn must not block for long.
func WithProgress(fn func(Progress)) Option {
	return func(c *config) error {
		if fn == nil {
			c.progress = nil
			return nil
		}
		var mu sync.Mutex
		c.progress = func(p Progress) {
			mu.Lock()
			defer mu.Unlock()
			fn(p)
		}
		return nil
	}
}

// WithLimits replaces the limits on what a bundle may contain.
func WithLimits(l Limits) Option {
	return func(c *config) error {
		if l.Layers < 0 || l.Files < 0 || l.Size < 0 {
			return fmt.Errorf("WithLimits: negative limit in %+v", l)
		}
		c.limits = l
		return nil
	}
}

// WithRetries sets how often a request that failed for a reason that may pass
// (429, 5xx, a broken connection) is repeated, with growing pauses of up to
// 3 s, or after what the registry says by Retry-After, if that is within a
// minute. The default is 5, and a broken download goes on where it stopped if
// the registry can do that. n must be at least 1.
func WithRetries(n int) Option {
	return func(c *config) error {
		if n < 1 {
			return fmt.Errorf("WithRetries: %d is less than 1", n)
		}
		c.retries = n
		return nil
	}
}

// WithStallTimeout sets after how long without any byte a transfer is given
// up and tried again. The default is one minute.
func WithStallTimeout(d time.Duration) Option {
	return func(c *config) error {
		if d <= 0 {
			return fmt.Errorf("WithStallTimeout: %v is not positive", d)
		}
		c.stall = d
		return nil
	}
}

// WithParallel sets how many layers are transferred at once. The default is 4.
func WithParallel(n int) Option {
	return func(c *config) error {
		if n < 1 {
			return fmt.Errorf("WithParallel: %d is less than 1", n)
		}
		c.parallel = n
		return nil
	}
}

// WithTag sets the tag that [Create] gives the bundle in an OCI layout. The
// default is "latest".
func WithTag(tag string) Option {
	return func(c *config) error {
		if (registry.Reference{Reference: tag}).ValidateReferenceAsTag() != nil {
			return fmt.Errorf("WithTag: %q is no tag", tag)
		}
		c.tag = tag
		return nil
	}
}

func (c *config) tagOrDefault() string {
	if c.tag == "" {
		return "latest"
	}
	return c.tag
}

func (c *config) report(p Progress) {
	if c.progress != nil {
		c.progress(p)
	}
}

// systemCacheDir is where Jumpstarter's flasher drivers cache by default.
const systemCacheDir = "/var/lib/jumpstarter/flasher"

// DefaultCacheDir returns the cache directory that is used where none is
// given: /var/lib/jumpstarter/flasher if that can be made and written to, else
// dutflash/bundles in the user's cache directory.
func DefaultCacheDir() (string, error) {
	if os.PathSeparator == '/' && os.MkdirAll(systemCacheDir, 0o755) == nil {
		if f, err := os.CreateTemp(systemCacheDir, ".writable-*"); err == nil {
			f.Close()
			os.Remove(f.Name())
			return systemCacheDir, nil
		}
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory: %w; name one with WithCacheDir", err)
	}
	return filepath.Join(dir, "dutflash", "bundles"), nil
}

// store opens the cache.
func (c *config) store() (*blobstore.Store, error) {
	dir := c.cacheDir
	if dir == "" {
		var err error
		if dir, err = DefaultCacheDir(); err != nil {
			return nil, err
		}
	}
	s, err := blobstore.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("cache directory: %w", err)
	}
	return s, nil
}
