package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dutflash/dutflash/transport/image/internal/bmap"
)

// Extent is a stretch of the raw image.
type Extent struct{ Offset, Size int64 }

// WithBmap gives the block map of the image, as bmaptool create writes it. Its
// checksum of itself, the size of the raw image, and the checksum of each range
// are verified; a difference is [ErrChecksum].
func WithBmap(src Source) PrepareOption {
	return func(c *prepareConfig) error {
		if src == nil {
			return fmt.Errorf("%w: the source of the block map is nil", ErrInvalid)
		}
		c.bmap = src
		return nil
	}
}

// WithoutBmap does not look for a block map beside the image. By default one is
// looked for beside a local file and a URL, as bmaptool does: for a.raw.xz it is
// a.raw.xz.bmap, a.raw.bmap, or a.bmap, whichever is there first. What is
// there and is no block map (many servers have a page for each name) is passed
// over.
func WithoutBmap() PrepareOption {
	return func(c *prepareConfig) error {
		c.noBmap = true
		return nil
	}
}

// neighbour is a source that can have files beside it.
type neighbour interface {
	base() string
	beside(name string) Source
}

func (s *fileSource) base() string { return filepath.Base(s.path) }

func (s *fileSource) beside(name string) Source {
	return &fileSource{filepath.Join(filepath.Dir(s.path), name)}
}

func (s *httpSource) base() string { return path.Base(s.url.Path) }

func (s *httpSource) beside(name string) Source {
	u := *s.url
	u.Path, u.RawPath = path.Join(path.Dir(u.Path), name), ""
	u.RawQuery = "" // a signature is of one file
	c := *s.c
	c.retries = min(c.retries, 2) // there is most probably nothing to wait for
	return &httpSource{url: (*url.URL)(&u), c: &c, header: s.header}
}

// bmapNames lists where bmaptool looks.
func bmapNames(base string) []string {
	names := []string{base + ".bmap"}
	for range 3 {
		ext := path.Ext(base)
		if ext == "" || ext == base {
			break
		}
		base = strings.TrimSuffix(base, ext)
		names = append(names, base+".bmap")
	}
	return names
}

// findBmap returns the block map of src, nil if there is none.
func findBmap(ctx context.Context, src Source, c *prepareConfig) (*bmap.Map, error) {
	if c.bmap != nil {
		b, err := readBmap(ctx, c.bmap)
		if err != nil {
			return nil, fmt.Errorf("block map: %w", err)
		}
		return parseBmap(b)
	}
	n, ok := src.(neighbour)
	if !ok || c.noBmap || strings.HasSuffix(n.base(), ".bmap") {
		return nil, nil
	}
	for _, name := range bmapNames(n.base()) {
		b, err := readBmap(ctx, n.beside(name))
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, ErrNotFound):
			continue
		case errors.Is(err, ErrUnauthorized): // so some servers say that there is none
			c.log.Warn("whether there is a block map of this name could not be found out", "name", name, "err", err)
			continue
		case err != nil:
			c.log.Warn("whether there is a block map could not be found out", "name", name, "err", err)
			return nil, nil
		case !isBmap(b):
			continue
		}
		c.log.Info("found a block map", "name", name)
		return parseBmap(b)
	}
	return nil, nil
}

func isBmap(b []byte) bool { return bytes.Contains(b, []byte("<bmap")) }

// readBmap reads a block map, and of anything else no more than the start.
func readBmap(ctx context.Context, src Source) ([]byte, error) {
	rc, err := src.Open(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	head, err := io.ReadAll(io.LimitReader(rc, 4096))
	if err != nil || !isBmap(head) {
		return head, err
	}
	rest, err := io.ReadAll(io.LimitReader(rc, bmap.MaxSize))
	return append(head, rest...), err
}

func parseBmap(b []byte) (*bmap.Map, error) {
	m, err := bmap.Parse(b)
	return m, explainBmap(err)
}

func explainBmap(err error) error {
	switch {
	case errors.Is(err, bmap.ErrChecksum):
		return fmt.Errorf("%w: %w", ErrChecksum, err)
	case errors.Is(err, bmap.ErrUnsupported):
		return fmt.Errorf("%w: %w", ErrUnsupportedFormat, err)
	case errors.Is(err, bmap.ErrFormat):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// verifyBmap adds the checks of a block map to a sink, and returns the check at
// the end.
func (s *sink) verifyBmap(m *bmap.Map) func() error {
	if m == nil {
		return func() error { return nil }
	}
	v := m.NewVerifier()
	s.also = append(s.also, func(b []byte, off int64) error { return explainBmap(v.Write(b, off)) })
	return func() error { return explainBmap(v.Finish()) }
}

// Mapped returns the stretches of the raw image that matter by its block map,
// ascending; what lies between them may hold anything on the board. It is nil
// where there is no block map, and until Wait succeeds.
func (p *Prepared) Mapped() []Extent {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.done || p.err != nil {
		return nil
	}
	return slices.Clone(p.mapped)
}
