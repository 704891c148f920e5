package extents

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"
)

// Digest is a program with which the board digests, in the way of sha256sum, and what
// computes the same here.
type Digest struct {
	Program string
	New     func() hash.Hash
	// Weak says that other bytes can be made to have the same digest.
	Weak bool
}

// The digests that boards have.
var (
	// SHA256 is the one that the chunks come with: the host need not read the image for it.
	SHA256 = Digest{"sha256sum", sha256.New, false}
	SHA512 = Digest{"sha512sum", sha512.New, false}
	MD5    = Digest{"md5sum", md5.New, true}
)

// Name is the digest's for people.
func (d Digest) Name() string {
	name := strings.ToUpper(strings.TrimSuffix(d.Program, "sum"))
	if bits, ok := strings.CutPrefix(name, "SHA"); ok {
		return "SHA-" + bits
	}
	return name
}

// Sum returns the digest of some bytes, in hex.
func (d Digest) Sum(b []byte) string {
	h := d.New()
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}
