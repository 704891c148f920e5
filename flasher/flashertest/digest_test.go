package flashertest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/flasher/flashertest"
)

// TestBoardWithoutSHA256: a board that has only sha512sum proves as much by that, and
// one that has only md5sum is proved by it, and the result does not claim more.
func TestBoardWithoutSHA256(t *testing.T) {
	t.Parallel()
	path, raw := image(t, 12*mib+512)
	sum := sha256.Sum256(raw)
	for _, tc := range []struct {
		program, algorithm string
		without            []string
		sha256             string
	}{
		{"sha512sum", "SHA-512", []string{"sha256sum"}, hex.EncodeToString(sum[:])},
		{"md5sum", "MD5", []string{"sha256sum", "sha512sum"}, ""},
	} {
		for _, method := range []flasher.Method{flasher.MethodExtents, flasher.MethodStream} {
			for _, flip := range []bool{false, true} {
				name := tc.program + ", " + string(method)
				faults := flashertest.Faults{}
				if flip {
					name += ", one bit wrong"
					faults.FlipAt = []int64{3*mib + 17}
				}
				t.Run(name, func(t *testing.T) {
					b, err := flashertest.NewBoard(flashertest.WithoutTools(tc.without...), flashertest.WithFaults(faults))
					if err != nil {
						t.Fatal(err)
					}
					defer b.Close()
					res, err := newFlasher(t, b, flasher.WithMethod(method)).Flash(t.Context(), path)
					if flip {
						if !errors.Is(err, flasher.ErrVerify) || !strings.Contains(err.Error(), tc.algorithm) {
							t.Errorf("got %v, want ErrVerify by %s", err, tc.algorithm)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					warned := strings.Contains(strings.Join(res.Warnings, "\n"), "sha256sum")
					if res.SHA256 != tc.sha256 || res.ProofDigest != tc.program || res.ProvedBytes != int64(len(raw)) || warned != (tc.sha256 == "") {
						t.Errorf("SHA256 %q, proof %q, %d bytes proved, warnings %q", res.SHA256, res.ProofDigest, res.ProvedBytes, res.Warnings)
					}
					got := make([]byte, len(raw))
					if _, err := b.Disk().ReadAt(got, 0); err != nil || string(got) != string(raw) {
						t.Errorf("the disk does not hold the image (%v)", err)
					}
				})
			}
		}
	}
}

// TestBoardWithoutDigest: what could not be proved is refused before it is written.
func TestBoardWithoutDigest(t *testing.T) {
	t.Parallel()
	path, raw := image(t, 6*mib)
	b, err := flashertest.NewBoard(flashertest.WithoutTools("sha256sum", "sha512sum", "md5sum"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var typed *flasher.Error
	_, err = newFlasher(t, b).Flash(t.Context(), path)
	if !errors.As(err, &typed) || typed.Step != flasher.StepTarget || !errors.Is(err, busybox.ErrNoTool) {
		t.Errorf("got %v, want ErrNoTool of step %q", err, flasher.StepTarget)
	}
	if n := b.Disk().Written(); n != 0 {
		t.Errorf("%d bytes were written", n)
	}
	res, err := newFlasher(t, b, flasher.WithVerify(flasher.VerifyNone)).Flash(t.Context(), path)
	if err != nil || res.Method != flasher.MethodStream || res.SHA256 != "" || res.ProofDigest != "" {
		t.Errorf("without verification: %+v, %v", res, err)
	}
	if n := b.Disk().Written(); n != int64(len(raw)) {
		t.Errorf("%d bytes were written", n)
	}
}
