// Package bmap reads block maps as bmaptool create writes them, versions 1.2 to
// 2.x, and verifies an image against them.
package bmap

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// Errors that a caller may want to tell apart.
var (
	// ErrFormat: this is not a block map, or contradicts itself.
	ErrFormat = errors.New("damaged block map")
	// ErrUnsupported: a version or kind of checksum that is not known.
	ErrUnsupported = errors.New("unsupported block map")
	// ErrChecksum: the map or the image is not what a checksum is of.
	ErrChecksum = errors.New("block map checksum mismatch")
)

// MaxSize is the most bytes that a block map may have.
const MaxSize = 32 << 20

// Map is a block map.
type Map struct {
	ImageSize int64
	BlockSize int64
	Ranges    []Range // ascending
	newHash   func() hash.Hash
}

// Range is a stretch of bytes that matters.
type Range struct {
	Offset, Size int64
	Sum          []byte // nil where the map has none
}

type document struct {
	XMLName      xml.Name `xml:"bmap"`
	Version      string   `xml:"version,attr"`
	ImageSize    string   `xml:"ImageSize"`
	BlockSize    string   `xml:"BlockSize"`
	ChecksumType string   `xml:"ChecksumType"`
	Checksum     string   `xml:"BmapFileChecksum"`
	SHA1         string   `xml:"BmapFileSHA1"`
	Ranges       []struct {
		Text string `xml:",chardata"`
		Sum  string `xml:"chksum,attr"`
		SHA1 string `xml:"sha1,attr"`
	} `xml:"BlockMap>Range"`
}

// Parse reads a block map and verifies its checksum of itself.
func Parse(b []byte) (*Map, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrFormat, len(b))
	}
	var d document
	if err := xml.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	m := &Map{}
	own := strings.TrimSpace(d.Checksum)
	var major, minor int
	if _, err := fmt.Sscanf(d.Version, "%d.%d", &major, &minor); err != nil {
		return nil, fmt.Errorf("%w: version %q", ErrFormat, d.Version)
	}
	kind := strings.TrimSpace(d.ChecksumType)
	switch {
	case major == 1 && minor < 3:
		kind = ""
	case major == 1 && minor == 3:
		kind, own = "sha1", strings.TrimSpace(d.SHA1)
	case major == 1 || major == 2:
	default:
		return nil, fmt.Errorf("%w: version %s", ErrUnsupported, d.Version)
	}
	switch kind {
	case "":
		if own != "" {
			return nil, fmt.Errorf("%w: a checksum without ChecksumType", ErrFormat)
		}
	case "sha1":
		m.newHash = sha1.New
	case "sha256":
		m.newHash = sha256.New
	case "sha512":
		m.newHash = sha512.New
	default:
		return nil, fmt.Errorf("%w: checksums of type %q", ErrUnsupported, kind)
	}
	if m.newHash != nil {
		if err := m.verifyOwn(b, own); err != nil {
			return nil, err
		}
	}
	return m, m.ranges(&d)
}

// verifyOwn computes the checksum of the file with that checksum as zeros.
func (m *Map) verifyOwn(b []byte, own string) error {
	h := m.newHash()
	if len(own) != 2*h.Size() || bytes.Count(b, []byte(own)) != 1 {
		return fmt.Errorf("%w: the checksum of the map itself is %q", ErrFormat, own)
	}
	h.Write(bytes.Replace(b, []byte(own), bytes.Repeat([]byte("0"), len(own)), 1))
	if got := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(got, own) {
		return fmt.Errorf("%w: the map says %s of itself and has %s", ErrChecksum, own, got)
	}
	return nil
}

func (m *Map) ranges(d *document) error {
	var err1, err2 error
	m.ImageSize, err1 = strconv.ParseInt(strings.TrimSpace(d.ImageSize), 10, 64)
	m.BlockSize, err2 = strconv.ParseInt(strings.TrimSpace(d.BlockSize), 10, 64)
	if err1 != nil || err2 != nil || m.ImageSize < 0 || m.BlockSize < 1 || m.BlockSize > 1<<30 || m.ImageSize > 1<<50 {
		return fmt.Errorf("%w: image of %q bytes in blocks of %q", ErrFormat, d.ImageSize, d.BlockSize)
	}
	blocks := (m.ImageSize + m.BlockSize - 1) / m.BlockSize
	next := int64(0)
	for i, r := range d.Ranges {
		text := strings.TrimSpace(r.Text)
		from, to, ok := strings.Cut(text, "-")
		if !ok {
			to = from
		}
		first, err1 := strconv.ParseInt(strings.TrimSpace(from), 10, 64)
		last, err2 := strconv.ParseInt(strings.TrimSpace(to), 10, 64)
		if err1 != nil || err2 != nil || first < next || last < first || last >= blocks {
			return fmt.Errorf("%w: range %d is %q of %d blocks", ErrFormat, i+1, text, blocks)
		}
		next = last + 1
		out := Range{Offset: first * m.BlockSize, Size: min((last+1)*m.BlockSize, m.ImageSize) - first*m.BlockSize}
		if sum := r.Sum + r.SHA1; sum != "" && m.newHash != nil {
			b, err := hex.DecodeString(strings.TrimSpace(sum))
			if err != nil || len(b) != m.newHash().Size() {
				return fmt.Errorf("%w: range %d has the checksum %q", ErrFormat, i+1, sum)
			}
			out.Sum = b
		}
		m.Ranges = append(m.Ranges, out)
	}
	return nil
}

// Verifier compares an image, given in order, with a map.
type Verifier struct {
	m    *Map
	next int
	hash hash.Hash
	end  int64 // of what was given
}

// NewVerifier returns a Verifier for one pass.
func (m *Map) NewVerifier() *Verifier { return &Verifier{m: m} }

// Write takes the bytes at off, which is where the last ones ended.
func (v *Verifier) Write(b []byte, off int64) error {
	v.end = off + int64(len(b))
	for v.next < len(v.m.Ranges) {
		r := v.m.Ranges[v.next]
		from, to := max(r.Offset, off), min(r.Offset+r.Size, v.end)
		if from < to && r.Sum != nil {
			if v.hash == nil {
				v.hash = v.m.newHash()
			}
			v.hash.Write(b[from-off : to-off])
		}
		if r.Offset+r.Size > v.end {
			return nil
		}
		v.next++
		if r.Sum != nil && v.hash != nil {
			if got := v.hash.Sum(nil); !bytes.Equal(got, r.Sum) {
				return fmt.Errorf("%w: the image from byte %d to %d has %x, the block map says %x", ErrChecksum, r.Offset, r.Offset+r.Size, got, r.Sum)
			}
		}
		v.hash = nil
	}
	return nil
}

// Finish says whether the whole image was given.
func (v *Verifier) Finish() error {
	if v.end != v.m.ImageSize {
		return fmt.Errorf("%w: the image has %d bytes, the block map is of one with %d", ErrChecksum, v.end, v.m.ImageSize)
	}
	return nil
}
