package image

import (
	"fmt"
	"log/slog"
	"runtime"
)

// ReaderOption changes how [NewReader] decodes.
type ReaderOption func(*readerConfig) error

type readerConfig struct {
	file *randomAccess // the data as a file, where it is one
	// refused is called where there will be no Reader, before the Read that is going
	// on is waited for: it may wait for a source that has nothing more to say.
	refused func(error)

	workers int
	memory  int64
	name    string
	tar     bool // an archive passes as raw
	log     *slog.Logger
	warn    func(string) // takes a warning to Reader.Warnings and to log
}

// DefaultMemoryLimit bounds the buffers of a decoder unless an option says
// otherwise. It is enough for two blocks of xz -9 at the same time, and for
// zstd --long; what xz -6 and less and other formats write takes far less
// (BenchmarkMemory).
const DefaultMemoryLimit = 192 << 20

// DecodeWorkers sets how many goroutines decode at the same time where a format
// allows it (xz with several blocks, zstd): 1 to 256. The default is
// runtime.GOMAXPROCS(0).
func DecodeWorkers(n int) ReaderOption {
	return func(c *readerConfig) error {
		if n < 1 || n > 256 {
			return fmt.Errorf("%w: %d decode workers, must be 1 to 256", ErrInvalid, n)
		}
		c.workers = n
		return nil
	}
}

// DecodeMemoryLimit bounds, in bytes, the dictionaries and blocks that decoding
// holds, at least 1 MiB; about 10 MiB of fixed buffers come on top. Data that
// needs more is [ErrTooLarge]. The default is [DefaultMemoryLimit].
func DecodeMemoryLimit(n int64) ReaderOption {
	return func(c *readerConfig) error {
		if n < 1<<20 {
			return fmt.Errorf("%w: decode memory limit of %d bytes, must be at least 1 MiB", ErrInvalid, n)
		}
		c.memory = n
		return nil
	}
}

// DecodeName sets the name that errors give the data.
func DecodeName(name string) ReaderOption {
	return func(c *readerConfig) error {
		c.name = name
		return nil
	}
}

// DecodeLogger logs what [Reader.Warnings] tells, when it is found. The default
// is silence.
func DecodeLogger(l *slog.Logger) ReaderOption {
	return func(c *readerConfig) error {
		if l == nil {
			return fmt.Errorf("%w: the logger is nil", ErrInvalid)
		}
		c.log = l
		return nil
	}
}

func newReaderConfig(opts []ReaderOption) (*readerConfig, error) {
	c := &readerConfig{log: slog.New(slog.DiscardHandler)}
	for _, o := range opts {
		if err := o(c); err != nil {
			return nil, err
		}
	}
	if c.workers == 0 {
		c.workers = min(runtime.GOMAXPROCS(0), 256)
	}
	if c.memory == 0 {
		c.memory = DefaultMemoryLimit
	}
	return c, nil
}

// onRefusal sets what is done where the data is refused at once.
func onRefusal(f func(error)) ReaderOption {
	return func(c *readerConfig) error {
		c.refused = f
		return nil
	}
}

// inner is the configuration of what is inside another format: no file has
// those bytes.
func (c *readerConfig) inner() *readerConfig {
	in := *c
	in.file = nil
	return &in
}
