package flasher

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"github.com/dutflash/dutflash/busybox"
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

const (
	// worthTiming is the least size of an image for which the board's digests are
	// timed: smaller ones are read before that pays off.
	worthTiming = 128 << 20
	// clearlyQuicker is how many times as fast another digest has to be: the host
	// has to read the image once more for it.
	clearlyQuicker = 1.15
	// timingMemory is what the board must have available for the file that is digested.
	timingMemory = 64 << 20
)

// timeDigests has the board digest a file of zeros in /tmp with each of some programs,
// three times in turn, so that what else it does meanwhile slows all of them, and prints
// the program, how many blocks of 256 KiB and how many hundredths of a second. What is
// over too soon for that clock is done again with more. Where it is killed, the file goes
// with what the extents' script finds of an earlier one's.
const timeDigests = `(clock() { read -r up rest </proc/uptime && up=${up%%%%.*}${up#*.} && up=${up#0}; }
mkdir -p /tmp && f=$(mktemp /tmp/dutflash-extents.XXXXXX) || exit 0
trap 'rm -f "$f"' EXIT
n=12; set -- %s
while dd if=/dev/zero of="$f" bs=262144 count=$n 2>/dev/null && clock; do
begun=$up
for round in 1 2 3; do
for d; do
clock && a=$up && $d <"$f" >/dev/null && clock || exit 0
echo "$d $n $((up-a))"
done
done
[ $((up-begun)) -lt 18 ] && [ $n -lt 48 ] || break
n=$((n*4))
done)`

// quickestDigest changes the digest to a strong one that this board computes clearly
// sooner: without instructions for either, most 64-bit processors are faster by
// SHA-512 than by SHA-256, and 32-bit ones are slower.
func (w *writer) quickestDigest(ctx context.Context) error {
	unused := w.f.cfg.verify == VerifyNone && w.f.cfg.writeAll
	if unused || w.digest.weak || w.image.Size() < worthTiming || w.tools.Memory < timingMemory {
		return nil
	}
	var strong []string
	for _, d := range digests {
		if !d.weak && w.tools.Has(d.program) {
			strong = append(strong, d.program)
		}
	}
	if len(strong) < 2 {
		return nil
	}
	out, err := w.shell.Run(ctx, fmt.Sprintf(timeDigests, strings.Join(strong, " ")))
	if err != nil {
		return err
	}
	t := parseDigestTimes(out)
	w.digest = t.quickest(w.digest)
	args := []any{"digest", w.digest.program}
	for _, p := range strong {
		args = append(args, p+"_megabytes_per_second", megabytes(t.rate(p)))
	}
	w.f.cfg.log.Info("Timed the board's digests", args...)
	return nil
}

// digestTimes are the sums of what timeDigests said of each program, with the most
// blocks that it came to.
type digestTimes map[string]struct{ blocks, ticks int64 }

func parseDigestTimes(out string) digestTimes {
	t, most := digestTimes{}, int64(0)
	for line := range strings.Lines(out) {
		var program string
		var blocks, ticks int64
		if n, _ := fmt.Sscan(line, &program, &blocks, &ticks); n < 3 || blocks < max(most, 1) || ticks < 0 {
			continue
		}
		if blocks > most {
			most, t = blocks, digestTimes{}
		}
		sum := t[program]
		sum.blocks += blocks
		sum.ticks += ticks
		t[program] = sum
	}
	return t
}

// rate is in bytes per second, 0 where it is not known.
func (t digestTimes) rate(program string) int64 {
	sum := t[program]
	return sum.blocks * (256 << 10) * 100 / max(sum.ticks, 1)
}

// quickest returns the strong digest that is clearly quicker than d, or d. The sums
// may be wrong by a tick.
func (t digestTimes) quickest(d digest) digest {
	for _, o := range digests {
		a, b := t[d.program], t[o.program]
		if !o.weak && a.blocks > 0 && a.blocks == b.blocks && float64(a.ticks-1) >= clearlyQuicker*float64(b.ticks) {
			d = o
		}
	}
	return d
}
