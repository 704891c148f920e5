package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/dutflash/dutflash/internal/registryauth"
)

// ociSource is a file in a registry: the layer of an artefact, or a disk image
// in the tar layer of a container image.
type ociSource struct {
	ref  registry.Reference
	c    *sourceConfig
	cred auth.CredentialFunc
}

const maxManifest = 4 << 20 // what registries accept, by the distribution spec

func newOCISource(text string, c *sourceConfig) (Source, error) {
	if registryauth.WithoutUser(text) != text {
		return nil, fmt.Errorf("%w: user and password do not belong into an OCI reference; set OCI_USERNAME and OCI_PASSWORD, or use WithOCICredentials", ErrInvalid)
	}
	ref, err := registry.ParseReference(text)
	if err != nil {
		return nil, fmt.Errorf("%w: not an OCI reference: %w", ErrInvalid, err)
	}
	if len(c.header) > 0 {
		return nil, fmt.Errorf("%w: headers and bearer tokens are for http(s) URLs; use WithOCICredentials", ErrInvalid)
	}
	if ref.Reference == "" {
		ref.Reference = "latest"
	}
	cred, err := registryauth.Find(ref.Registry, c.user, c.pass)
	if errors.Is(err, registryauth.ErrHalf) {
		err = fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	return &ociSource{ref: ref, c: c, cred: cred}, err
}

func (s *ociSource) repository() (*remote.Repository, func()) {
	t := s.c.transport()
	client := &auth.Client{Cache: auth.NewCache(), Credential: s.cred, ClientID: "dutflash", Client: &http.Client{
		Transport:     retry.NewTransport(t),
		CheckRedirect: registryauth.CheckRedirect,
	}}
	client.SetUserAgent("dutflash")
	repo := &remote.Repository{Client: client, Reference: s.ref, MaxMetadataBytes: maxManifest}
	repo.PlainHTTP = registryauth.Loopback(s.ref.Registry)
	if s.c.plainHTTP != nil {
		repo.PlainHTTP = *s.c.plainHTTP
	}
	return repo, t.CloseIdleConnections
}

// layer finds the layer that is, or contains, the image.
func (s *ociSource) layer(ctx context.Context, repo *remote.Repository) (ocispec.Descriptor, error) {
	d, err := repo.Resolve(ctx, s.ref.Reference)
	if err != nil {
		return d, s.explain(ctx, err)
	}
	for range 3 { // an index in an index at most
		if err := sound(d); err != nil {
			return d, fmt.Errorf("the manifest of %s: %w", s.ref, err)
		}
		if d.Size > maxManifest {
			return d, fmt.Errorf("%w: the manifest of %s is said to have %d bytes, the limit is %d", ErrCorrupt, s.ref, d.Size, maxManifest)
		}
		b, err := content.FetchAll(ctx, repo, d)
		if err != nil {
			return d, s.explain(ctx, err)
		}
		var m struct {
			Manifests []ocispec.Descriptor `json:"manifests"`
			Layers    []ocispec.Descriptor `json:"layers"`
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return d, fmt.Errorf("%w: the manifest of %s: %w", ErrCorrupt, s.ref, err)
		}
		if len(m.Manifests) == 0 {
			if d, err = choose(s.ref, m.Layers); err != nil {
				return d, err
			}
			if err := sound(d); err != nil {
				return d, fmt.Errorf("the layer of %s: %w", s.ref, err)
			}
			if d.Digest.Algorithm() != digest.SHA256 { // the only one that is verified
				return d, fmt.Errorf("%w: the layer of %s has the digest %s, want sha256; push it again", ErrUnsupportedFormat, s.ref, d.Digest)
			}
			return d, nil
		}
		var some []ocispec.Descriptor
		for _, e := range m.Manifests {
			if e.Platform == nil || e.Platform.OS != "unknown" { // those are attestations
				some = append(some, e)
			}
		}
		if len(some) != 1 {
			return d, fmt.Errorf("%w: %s is an index, give one digest: %s", ErrAmbiguous, s.ref, list(some))
		}
		d = some[0]
	}
	return d, fmt.Errorf("%w: %s is an index in an index in an index", ErrUnsupportedFormat, s.ref)
}

// sound refuses a descriptor that nothing can be done with: it is whatever somebody
// wrote into a manifest.
func sound(d ocispec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("%w: digest %.100q: %w", ErrCorrupt, string(d.Digest), err)
	}
	if d.Size < 0 {
		return fmt.Errorf("%w: it is said to have %d bytes", ErrCorrupt, d.Size)
	}
	return nil
}

// choose picks the layer by number, then by title and media type.
func choose(ref registry.Reference, layers []ocispec.Descriptor) (ocispec.Descriptor, error) {
	if len(layers) == 1 {
		return layers[0], nil
	}
	var likely []ocispec.Descriptor
	for _, l := range layers {
		if diskName(title(l)) || strings.Contains(l.MediaType, "disk") {
			likely = append(likely, l)
		}
	}
	switch {
	case len(likely) == 1:
		return likely[0], nil
	case len(layers) == 0:
		return ocispec.Descriptor{}, fmt.Errorf("%w: %s has no layers", ErrNotFound, ref)
	case len(likely) == 0:
		likely = layers
	}
	return ocispec.Descriptor{}, fmt.Errorf("%w: %s has %s", ErrAmbiguous, ref, list(likely))
}

func title(d ocispec.Descriptor) string { return d.Annotations[ocispec.AnnotationTitle] }

