package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/dutflash/dutflash/internal/registryauth"
)

// registrySource talks to a registry through oras-go.
type registrySource struct {
	repo *remote.Repository
	ref  registry.Reference
	idle func() // closes idle connections
}

func newRegistrySource(ref registry.Reference, c *config) (*registrySource, error) {
	cred, err := registryauth.Find(ref.Registry, c.user, c.pass)
	if errors.Is(err, registryauth.ErrHalf) {
		err = fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	if err != nil {
		return nil, err
	}
	s := &registrySource{ref: ref}
	rt, idle := c.roundTripper()
	s.idle = idle
	client := &auth.Client{
		Client: &http.Client{Transport: rt, CheckRedirect: registryauth.CheckRedirect},
		Cache:  auth.NewCache(), Credential: cred, ClientID: "dutflash",
	}
	client.SetUserAgent("dutflash")
	s.repo = &remote.Repository{Client: client, Reference: ref, MaxMetadataBytes: maxOCIManifest}
	s.repo.PlainHTTP = registryauth.Loopback(ref.Registry)
	if c.plainHTTP != nil {
		s.repo.PlainHTTP = *c.plainHTTP
	}
	return s, nil
}

func (s *registrySource) resolve(ctx context.Context) (ocispec.Descriptor, error) {
	d, err := s.repo.Resolve(ctx, s.ref.Reference)
	if err != nil && strings.Contains(err.Error(), "missing required header") {
		// Some registries give no digest unless the manifest itself is asked for.
		var rc io.ReadCloser
		if d, rc, err = s.repo.FetchReference(ctx, s.ref.Reference); err == nil {
			err = rc.Close()
		}
	}
	return d, s.explain(ctx, err)
}

func (s *registrySource) fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	rc, err := s.repo.Fetch(ctx, d)
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, fmt.Errorf("%w: registry %s lacks the blob %s that %s refers to", ErrNotFound, s.ref.Registry, d.Digest, s.ref)
	}
	return rc, s.explain(ctx, err)
}

// explain gives an error of the registry client one of our sentinels, and
// takes out what could be a secret.
func (s *registrySource) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	cause := tidy(err)
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", cause, context.Cause(ctx))
	}
	var resp *errcode.ErrorResponse
	var ue *url.Error
	host := s.ref.Registry
	switch {
	case errors.Is(err, errdef.ErrNotFound):
		return fmt.Errorf("%w: registry %s has no %s: %w", ErrNotFound, host, s.ref, cause)
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return fmt.Errorf("%w: %s wants credentials for %s and there are none: "+
			"log in with docker, podman or oras, or set %s and %s: %w", ErrUnauthorized, host, s.ref.Repository, registryauth.EnvUser, registryauth.EnvPassword, cause)
	case errors.As(err, &resp):
		return s.explainStatus(resp.StatusCode, cause)
	case errors.Is(err, errdef.ErrSizeExceedsLimit):
		return fmt.Errorf("%w: %w", ErrTooLarge, cause)
	case strings.Contains(err.Error(), "mismatch"):
		// oras-go has no type for a Content-Length or Docker-Content-Digest
		// that differs from the descriptor.
		return fmt.Errorf("%w: %w", ErrDigest, cause)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%w: %s speaks plain HTTP, which has to be allowed: %w", ErrUnreachable, host, cause)
	case strings.Contains(err.Error(), "missing required header"), strings.Contains(err.Error(), "invalid response"):
		return fmt.Errorf("%s does not answer like an OCI registry: %w", host, cause)
	case errors.As(err, &ue), broken(err):
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, host, cause)
	}
	return cause
}

func (s *registrySource) explainStatus(status int, cause error) error {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("%w: %s does not let us at %s; the credentials are missing or wrong, or there is no such repository: %w",
			ErrUnauthorized, s.ref.Registry, s.ref.Repository, cause)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: registry %s has no %s: %w", ErrNotFound, s.ref.Registry, s.ref, cause)
	case status == http.StatusTooManyRequests || status >= 500:
		return fmt.Errorf("%w: %s keeps answering with status %d: %w", ErrUnreachable, s.ref.Registry, status, cause)
	}
	return cause
}

// tidyError is an error whose text has no URL queries and no user
// information, which may carry tokens; the chain below it stays.
type tidyError struct {
	text string
	err  error
}

func (e *tidyError) Error() string { return e.text }
func (e *tidyError) Unwrap() error { return e.err }

var (
	urlQuery = regexp.MustCompile(`(https?://[^\s"?]*)\?[^\s"]*`)
	urlUser  = regexp.MustCompile(`(https?://)[^\s"/@]*@`)
)

func tidy(err error) error {
	text := urlUser.ReplaceAllString(urlQuery.ReplaceAllString(err.Error(), "$1"), "$1")
	if text == err.Error() {
		return err
	}
	return &tidyError{text, err}
}
