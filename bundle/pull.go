package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/dutflash/dutflash/bundle/internal/blobstore"
)

// openRegistry pulls from a registry. text is the reference as given, for
// errors.
func openRegistry(ctx context.Context, loc location, c *config, text string) (*Bundle, error) {
	src, err := newRegistrySource(loc.ref, c)
	if err != nil {
		return nil, err
	}
	defer src.idle()
	b, err := pull(ctx, src, KindRegistry, loc.ref.String(), c)
	if err != nil && loc.ref.String() != text && "oci://"+loc.ref.String() != text {
		err = fmt.Errorf("understood as %s: %w", loc.ref, err)
	}
	return b, err
}

// puller is one pull: a source, the store, and what was found out so far.
type puller struct {
	src   source
	store *blobstore.Store
	c     *config
	ref   string // what the tag is remembered under, "" for a layout
	warns []string
}

// pull brings what ref means into the cache and returns a bundle over it.
func pull(ctx context.Context, src source, kind Kind, ref string, c *config) (*Bundle, error) {
	store, err := c.store()
	if err != nil {
		return nil, err
	}
	// Nothing is pruned while this is held; afterwards the lease protects us.
	lock, err := store.Shared(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	p := &puller{src: src, store: store, c: c, ref: ref}
	b, err := p.newest(ctx)
	if err != nil {
		return nil, err
	}
	b.kind = kind
	b.warnings = p.warns
	c.logger.Info("bundle is in the cache", "ref", ref, "digest", b.digest, "dir", store.Dir())
	return b, nil
}

// newest takes what the source says now, or, where it cannot be asked, what it
// said last time.
func (p *puller) newest(ctx context.Context) (*Bundle, error) {
	old, known := p.store.Ref(p.ref)
	var rec blobstore.Record
	if known {
		rec, known = p.store.HasRecord(old.Digest)
	}
	last := ocispec.Descriptor{MediaType: rec.MediaType, Digest: rec.Digest, Size: rec.Size}
	if p.c.offline && p.ref != "" {
		return p.offline(ctx, last, known)
	}
	desc, fixed := p.fixed()
	var err error
	if !fixed {
		desc, err = p.src.resolve(ctx)
	}
	if err == nil {
		var b *Bundle
		if b, err = p.bundle(ctx, desc); err == nil {
			if err := p.remember(desc); err != nil {
				return nil, errors.Join(err, b.Close())
			}
			return b, nil
		}
	}
	if !errors.Is(err, ErrUnreachable) || !known {
		return nil, err
	}
	if p.c.requireFresh {
		return nil, fmt.Errorf("%w; the cache has %s from %s, but a fresh answer is required", err, last.Digest, old.Time.Format(time.RFC3339))
	}
	if last.Digest == desc.Digest {
		return nil, err
	}
	warning := fmt.Sprintf("%v; using %s, which %s was on %s", err, last.Digest, p.ref, old.Time.Format(time.RFC3339))
	p.c.logger.Warn("registry cannot be reached, using the cached bundle", "ref", p.ref, "digest", string(last.Digest), "err", err)
	b, cerr := p.bundle(ctx, last)
	if cerr != nil {
		return nil, fmt.Errorf("%w; and the cached bundle is not usable: %w", err, cerr)
	}
	p.warns = append(p.warns, warning)
	return b, nil
}

// fixed returns what a reference by digest means, if the cache has it whole:
// that cannot change, and the registry need not be asked.
func (p *puller) fixed() (ocispec.Descriptor, bool) {
	s, ok := p.src.(*registrySource)
	if !ok {
		return ocispec.Descriptor{}, false
	}
	d, err := s.ref.Digest()
	if err != nil {
		return ocispec.Descriptor{}, false
	}
	rec, ok := p.store.HasRecord(d)
	return ocispec.Descriptor{MediaType: rec.MediaType, Digest: rec.Digest, Size: rec.Size}, ok
}

func (p *puller) offline(ctx context.Context, last ocispec.Descriptor, known bool) (*Bundle, error) {
	if d, ok := p.fixed(); ok {
		last, known = d, true
	}
	if !known {
		return nil, fmt.Errorf("%w: %s was never pulled into this cache", ErrOffline, p.ref)
	}
	p.src = offlineSource{}
	return p.bundle(ctx, last)
}

// offlineSource has nothing.
type offlineSource struct{}

func (offlineSource) resolve(context.Context) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, ErrOffline
}

func (offlineSource) fetch(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	return nil, fmt.Errorf("%w: blob %s", ErrOffline, d.Digest)
}

func (p *puller) remember(desc ocispec.Descriptor) error {
	if p.ref == "" {
		return nil
	}
	return p.store.PutRef(blobstore.Ref{Reference: p.ref, Digest: desc.Digest, Time: time.Now()})
}

