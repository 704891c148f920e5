package flasher

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/extents"
)

// digests are what the board and the host compute of each piece, in the order of
// preference as long as nothing was measured.
var digests = []extents.Digest{extents.SHA256, extents.SHA512, extents.MD5}

// pickDigest returns the first digest that the board has.
func pickDigest(tools busybox.Tools) (extents.Digest, error) {
	programs := make([]string, len(digests))
	for i, d := range digests {
		programs[i] = d.Program
	}
	name, err := tools.Pick(programs...)
	if err != nil {
		return extents.Digest{}, err
	}
	for _, d := range digests {
		if d.Program == name {
			return d, nil
		}
	}
	return extents.Digest{}, fmt.Errorf("no digest is computed by %q", name)
}

// worthTiming is the least size of an image for which the board's digests are timed:
// smaller ones are read before that pays off.
const worthTiming = 128 << 20

// otherDigest returns a second strong digest that the board has, where it is worth to find
// out which it computes sooner, else one without a program. Without instructions for
// either, most 64-bit processors are faster by SHA-512 than by SHA-256, and 32-bit ones are
// slower.
func (w *writer) otherDigest() extents.Digest {
	unused := w.f.cfg.verify == VerifyNone && w.f.cfg.writeAll
	if unused || w.digest.Weak || w.image.Size() < worthTiming {
		return extents.Digest{}
	}
	for _, d := range digests {
		if !d.Weak && d.Program != w.digest.Program && w.tools.Has(d.Program) {
			return d
		}
	}
	return extents.Digest{}
}

// tellTiming logs once how quick the digests are.
func (w *writer) tellTiming(p *extents.Plan) {
	speeds := p.DigestSpeeds()
	if len(speeds) == 0 || w.toldTiming {
		return
	}
	w.toldTiming = true
	args := []any{"digest", p.Digest()}
	for _, program := range slices.Sorted(maps.Keys(speeds)) {
		args = append(args, program+"_megabytes_per_second", megabytes(speeds[program]))
	}
	w.f.cfg.log.Info("Timed the board's digests", args...)
}
