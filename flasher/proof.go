package flasher

import (
	"context"
	"encoding/hex"
	"io"
)

// The proof is by SHA-256. A weaker digest that the board computes sooner would not
// help: what it finds equal had to be read again by SHA-256 to be proved. Only where
// the board has no sha256sum is it by MD5, and the result says so.

// chooseDigest finds what the board digests with, before anything is written.
func (w *writer) chooseDigest() error {
	w.digest = digests[0]
	programs := make([]string, len(digests))
	for i, d := range digests {
		programs[i] = d.program
	}
	name, err := w.tools.Pick(programs...)
	if err != nil {
		if w.f.cfg.verify == VerifyNone {
			return nil // the method must do without
		}
		return err
	}
	for _, d := range digests {
		if d.program == name {
			w.digest = d
		}
	}
	return nil
}

// imageSum returns the digest of the whole image that the board's is compared with.
func (w *writer) imageSum(ctx context.Context) (string, error) {
	if w.digest.program == digests[0].program {
		return w.image.SHA256(), nil
	}
	h := w.digest.new()
	buf := make([]byte, 1<<20)
	for r := io.NewSectionReader(w.image, 0, w.image.Size()); ; {
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
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

// proved notes in the result that the whole image was found on the device.
func (w *writer) proved() {
	w.res.ProofDigest = w.digest.program
	if w.digest.program != digests[0].program {
		w.res.Warnings = append(w.res.Warnings, "the board has no "+digests[0].program+": what is on the device was compared by "+w.digest.name+
			", which tells from it any accident, but not another image made to have the same "+w.digest.name)
		w.f.cfg.log.Warn("The device holds the image, as far as "+w.digest.name+" can tell", "bytes", w.res.ProvedBytes)
		return
	}
	w.res.SHA256 = w.image.SHA256()
	w.f.cfg.log.Info("The device holds the image", "sha256", w.res.SHA256)
}