func list(ds []ocispec.Descriptor) string {
	var out []string
	for _, d := range ds[:min(len(ds), 20)] {
		name := title(d)
		if d.Platform != nil {
			name += d.Platform.OS + "/" + d.Platform.Architecture
		}
		out = append(out, fmt.Sprintf("%s (%s, %d bytes, %s)", name, d.MediaType, d.Size, d.Digest))
	}
	return strings.Join(out, "; ")
}

// diskName says whether a file is called as disk images are.
func diskName(name string) bool {
	name = strings.ToLower(path.Base(name))
	for _, ext := range []string{".xz", ".gz", ".bz2", ".zst", ".zstd", ".lz4", ".lzma"} {
		name = strings.TrimSuffix(name, ext)
	}
	switch path.Ext(name) {
	case ".img", ".raw", ".wic", ".simg", ".sdimg", ".iso", ".qcow2", ".ext4", ".rootfs", ".sdcard":
		return true
	}
	return false
}

// isTar says whether a layer is an archive. oras gives plain files the media
// type of a tar layer and a title, so a title counts more.
func isTar(d ocispec.Descriptor) bool {
	if d.Annotations["io.deis.oras.content.unpack"] == "true" {
		return true
	}
	if t := title(d); t != "" {
		return strings.HasSuffix(t, ".tar") || strings.Contains(t, ".tar.") || strings.HasSuffix(t, ".tgz")
	}
	return strings.Contains(d.MediaType, ".tar") || strings.HasSuffix(d.MediaType, "+tar")
}

// Info asks the registry for the manifest; the blob's digest is the identity.
func (s *ociSource) Info(ctx context.Context) (Info, error) {
	repo, idle := s.repository()
	defer idle()
	d, err := s.layer(ctx, repo)
	if err != nil {
		return Info{}, err
	}
	if isTar(d) {
		return Info{Name: path.Base(s.ref.Repository), Size: -1, Identity: "oci tar\n" + d.Digest.String()}, nil
	}
	info := Info{Name: path.Base(title(d)), Size: d.Size, Identity: "oci\n" + d.Digest.String()}
	if info.Name == "." {
		info.Name = path.Base(s.ref.Repository)
	}
	info.SHA256 = d.Digest.Encoded()
	return info, nil
}

func (s *ociSource) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	repo, idle := s.repository()
	context.AfterFunc(ctx, idle)
	d, err := s.layer(ctx, repo)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	start := offset
	if isTar(d) {
		start = 0
	}
	r := &resumer{
		ctx: ctx, cancel: cancel, stall: s.c.stall, tries: s.c.retries, wait: s.c.wait, log: s.c.log, name: s.ref.Repository,
		start: start, offset: start, size: -1, fetch: func(ctx context.Context, offset int64, _ bool) (fetched, error) {
			return s.fetch(ctx, repo, d, offset)
		},
	}
	if err := r.begin(); err != nil {
		cancel(nil)
		return nil, err
	}
	if !isTar(d) {
		return r, nil
	}
	m, err := openMember(r, d, s.ref.String())
	if err == nil && offset > 0 {
		if _, err = io.CopyN(io.Discard, m, offset); err != nil {
			m.Close()
		}
	}
	return m, err
}

// fetch gets a blob from offset on where the registry allows that.
func (s *ociSource) fetch(ctx context.Context, repo *remote.Repository, d ocispec.Descriptor, offset int64) (fetched, error) {
	rc, err := repo.Blobs().Fetch(ctx, d)
	if err != nil {
		return fetched{}, s.explain(ctx, err)
	}
	// The digest of the whole is verified, so what comes is what is meant.
	f := fetched{body: rc, size: d.Size, sure: true}
	if seeker, ok := rc.(io.Seeker); ok && offset > 0 {
		if _, err := seeker.Seek(offset, io.SeekStart); err != nil {
			rc.Close()
			return fetched{}, s.explain(ctx, err)
		}
		f.offset = offset
	}
	return f, nil
}

// explain gives an error of the registry client one of our sentinels.
func (s *ociSource) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	cause := tidy(err)
	var resp *errcode.ErrorResponse
	switch {
	case errors.Is(err, errdef.ErrNotFound):
		return &permanent{fmt.Errorf("%w: %s: %w", ErrNotFound, s.ref, cause)}
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return &permanent{fmt.Errorf("%w: %s wants credentials: log in with docker, podman or oras, set OCI_USERNAME and OCI_PASSWORD, or use WithOCICredentials: %w",
			ErrUnauthorized, s.ref.Registry, cause)}
	case errors.As(err, &resp) && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden):
		return &permanent{fmt.Errorf("%w: %s: %w", ErrUnauthorized, s.ref, cause)}
	case errors.As(err, &resp) && resp.StatusCode < 500:
		return &permanent{cause}
	}
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, s.ref.Registry, cause)
}

// verified compares the digest of what was read when it ends.
type verified struct {
	io.ReadCloser
	d   ocispec.Descriptor
	sum *stored
}

func verify(rc io.ReadCloser, d ocispec.Descriptor) *verified {
	return &verified{rc, d, &stored{r: rc, sum: sha256.New()}}
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.sum.Read(p)
	if err == io.EOF {
		if got := hex.EncodeToString(v.sum.sum.Sum(nil)); got != v.d.Digest.Encoded() {
			err = fmt.Errorf("%w: the blob %s has the SHA-256 %s", ErrChecksum, v.d.Digest, got)
		}
	}
	return n, err
}
