package image

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// PrepareOption changes what [Prepare], [Stream] and [Inspect] do. An option
// that has no meaning for one of them is an error there.
type PrepareOption func(*prepareConfig) error

type prepareConfig struct {
	cacheDir   string
	cacheLimit int64
	sha256     string
	sums       []byte
	sumsName   string
	chunk      int64
	maxSize    int64
	reader     []ReaderOption
	log        *slog.Logger
	progress   func(Progress)
	bmap       Source
	noBmap     bool
}

// Progress is one report while an image is read.
type Progress struct {
	SourceBytes int64 // read of the file as stored
	SourceSize  int64 // -1 if not known
	RawBytes    int64 // of the raw image that are ready
	// Cached: found in the cache, or prepared by somebody else at the same time,
	// and only verified; SourceBytes is then 0.
	Cached bool
}

// DefaultMaxSize is the raw size that is too large to be an image for a board
// unless [WithMaxSize] says otherwise. It stops decompression bombs.
const DefaultMaxSize = 256 << 30

// DefaultChunkSize is the size of chunks unless [WithChunkSize] says otherwise.
const DefaultChunkSize = 4 << 20

// DefaultCacheLimit is how many bytes of prepared images, holes not counted, a
// cache keeps unless [WithCacheLimit] says otherwise.
const DefaultCacheLimit = 50 << 30

// WithCacheDir keeps prepared images in the folder "images" of dir. The default
// dir is "dutflash" in os.UserCacheDir. Several processes may share one.
func WithCacheDir(dir string) PrepareOption {
	return func(c *prepareConfig) error {
		if dir == "" {
			return fmt.Errorf("%w: the cache directory is empty", ErrInvalid)
		}
		c.cacheDir = dir
		return nil
	}
}

// WithCacheLimit sets how many bytes of prepared images, holes not counted, the
// cache keeps when another one has been added. The least recently used go
// first; those in use by any process stay, also above the limit. 0 keeps none
// but those in use.
func WithCacheLimit(bytes int64) PrepareOption {
	return func(c *prepareConfig) error {
		if bytes < 0 {
			return fmt.Errorf("%w: cache limit of %d bytes", ErrInvalid, bytes)
		}
		c.cacheLimit = bytes
		return nil
	}
}

// WithSHA256 gives the digest, in hex, that the file as stored must have
// (compressed, if it is). Anything else is [ErrChecksum].
func WithSHA256(sum string) PrepareOption {
	return func(c *prepareConfig) error {
		b, err := hex.DecodeString(sum)
		if err != nil || len(b) != 32 {
			return fmt.Errorf("%w: %q is not a SHA-256 of 64 hex digits", ErrInvalid, sum)
		}
		if c.sums != nil {
			return fmt.Errorf("%w: both a SHA-256 and a file with it are given", ErrInvalid)
		}
		c.sha256 = strings.ToLower(sum)
		return nil
	}
}

// WithSHA256File takes the digest of the file as stored from a file as sha256sum
// and sha256sum --tag write it; the line that has the base name of the image
// counts. A file with nothing but one digest is taken as it is.
func WithSHA256File(path string) PrepareOption {
	return func(c *prepareConfig) error {
		if c.sha256 != "" {
			return fmt.Errorf("%w: both a SHA-256 and a file with it are given", ErrInvalid)
		}
		st, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("checksum file: %w", notFound(err))
		}
		if st.Size() > 16<<20 {
			return fmt.Errorf("%w: checksum file %s has %d bytes", ErrInvalid, path, st.Size())
		}
		c.sums, err = os.ReadFile(path)
		c.sumsName = filepath.Base(path)
		if err == nil && len(c.sums) == 0 {
			err = fmt.Errorf("%w: checksum file %s is empty", ErrInvalid, path)
		}
		return err
	}
}

// WithChunkSize sets the size of chunks in bytes: a power of two from 64 KiB to
// 64 MiB. The default is [DefaultChunkSize].
func WithChunkSize(n int64) PrepareOption {
	return func(c *prepareConfig) error {
		if n < 64<<10 || n > 64<<20 || n&(n-1) != 0 {
			return fmt.Errorf("%w: chunk size %d, must be a power of two from 64 KiB to 64 MiB", ErrInvalid, n)
		}
		c.chunk = n
		return nil
	}
}

// WithMaxSize refuses raw images of more than n bytes with [ErrTooLarge], as
// soon as that is known. The default is [DefaultMaxSize].
func WithMaxSize(n int64) PrepareOption {
	return func(c *prepareConfig) error {
		if n < 1 {
			return fmt.Errorf("%w: maximal size of %d bytes", ErrInvalid, n)
		}
		c.maxSize = n
		return nil
	}
}

// WithMemoryLimit is [DecodeMemoryLimit]. Five chunks come on top.
func WithMemoryLimit(n int64) PrepareOption { return withReader(DecodeMemoryLimit(n)) }

// WithWorkers is [DecodeWorkers].
func WithWorkers(n int) PrepareOption { return withReader(DecodeWorkers(n)) }

func withReader(o ReaderOption) PrepareOption {
	return func(c *prepareConfig) error {
		if err := o(&readerConfig{}); err != nil {
			return err
		}
		c.reader = append(c.reader, o)
		return nil
	}
}

// WithLogger logs what is done. The default is silence.
func WithLogger(l *slog.Logger) PrepareOption {
	return func(c *prepareConfig) error {
		if l == nil {
			return fmt.Errorf("%w: the logger is nil", ErrInvalid)
		}
		c.log = l
		return nil
	}
}

// WithProgress calls f from one goroutine after each chunk, or each Read of a
// stream. It must not block,
// nor call methods of the Prepared that wait.
func WithProgress(f func(Progress)) PrepareOption {
	return func(c *prepareConfig) error {
		if f == nil {
			return fmt.Errorf("%w: the progress function is nil", ErrInvalid)
		}
		c.progress = f
		return nil
	}
}

func newPrepareConfig(opts []PrepareOption) (*prepareConfig, error) {
	c := &prepareConfig{chunk: DefaultChunkSize, maxSize: DefaultMaxSize, cacheLimit: DefaultCacheLimit,
		log: slog.New(slog.DiscardHandler), progress: func(Progress) {}}
	for _, o := range opts {
		if err := o(c); err != nil {
			return nil, err
		}
	}
	c.reader = append(c.reader, DecodeLogger(c.log))
	return c, nil
}

// dir returns the directory of prepared images.
func (c *prepareConfig) dir() (string, error) {
	if c.cacheDir != "" {
		return filepath.Join(c.cacheDir, "images"), nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: there is no cache directory for this user, give one with WithCacheDir: %w", ErrInvalid, err)
	}
	return filepath.Join(base, "dutflash", "images"), nil
}

// wanted returns the digest that the user demands of the file called name, "" if
// none.
func (c *prepareConfig) wanted(name string) (string, error) {
	if c.sums == nil {
		return c.sha256, nil
	}
	return findSum(string(c.sums), c.sumsName, name)
}
