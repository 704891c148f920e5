package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Push makes a bundle of the directory dir, as [Create] does, pushes it to the
// registry that ref names, and returns the digest of its manifest. Files that
// the registry has already are not sent. What is pushed is what
//
//	oras push REF --artifact-type application/vnd.oci.bundle.v1 \
//	    manifest.yaml:application/yaml data/FILE:application/octet-stream ...
//
// pushes, but for the time of creation, so that the digest is reproducible.
func Push(ctx context.Context, dir, ref string, opts ...Option) (string, error) {
	c, err := newConfig(opts)
	parsed, perr := parseReference(strings.TrimPrefix(ref, "oci://"))
	ref = shown(ref)
	if err != nil {
		return "", fail("push", ref, "", err)
	}
	if c.offline {
		return "", fail("push", ref, "", errors.New("WithOffline: pushing needs the registry"))
	}
	if perr != nil {
		return "", fail("push", ref, "", perr)
	}
	if _, err := parsed.Digest(); err == nil {
		return "", fail("push", ref, "", fmt.Errorf("%w: push to a tag; the digest follows from the content", ErrReference))
	}
	if c.tag != "" {
		return "", fail("push", ref, "", fmt.Errorf("%w: WithTag is for Create; the reference has the tag", ErrReference))
	}
	p, err := pack(ctx, dir, c)
	if err != nil {
		return "", fail("push", ref, "", err)
	}
	defer p.Close()
	s, err := newRegistrySource(parsed, c)
	if err != nil {
		return "", fail("push", ref, "", err)
	}
	defer s.idle()
	if err := s.push(ctx, p, c); err != nil {
		return "", fail("push", ref, "", err)
	}
	c.logger.Info("bundle pushed", "ref", parsed.String(), "digest", string(p.desc.Digest))
	return string(p.desc.Digest), nil
}

func (s *registrySource) push(ctx context.Context, p *packed, c *config) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.parallel)
	seen := map[digest.Digest]bool{}
	for _, d := range p.layers {
		if seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		g.Go(func() error {
			return s.pushBlob(gctx, d, c, func() (io.ReadCloser, error) { return p.open(d) })
		})
	}
	if !seen[p.config.Digest] {
		g.Go(func() error {
			return s.pushBlob(gctx, p.config, c, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("{}")), nil })
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return s.explain(ctx, s.repo.PushReference(ctx, p.desc, bytes.NewReader(p.manifest), s.ref.Reference))
}

func (s *registrySource) pushBlob(ctx context.Context, d ocispec.Descriptor, c *config, open func() (io.ReadCloser, error)) error {
	title := d.Annotations[ocispec.AnnotationTitle]
	there, err := s.repo.Blobs().Exists(ctx, d)
	if err != nil {
		return s.explain(ctx, err)
	}
	if there {
		c.report(Progress{Path: title, Digest: string(d.Digest), Done: d.Size, Total: d.Size, Cached: true})
		return nil
	}
	for attempt := 0; ; attempt++ {
		err := s.send(ctx, d, title, c, open)
		if err == nil {
			return nil
		}
		// The transport cannot repeat a body that is a file; this can.
		var resp *errcode.ErrorResponse
		passing := broken(err) || errors.As(err, &resp) &&
			(resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500)
		if ctx.Err() != nil || attempt >= c.retries || !passing {
			return fmt.Errorf("%q: %w", title, s.explain(ctx, err))
		}
		c.logger.Debug("upload broke, trying again", "path", title, "err", tidy(err).Error())
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

func (s *registrySource) send(ctx context.Context, d ocispec.Descriptor, title string, c *config, open func() (io.ReadCloser, error)) error {
	f, err := open()
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, alive, done := guard(ctx, c.stall)
	defer done()
	up := &upload{r: f, alive: alive, total: d.Size, report: func(done int64) {
		c.report(Progress{Path: title, Digest: string(d.Digest), Done: done, Total: d.Size})
	}}
	return orStalled(ctx, s.repo.Blobs().Push(ctx, ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, up))
}

// upload reports how far the reading of a body has come.
type upload struct {
	r                     io.Reader
	alive                 func()
	report                func(int64)
	done, reported, total int64
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	u.alive()
	if u.done += int64(n); n > 0 && (u.done-u.reported >= 1<<20 || u.done == u.total) {
		u.reported = u.done
		u.report(u.done)
	}
	return n, err
}
