package flasher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/dutflash/dutflash/transport/image"
)

// The proof is by SHA-256, or by SHA-512 where the board computes that sooner or has
// nothing else: then the host digests, in the same way, bytes whose SHA-256 it compares
// while it reads them. A weak digest that the board computes sooner would not help:
// what it finds equal had to be read again by a strong one to be proved. Only where the
// board has no strong one is it by MD5, and the result says so.

// chooseDigest finds what the board digests with, before anything is written.
func (w *writer) chooseDigest() error {
	d, err := pickDigest(w.tools)
	if err != nil && w.f.cfg.verify == VerifyNone {
		d, err = digests[0], nil // the method must do without
	}
	w.digest = d
	return err
}

// imageSum returns the digest of the whole image that the board's is compared with.
func (w *writer) imageSum(ctx context.Context) (string, error) {
	if w.digest.Program == digests[0].Program {
		return w.image.SHA256(), nil
	}
	h, known := w.digest.New(), sha256.New()
	buf := make([]byte, 1<<20)
	for r := io.NewSectionReader(w.image, 0, w.image.Size()); ; {
		n, err := r.Read(buf)
		h.Write(buf[:n])
		known.Write(buf[:n])
		if err == io.EOF {
			if sum := hex.EncodeToString(known.Sum(nil)); sum != w.image.SHA256() {
				return "", fmt.Errorf("%w: SHA-256 was %s and is %s", image.ErrChanged, w.image.SHA256(), sum)
			}
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return "", err
		}
	}
}

// proved notes in the result that the whole image was found on the device, by digests
// that these programs computed.
func (w *writer) proved(programs ...string) {
	w.res.ProofDigest = strings.Join(programs, ", ")
	if w.digest.Weak {
		w.res.Warnings = append(w.res.Warnings, "the board has neither sha256sum nor sha512sum: what is on the device was compared by "+w.digest.Name()+
			", which tells from it any accident, but not another image made to have the same "+w.digest.Name())
		w.f.cfg.log.Warn("The device holds the image, as far as "+w.digest.Name()+" can tell", "bytes", w.res.ProvedBytes)
		return
	}
	w.res.SHA256 = w.image.SHA256()
	w.f.cfg.log.Info("The device holds the image", "sha256", w.res.SHA256, "by", w.res.ProofDigest)
}
