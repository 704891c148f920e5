package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/errdef"
)

// Create makes an OCI layout of a bundle that lies in the directory dir, and
// returns the digest of its manifest. Where dest ends with ".tar" the layout is
// one tar file, else a directory, to which the bundle is added if it is a
// layout already. The tag is that of [WithTag], by default "latest".
//
// The bundle contains the flasher manifests at the top of dir, what they name,
// and everything in data/, each file titled with its path. The same input gives
// the same digest. A manifest that is wrong, or names a file that is not there,
// is an error: see [Lint] for more advice.
func Create(ctx context.Context, dir, dest string, opts ...Option) (string, error) {
	c, err := newConfig(opts)
	if err != nil {
		return "", fail("create", dir, "", err)
	}
	p, err := pack(ctx, dir, c)
	if err != nil {
		return "", fail("create", dir, "", err)
	}
	defer p.Close()
	if strings.HasSuffix(dest, ".tar") {
		err = p.writeTar(ctx, dest, c)
	} else {
		err = p.writeLayout(ctx, dest, c)
	}
	if err != nil {
		return "", fail("create", dir, "", fmt.Errorf("write %s: %w", dest, err))
	}
	return string(p.desc.Digest), nil
}

func (p *packed) writeLayout(ctx context.Context, dest string, c *config) error {
	entries, err := os.ReadDir(dest)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "oci-layout" }) && len(entries) > 0 {
		return errors.New("the directory is not empty and no OCI layout")
	}
	store, err := oci.NewWithContext(ctx, dest)
	if err != nil {
		return err
	}
	add := func(d ocispec.Descriptor, r io.Reader) error {
		// Titles belong to the layers of the manifest, not to the blobs.
		err := store.Push(ctx, ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, r)
		if errors.Is(err, errdef.ErrAlreadyExists) {
			return nil
		}
		return err
	}
	for _, d := range p.layers {
		if err := p.withFile(d, func(r io.Reader) error { return add(d, r) }); err != nil {
			return err
		}
		c.report(Progress{Path: d.Annotations[ocispec.AnnotationTitle], Digest: string(d.Digest), Done: d.Size, Total: d.Size})
	}
	if err := add(p.config, strings.NewReader("{}")); err != nil {
		return err
	}
	if err := add(p.desc, bytes.NewReader(p.manifest)); err != nil {
		return err
	}
	return store.Tag(ctx, p.desc, c.tagOrDefault())
}

func (p *packed) withFile(d ocispec.Descriptor, fn func(io.Reader) error) error {
	f, err := p.open(d)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fn(f); err != nil {
		return fmt.Errorf("%s: %w", d.Annotations[ocispec.AnnotationTitle], err)
	}
	return nil
}

// writeTar writes the layout in a fixed order without times or owners.
func (p *packed) writeTar(ctx context.Context, dest string, c *config) (err error) {
	f, err := os.CreateTemp(filepath.Dir(dest), "."+filepath.Base(dest)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	tw := tar.NewWriter(f)
	put := func(name string, size int64, r io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		_, err := io.CopyBuffer(struct{ io.Writer }{tw}, r, make([]byte, 256<<10))
		return err
	}
	layout, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return err
	}
	tagged := p.desc
	tagged.Annotations = map[string]string{ocispec.AnnotationRefName: c.tagOrDefault()}
	index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{tagged}})
	if err != nil {
		return err
	}
	if err := put(ocispec.ImageLayoutFile, int64(len(layout)), bytes.NewReader(layout)); err != nil {
		return err
	}
	if err := put(ocispec.ImageIndexFile, int64(len(index)), bytes.NewReader(index)); err != nil {
		return err
	}
	done := map[string]bool{}
	blob := func(d ocispec.Descriptor, r io.Reader) error {
		name := path.Join(ocispec.ImageBlobsDir, string(d.Digest.Algorithm()), d.Digest.Encoded())
		if done[name] {
			return nil
		}
		done[name] = true
		// Verified, in case that the file changes between the two readings.
		vr := orascontent.NewVerifyReader(r, d)
		if err := put(name, d.Size, vr); err != nil {
			return err
		}
		return vr.Verify()
	}
	if err := blob(p.desc, bytes.NewReader(p.manifest)); err != nil {
		return err
	}
	if err := blob(p.config, strings.NewReader("{}")); err != nil {
		return err
	}
	for _, d := range p.layers {
		if err := p.withFile(d, func(r io.Reader) error { return blob(d, r) }); err != nil {
			return err
		}
		c.report(Progress{Path: d.Annotations[ocispec.AnnotationTitle], Digest: string(d.Digest), Done: d.Size, Total: d.Size})
	}
	return errors.Join(tw.Close(), f.Chmod(0o644), f.Close(), os.Rename(f.Name(), dest))
}
