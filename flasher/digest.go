package flasher

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/extents"
)

// digest is what the board and the host compute of each piece.
type digest struct {
	program string
	name    string // for people
	new     func() hash.Hash
	// weak says that other bytes can be made to have the same digest.
	weak bool
}

// digests are in the order of preference, as long as nothing was measured.
var digests = []digest{
	{"sha256sum", "SHA-256", sha256.New, false},
	{"sha512sum", "SHA-512", sha512.New, false},
	{"md5sum", "MD5", md5.New, true},
}

func (d digest) sum(b []byte) string {
	h := d.new()
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

// pickDigest returns the first digest that the board has.
func pickDigest(tools busybox.Tools) (digest, error) {
	programs := make([]string, len(digests))
	for i, d := range digests {
		programs[i] = d.program
	}
	name, err := tools.Pick(programs...)
	if err != nil {
		return digest{}, err
	}
	for _, d := range digests {
		if d.program == name {
			return d, nil
		}
	}
	return digest{}, fmt.Errorf("no digest is computed by %q", name)
}

// worthTiming is the least size of an image for which the board's digests are timed:
// smaller ones are read before that pays off.
const worthTiming = 128 << 20

// otherDigest returns a second strong digest that the board has, where it is worth to find
// out which it computes sooner: without instructions for either, most 64-bit processors
// are faster by SHA-512 than by SHA-256, and 32-bit ones are slower.
func (w *writer) otherDigest() (d digest, ok bool) {
	unused := w.f.cfg.verify == VerifyNone && w.f.cfg.writeAll
	if unused || w.digest.weak || w.image.Size() < worthTiming {
		return digest{}, false
	}
	for _, d := range digests {
		if !d.weak && d.program != w.digest.program && w.tools.Has(d.program) {
			return d, true
		}
	}
	return digest{}, false
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
