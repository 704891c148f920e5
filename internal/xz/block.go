package xz

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/dutflash/dutflash/internal/lzma2"
)

// stepSize is how much is decoded between two looks at the reader: small
// enough that the check is computed on bytes that are still in the cache.
const stepSize = 128 << 10

// block is one block on its way through the reader.
type block struct {
	number       int   // from 1, over all streams
	offset       int64 // of its header
	header       blockHeader
	check        checkType
	compressed   int64 // or unknown
	uncompressed int64 // or unknown
	chain        filterChain

	// src gives the compressed data, its padding and the check.
	src     io.Reader
	queue   *inputQueue // src, where the data is read ahead
	win     *window
	history []byte // the dictionary, where filters keep it apart from win
}

// decoder is what one goroutine needs to decode blocks.
type decoder struct {
	lzma2 lzma2.Decoder
	in    *bufio.Reader // for sections of a file
}

// run decodes b and tells its reader how that ended.
func (b *block) run(d *decoder) error {
	err := b.decode(d)
	if err != nil {
		err = b.wrap(err)
		b.win.finish(err)
	} else {
		b.win.finish(io.EOF)
	}
	if b.queue != nil {
		b.queue.drop()
	}
	return err
}

func (b *block) wrap(err error) error {
	switch {
	case errors.Is(err, ErrClosed):
		return err
	case errors.Is(err, lzma2.ErrCorrupt):
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	default:
		err = truncated(err)
	}
	return fmt.Errorf("xz: block %d at byte %d: %w", b.number, b.offset, err)
}

func (b *block) decode(d *decoder) error {
	src := b.src
	if s, ok := src.(*section); ok {
		if d.in == nil {
			d.in = bufio.NewReaderSize(s, pieceSize)
		}
		d.in.Reset(s)
		src = d.in
	}
	out, err := b.data(&d.lzma2, src)
	if err != nil {
		return err
	}
	// Sizes that are known may be looked at by the goroutine that found the
	// block, so they are not written again.
	if b.compressed == unknown {
		b.compressed = d.lzma2.Consumed()
	}
	if b.uncompressed == unknown {
		b.uncompressed = out
	}
	return nil
}

// data decodes the compressed data of b and verifies what follows it.
func (b *block) data(d *lzma2.Decoder, src io.Reader) (out int64, err error) {
	sum := newChecksum(b.check)
	ring := b.win.buf
	if b.chain != nil {
		ring = b.history
	}
	d.Reset(src, ring, b.header.dict)
	for {
		if out == b.uncompressed {
			if err := d.End(); err != nil {
				return out, err
			}
			break
		}
		room := stepSize
		if b.chain == nil {
			if room, err = b.win.space(); err != nil {
				return out, err
			}
			room = min(room, stepSize)
		}
		if b.uncompressed != unknown {
			room = int(min(int64(room), b.uncompressed-out))
		}
		p, err := d.Next(room)
		if err == io.EOF {
			break
		}
		if err != nil {
			return out, err
		}
		out += int64(len(p))
		if b.chain != nil {
			p = b.chain.push(p, false)
			sum.add(p)
			if err := b.win.write(p); err != nil {
				return out, err
			}
			continue
		}
		sum.add(p)
		b.win.publish(len(p))
	}
	if b.chain != nil {
		p := b.chain.push(nil, true)
		sum.add(p)
		if err := b.win.write(p); err != nil {
			return out, err
		}
	}
	n := d.Consumed()
	switch {
	case b.uncompressed != unknown && b.uncompressed != out:
		return out, corrupt("the block unpacks to %d bytes, where %d are announced", out, b.uncompressed)
	case b.compressed != unknown && b.compressed != n:
		return out, corrupt("the block has %d compressed bytes, where %d are announced", n, b.compressed)
	}
	return out, b.tail(sum, src, padding(n))
}

// tail reads the padding, of pad bytes, and the check behind the compressed
// data.
func (b *block) tail(sum *checksum, src io.Reader, pad int64) error {
	var buf [3 + 32]byte
	p := buf[:pad+b.check.size()]
	if _, err := io.ReadFull(src, p); err != nil {
		return err
	}
	for _, c := range p[:pad] {
		if c != 0 {
			return corrupt("the padding of the block is not zero")
		}
	}
	return sum.verify(p[pad:])
}

// unpadded is the size that the index lists for b.
func (b *block) unpadded() int64 {
	return b.header.size + b.compressed + b.check.size()
}
