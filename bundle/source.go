package bundle

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// source is where the blobs of an OCI artefact come from.
type source interface {
	// resolve finds the manifest that the reference means now.
	resolve(ctx context.Context) (ocispec.Descriptor, error)
	// fetch opens a blob. What it gives is not verified yet.
	fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)
}

// layoutSource reads an OCI image layout.
type layoutSource struct {
	open func(name string) (io.ReadCloser, error)
	tag  string
}

func (s *layoutSource) resolve(context.Context) (ocispec.Descriptor, error) {
	var none ocispec.Descriptor
	f, err := s.open("index.json")
	if err != nil {
		return none, fmt.Errorf("the OCI layout has no index.json: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxOCIManifest+1))
	if err != nil {
		return none, fmt.Errorf("index.json: %w", err)
	}
	if len(data) > maxOCIManifest {
		return none, fmt.Errorf("%w: index.json has more than %d bytes", ErrTooLarge, maxOCIManifest)
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return none, fmt.Errorf("index.json: %w", err)
	}
	tags := map[string]ocispec.Descriptor{}
	unique := map[digest.Digest]ocispec.Descriptor{}
	for _, d := range index.Manifests {
		unique[d.Digest] = d
		if t := d.Annotations[ocispec.AnnotationRefName]; t != "" {
			tags[t] = d
		}
	}
	if s.tag != "" {
		if d, ok := tags[s.tag]; ok {
			return d, nil
		}
		if d, ok := unique[digest.Digest(s.tag)]; ok {
			return d, nil
		}
		return none, fmt.Errorf("%w: the OCI layout has no %q, its tags: %s", ErrNotFound, s.tag, list(slices.Sorted(maps.Keys(tags))))
	}
	if len(unique) == 1 {
		return index.Manifests[0], nil
	}
	if d, ok := tags["latest"]; ok {
		return d, nil
	}
	if len(unique) == 0 {
		return none, fmt.Errorf("%w: the OCI layout is empty", ErrNotFound)
	}
	return none, fmt.Errorf("%w: the OCI layout has %d manifests and no tag was given, its tags: %s",
		ErrNotFound, len(unique), list(slices.Sorted(maps.Keys(tags))))
}

func (s *layoutSource) fetch(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, err
	}
	f, err := s.open(path.Join("blobs", string(d.Digest.Algorithm()), d.Digest.Encoded()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the OCI layout lacks the blob %s", ErrNotFound, d.Digest)
	}
	return f, err
}

func fsOpener(fsys fs.FS) func(string) (io.ReadCloser, error) {
	return func(name string) (io.ReadCloser, error) { return fsys.Open(name) }
}

// openLayout opens an OCI layout on disk.
func openLayout(ctx context.Context, loc location, c *config) (*Bundle, error) {
	if loc.kind == KindLayout {
		root, err := os.OpenRoot(loc.path)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		return pullLayout(ctx, root.FS(), loc, c)
	}
	f, err := os.Open(loc.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	open, err := tarOpener(f)
	if err != nil {
		return nil, err
	}
	return pull(ctx, &layoutSource{open, loc.tag}, loc.kind, "", c)
}

func pullLayout(ctx context.Context, fsys fs.FS, loc location, c *config) (*Bundle, error) {
	return pull(ctx, &layoutSource{fsOpener(fsys), loc.tag}, loc.kind, "", c)
}

// tarOpener indexes a tar file, whose entries are then read in place.
func tarOpener(f *os.File) (func(string) (io.ReadCloser, error), error) {
	type extent struct{ off, size int64 }
	index := map[string]extent{}
	tr := tar.NewReader(f)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: it is no directory and no OCI layout in a tar file: %v", ErrReference, err)
		}
		if h.Typeflag != tar.TypeReg || strings.HasSuffix(h.Name, "/") {
			continue
		}
		// The tar reader does not read ahead, so this is where the data starts.
		off, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if len(index) > 100000 {
			return nil, fmt.Errorf("%w: more than 100000 entries in the tar file", ErrTooLarge)
		}
		index[path.Clean(h.Name)] = extent{off, h.Size}
	}
	if _, ok := index["index.json"]; !ok {
		return nil, fmt.Errorf("%w: the tar file has no index.json, so it is no OCI layout", ErrReference)
	}
	return func(name string) (io.ReadCloser, error) {
		e, ok := index[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return io.NopCloser(io.NewSectionReader(f, e.off, e.size)), nil
	}, nil
}