// bundle makes everything below desc present and returns the bundle.
func (p *puller) bundle(ctx context.Context, desc ocispec.Descriptor) (_ *Bundle, err error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", clip(string(desc.Digest)), err)
	}
	lease, err := p.store.Lease(ctx, desc.Digest)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lease.Unlock()
		}
	}()
	blobs := []digest.Digest{desc.Digest}
	content := &cached{store: p.store}
	data, st, err := p.manifest(ctx, desc)
	if err != nil {
		return nil, err
	}
	content.mark(desc.Digest, st)
	if isIndex(desc.MediaType) {
		inner, err := pickFromIndex(data)
		if err != nil {
			return nil, err
		}
		if !isManifest(inner.MediaType) {
			return nil, fmt.Errorf("%w: the index points to media type %q", ErrNoManifest, clip(inner.MediaType))
		}
		if data, _, err = p.manifest(ctx, inner); err != nil {
			return nil, err
		}
		blobs = append(blobs, inner.Digest)
	} else if !isManifest(desc.MediaType) {
		return nil, fmt.Errorf("%w: the reference has media type %q, which is no OCI manifest", ErrNoManifest, clip(desc.MediaType))
	}
	layers, err := readLayers(data, p.c.limits)
	if err != nil {
		return nil, err
	}
	if err := p.layers(ctx, layers, content); err != nil {
		return nil, err
	}
	set := newFileSet(p.c.limits.Files)
	budget := p.c.limits.Size
	for _, l := range layers {
		blobs = append(blobs, l.Digest)
		if !l.folder {
			if err := set.add(l.title, l.Digest, l.Size); err != nil {
				return nil, err
			}
			continue
		}
		tree, err := p.unpack(ctx, l, content, &budget)
		if err != nil {
			return nil, fmt.Errorf("folder layer %q: %w", l.title, err)
		}
		for _, f := range tree.Files {
			blobs = append(blobs, f.Digest)
			if err := set.add(f.Path, f.Digest, f.Size); err != nil {
				return nil, err
			}
		}
	}
	content.files = set.files
	rec := blobstore.Record{Digest: desc.Digest, MediaType: desc.MediaType, Size: desc.Size, Blobs: blobs}
	if err := p.store.PutRecord(rec); err != nil {
		return nil, err
	}
	return &Bundle{digest: string(desc.Digest), content: content, shared: &shared{release: lease.Unlock}}, nil
}

// manifest returns a manifest or index, which is small by definition.
func (p *puller) manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, blobstore.Stamp, error) {
	var none blobstore.Stamp
	if desc.Size > maxOCIManifest || desc.Size < 0 {
		return nil, none, fmt.Errorf("%w: the OCI manifest has %d bytes, the limit is %d", ErrTooLarge, desc.Size, maxOCIManifest)
	}
	if err := desc.Digest.Validate(); err != nil {
		return nil, none, fmt.Errorf("digest %q: %w", clip(string(desc.Digest)), err)
	}
	st, err := p.blob(ctx, desc, "OCI manifest")
	if err != nil {
		return nil, none, err
	}
	f, _, err := p.store.Open(desc.Digest)
	if err != nil {
		return nil, none, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxOCIManifest))
	return data, st, err
}

// blob makes one blob present and verified.
func (p *puller) blob(ctx context.Context, d ocispec.Descriptor, title string) (blobstore.Stamp, error) {
	st, err := p.store.Verify(ctx, d.Digest, d.Size)
	switch {
	case err == nil:
		p.c.report(Progress{Path: title, Digest: string(d.Digest), Done: d.Size, Total: d.Size, Cached: true})
		return st, nil
	case errors.Is(err, blobstore.ErrMismatch):
		p.c.logger.Warn("the cache was damaged, fetching again", "path", title, "err", err)
		if err := p.store.Remove(d.Digest); err != nil {
			return st, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return st, err
	}
	p.c.logger.Debug("fetching", "path", title, "digest", string(d.Digest), "size", d.Size)
	st, err = download(ctx, p.src, p.store, d, title, p.c)
	if err != nil {
		return st, fmt.Errorf("%q: %w", title, err)
	}
	return st, nil
}

// layers makes all layers present, several at a time and each digest once.
func (p *puller) layers(ctx context.Context, layers []layer, content *cached) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.c.parallel)
	seen := map[digest.Digest]int64{}
	for _, l := range layers {
		if size, ok := seen[l.Digest]; ok {
			if size != l.Size {
				g.Go(func() error {
					return fmt.Errorf("%w: %q announces %d bytes for %s, another layer %d", ErrDigest, l.title, l.Size, l.Digest, size)
				})
			}
			continue
		}
		seen[l.Digest] = l.Size
		g.Go(func() error {
			st, err := p.blob(ctx, l.Descriptor, l.title)
			if err == nil {
				content.mark(l.Digest, st)
			}
			return err
		})
	}
	return g.Wait()
}
