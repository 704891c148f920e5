package flasher

import (
	"bytes"
	"crypto/sha256"

	"github.com/dutflash/dutflash/internal/extents"
	"github.com/dutflash/dutflash/transport/image"
)

// chunks returns what is to be on the device: the image's chunks, or where it
// has a block map, the parts of them that the map covers; nil is no map.
func (w *writer) chunks(mapped []image.Extent) ([]extents.Chunk, error) {
	whole := mapped == nil
	zeros := map[int64][sha256.Size]byte{}
	var chunks []extents.Chunk
	for _, c := range w.image.Chunks() {
		for len(mapped) > 0 && mapped[0].Offset+mapped[0].Size <= c.Offset {
			mapped = mapped[1:]
		}
		if whole {
			ec := extents.Chunk{Offset: c.Offset, Size: c.Size, Zero: c.Zero, SHA256: c.SHA256}
			if c.Zero {
				ec.SHA256 = zeroSum(zeros, c.Size)
			}
			chunks = append(chunks, ec)
			continue
		}
		for _, m := range mapped {
			if m.Offset >= c.Offset+c.Size {
				break
			}
			ec, err := w.cut(c, m, zeros)
			if err != nil {
				return nil, err
			}
			chunks = append(chunks, ec)
		}
	}
	return chunks, nil
}

// cut returns the part of a chunk that lies in a mapped stretch.
func (w *writer) cut(c image.Chunk, m image.Extent, zeros map[int64][sha256.Size]byte) (extents.Chunk, error) {
	start, end := max(c.Offset, m.Offset), min(c.Offset+c.Size, m.Offset+m.Size)
	ec := extents.Chunk{Offset: start, Size: end - start, Zero: c.Zero, SHA256: c.SHA256}
	if !c.Zero && ec.Size < c.Size {
		b := make([]byte, ec.Size)
		if n, err := w.image.ReadAt(b, start); int64(n) < ec.Size {
			return ec, err
		}
		ec.Zero, ec.SHA256 = len(bytes.TrimLeft(b, "\x00")) == 0, sha256.Sum256(b)
	}
	if ec.Zero {
		ec.SHA256 = zeroSum(zeros, ec.Size)
	}
	return ec, nil
}

func zeroSum(sums map[int64][sha256.Size]byte, size int64) [sha256.Size]byte {
	sum, ok := sums[size]
	if !ok {
		sum = sha256.Sum256(make([]byte, size))
		sums[size] = sum
	}
	return sum
}

// unmapped is how many bytes of the image its block map leaves out.
func (w *writer) unmapped() int64 {
	extents := w.image.Mapped()
	if extents == nil {
		return 0
	}
	n := w.image.Size()
	for _, e := range extents {
		n -= e.Size
	}
	return n
}

// noteMapped says in the result what a block map means for it.
func (w *writer) noteMapped() {
	left := w.unmapped()
	switch {
	case left == 0:
	case w.res.Method == MethodExtents:
		w.res.UnprovedBytes = left
		w.f.cfg.log.Info("The block map leaves a part of the target as it was", "bytes", left)
	default:
		w.res.Warnings = append(w.res.Warnings, "the block map was not used: method "+string(w.res.Method)+" writes the whole image")
	}
}
