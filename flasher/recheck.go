package flasher

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/dutflash/dutflash/internal/extents"
)

const (
	// recheckPiece is how many bytes are read a second time in one place.
	recheckPiece = 64 << 10
	// recheckPieces is in how many places.
	recheckPieces = 32
)

// recheck reads pieces of the device again when everything is written. Chunks are
// read back while others are written still, so a medium that has less than it
// claims, on which what is written at its end falls on its beginning, would pass:
// what was right when it was read back is overwritten later. The first and the
// last piece of the image are always among them: on such a medium one of the two
// is wrong, whichever was written later.
func (w *writer) recheck(ctx context.Context) error {
	chunks, err := w.chunks()
	if err != nil {
		return err
	}
	offsets := recheckOffsets(chunks)
	if len(offsets) == 0 {
		return nil
	}
	device, err := w.hold(ctx, w.device)
	if err != nil {
		return err
	}
	var blocks strings.Builder
	all := w.digest.new()
	sums := make([]string, len(offsets))
	piece := make([]byte, recheckPiece)
	for i, off := range offsets {
		fmt.Fprintf(&blocks, " %d", off/recheckPiece)
		if _, err := w.image.ReadAt(piece, off); err != nil {
			return err
		}
		all.Write(piece)
		sums[i] = w.digest.sum(piece)
	}
	read := fmt.Sprintf("dd if=%s bs=%d skip=$b count=1 %s 2>/dev/null", device, recheckPiece, w.inputFlags())
	// One digest for all of them saves the board most of the processes.
	out, err := w.shell.Run(ctx, fmt.Sprintf(w.dropCaches()+"for b in%s; do %s; done | %s", blocks.String(), read, w.digest.program))
	if err != nil {
		return err
	}
	if got, _, _ := strings.Cut(strings.TrimSpace(out), " "); got == hex.EncodeToString(all.Sum(nil)) {
		return nil
	}
	if out, err = w.shell.Run(ctx, fmt.Sprintf("for b in%s; do %s | %s; done", blocks.String(), read, w.digest.program)); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(offsets) {
		return fmt.Errorf("%w: reading %d pieces again gave %d digests", ErrVerify, len(offsets), len(lines))
	}
	for i, off := range offsets {
		if got, _, _ := strings.Cut(lines[i], " "); got != sums[i] {
			return fmt.Errorf("%w: %d bytes at offset %d were right when they were read back, and are not any more: %s of the device is %s, of the image %s (a medium that has less than it claims does this)",
				ErrVerify, recheckPiece, off, w.digest.name, got, sums[i])
		}
	}
	return fmt.Errorf("%w: %d pieces that were read again had another digest, and each by itself the right one: the device reads differently each time", ErrVerify, len(offsets))
}

// recheckOffsets chooses whole pieces that lie in chunks, evenly spread over them
// from the first to the last.
func recheckOffsets(chunks []extents.Chunk) []int64 {
	var pieces int64
	within := func(c extents.Chunk) (first, n int64) {
		first = (c.Offset + recheckPiece - 1) / recheckPiece
		return first, max(0, (c.Offset+c.Size)/recheckPiece-first)
	}
	for _, c := range chunks {
		_, n := within(c)
		pieces += n
	}
	var offsets []int64
	before := int64(0) // pieces of the chunks before
	for _, c := range chunks {
		first, n := within(c)
		for len(offsets) < recheckPieces {
			next := int64(len(offsets)) * (pieces - 1) / (recheckPieces - 1)
			if pieces <= recheckPieces {
				next = int64(len(offsets))
			}
			if next >= before+n || next >= pieces {
				break
			}
			offsets = append(offsets, (first+next-before)*recheckPiece)
		}
		before += n
	}
	return offsets
}
