package flasher

import (
	"compress/gzip"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// unpack undoes one layer of compression, and only the one that was asked for:
// what is on a disk may look like anything.
func unpack(codec string, r io.Reader) (io.ReadCloser, error) {
	switch codec {
	case CompressNone:
		return io.NopCloser(r), nil
	case CompressGzip:
		return gzip.NewReader(r)
	case CompressLZ4:
		return io.NopCloser(lz4.NewReader(r)), nil
	case CompressZstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("compression %q is not known", codec)
}

// codecChoice finds the fastest way from the board's memory into ours: each is
// tried with a piece, then the best is used. A board with a fast network sends
// as it is, one with a fast CPU compresses.
type codecChoice struct {
	untried []string
	rates   map[string]float64 // bytes per second
	best    string
}

func newCodecChoice(codecs []string) codecChoice {
	c := codecChoice{untried: codecs, rates: map[string]float64{}, best: codecs[0]}
	if len(codecs) == 1 {
		c.untried = nil // there is nothing to choose
	}
	return c
}

func (c *codecChoice) measuring() bool { return len(c.untried) > 0 }

// next is what the next piece is sent with.
func (c *codecChoice) next() string {
	if c.measuring() {
		return c.untried[0]
	}
	return c.best
}

// took notes how long a piece took.
func (c *codecChoice) took(codec string, size int64, d time.Duration) {
	if !c.measuring() || codec != c.untried[0] {
		return
	}
	c.untried = c.untried[1:]
	c.rates[codec] = float64(size) / max(d.Seconds(), 1e-6)
	if c.rates[codec] > c.rates[c.best] {
		c.best = codec
	}
}

// failed drops a codec that did not get a piece through while it is measured,
// unless it is the last.
func (c *codecChoice) failed(codec string) {
	if c.measuring() && codec == c.untried[0] && (len(c.untried) > 1 || len(c.rates) > 0) {
		c.untried = c.untried[1:]
		if c.best == codec && c.measuring() {
			c.best = c.untried[0]
		}
	}
}
