package extents

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
)

// Range is a stretch of the device.
type Range struct{ Offset, Length int64 }

// A range costs the board a process, and a request, a digest or a flush of its own
// some more, so that what a block map has of small pieces is carried out some dozens
// at a time.
const (
	smallPiece = 256 << 10 // is put together with its neighbours
	maxGather  = 4 << 20   // bytes of what is put together
	maxRanges  = 32        // of one chunk, and about of one task
)

// gather makes the plan's chunks. Small ones that follow each other, with or
// without gaps between, become one of several ranges, whose digest is that of
// their bytes one after the other.
func gather(given []Chunk) []chunk {
	var chunks []chunk
	for i := 0; i < len(given); {
		n := together(given[i:])
		c := chunk{Chunk: given[i], given: given[i : i+n], index: len(chunks)}
		c.Size = 0
		for _, g := range given[i : i+n] {
			c.ranges = join(c.ranges, Range{g.Offset, g.Size})
			c.Zero = c.Zero && g.Zero
			c.Size += g.Size
		}
		chunks = append(chunks, c)
		i += n
	}
	return chunks
}

// where is the place of a chunk for people.
func (c *chunk) where() string {
	if n := len(c.ranges); n > 1 {
		return fmt.Sprintf("%d bytes in %d places from offset %d on", c.Size, n, c.Offset)
	}
	return fmt.Sprintf("%d bytes at offset %d", c.Size, c.Offset)
}

// together returns how many of the first chunks become one.
func together(given []Chunk) int {
	var bytes int64
	for i, g := range given {
		bytes += g.Size
		// Only the last piece of an image is no whole sectors, and dd reads
		// its input in such.
		if g.Size >= smallPiece || g.Size%512 != 0 || i == maxRanges || bytes > maxGather {
			return max(i, 1)
		}
	}
	return len(given)
}

// join appends a range to those that end before it.
func join(ranges []Range, r Range) []Range {
	if n := len(ranges); n > 0 && ranges[n-1].Offset+ranges[n-1].Length == r.Offset {
		ranges[n-1].Length += r.Length
		return ranges
	}
	return append(ranges, r)
}

// sumOf digests chunks of the image, one after the other. It takes no lock. What it
// reads is compared with the chunks' SHA-256: otherwise an image that changed since
// would be sent, and proved by a digest of what it changed into.
func (p *Plan) sumOf(chunks []*chunk, d Digest) (string, error) {
	if d.Program == SHA256.Program && len(chunks) == 1 && len(chunks[0].given) == 1 {
		return hex.EncodeToString(chunks[0].given[0].SHA256[:]), nil
	}
	h, known := d.New(), sha256.New()
	var buf []byte
	for _, c := range chunks {
		for _, g := range c.given {
			if g.Zero {
				io.CopyN(h, zeros{}, g.Size)
				continue
			}
			if buf == nil {
				buf = make([]byte, 256<<10)
			}
			known.Reset()
			n, err := io.CopyBuffer(both{h, known}, io.NewSectionReader(p.cfg.Image, g.Offset, g.Size), buf)
			if err == nil && n < g.Size {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return "", fmt.Errorf("read the image at %d: %w", g.Offset+n, err)
			}
			if sum := known.Sum(nil); !bytes.Equal(sum, g.SHA256[:]) {
				return "", fmt.Errorf("%w: SHA-256 of %d bytes at offset %d was %x and is %x", ErrImage, g.Size, g.Offset, g.SHA256, sum)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// zeros reads as zeros without end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// both writes to two digests. Unlike [io.MultiWriter] it has no way to fail, and
// unlike them no ReadFrom, so that the buffer is used.
type both [2]hash.Hash

func (b both) Write(p []byte) (int, error) {
	b[0].Write(p)
	return b[1].Write(p)
}

// rangesText is how the board's script reads ranges: offset:length+offset:length.
func rangesText(ranges []Range) string {
	parts := make([]string, len(ranges))
	for i, r := range ranges {
		parts[i] = fmt.Sprintf("%d:%d", r.Offset, r.Length)
	}
	return strings.Join(parts, "+")
}
