package bundle

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types and annotations that bundles use, as `oras push` writes them.
const (
	// ArtifactType marks an OCI artefact as a flasher bundle.
	ArtifactType = "application/vnd.oci.bundle.v1"
	// MediaTypeManifest is the media type of a flasher manifest.
	MediaTypeManifest = "application/yaml"
	// MediaTypeFile is the media type of every other file.
	MediaTypeFile = "application/octet-stream"

	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeDockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	// oras 0.15 and 0.16 pushed this type, which came and went with an OCI
	// release candidate; its files are in "blobs".
	mediaTypeArtifactManifest = "application/vnd.oci.artifact.manifest.v1+json"

	annotationUnpack     = "io.deis.oras.content.unpack"
	annotationTarContent = "io.deis.oras.content.digest"
)

// layer is one file or folder of the artefact.
type layer struct {
	ocispec.Descriptor
	title  string
	folder bool
}

// readLayers takes the layers with a title out of an OCI manifest, and refuses
// everything that a later step should not have to think about.
func readLayers(data []byte, limits Limits) ([]layer, error) {
	var m struct {
		MediaType string               `json:"mediaType"`
		Layers    []ocispec.Descriptor `json:"layers"`
		Blobs     []ocispec.Descriptor `json:"blobs"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("OCI manifest: %w", err)
	}
	if m.MediaType == mediaTypeArtifactManifest {
		m.Layers = m.Blobs
	}
	if len(m.Layers) > limits.Layers {
		return nil, fmt.Errorf("%w: %d layers, the limit is %d", ErrTooLarge, len(m.Layers), limits.Layers)
	}
	var out []layer
	var total int64
	seen := map[string]bool{}
	for i, d := range m.Layers {
		title, ok := d.Annotations[ocispec.AnnotationTitle]
		if !ok {
			continue // as `oras pull` does: a layer without a name is no file
		}
		l := layer{Descriptor: d, title: path.Clean(title), folder: isFolder(d)}
		if title == "" || l.title != strings.TrimSuffix(strings.TrimPrefix(title, "./"), "/") && title != "./" {
			l.title = title
		}
		if err := checkPath(l.title); err != nil && !(l.folder && l.title == ".") {
			return nil, fmt.Errorf("layer %d: title: %w", i, err)
		}
		if seen[l.title] {
			return nil, fmt.Errorf("%w: two layers have the title %q", ErrDuplicatePath, l.title)
		}
		seen[l.title] = true
		if err := d.Digest.Validate(); err != nil {
			return nil, fmt.Errorf("layer %q: digest %q: %w", l.title, clip(string(d.Digest)), err)
		}
		if d.Size < 0 || d.Size > limits.Size {
			return nil, fmt.Errorf("%w: layer %q announces %d bytes, the limit is %d", ErrTooLarge, l.title, d.Size, limits.Size)
		}
		if !l.folder && isManifestName(l.title) && d.Size > maxManifestSize {
			return nil, fmt.Errorf("%w: %q announces %d bytes of YAML, more than the %d that are read", ErrTooLarge, l.title, d.Size, maxManifestSize)
		}
		if total += d.Size; total > limits.Size {
			return nil, fmt.Errorf("%w: the layers announce more than %d bytes together", ErrTooLarge, limits.Size)
		}
		out = append(out, l)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: none of its %d layers has a title (%s), so this is a container image or something else, but no bundle",
			ErrNoManifest, len(m.Layers), ocispec.AnnotationTitle)
	}
	return out, nil
}

// isFolder tells a folder that was packed into a tar. oras marks it; oras-py,
// which Jumpstarter pulls with, goes by the media type.
func isFolder(d ocispec.Descriptor) bool {
	if v, ok := d.Annotations[annotationUnpack]; ok {
		return v == "true"
	}
	name := d.Annotations[ocispec.AnnotationTitle]
	switch d.MediaType {
	case ocispec.MediaTypeImageLayerGzip, mediaTypeDockerLayer:
		return !strings.HasSuffix(name, ".tar.gz") && !strings.HasSuffix(name, ".tgz")
	case ocispec.MediaTypeImageLayerZstd:
		return !strings.HasSuffix(name, ".tar.zst") && !strings.HasSuffix(name, ".tzst")
	}
	return false
}

// pickFromIndex chooses the manifest of an image index: bundles have no
// platform, so there must be only one candidate.
func pickFromIndex(data []byte) (ocispec.Descriptor, error) {
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("OCI index: %w", err)
	}
	var found []ocispec.Descriptor
	for _, d := range index.Manifests {
		// Build tools add attestations with the platform unknown/unknown.
		if d.Platform != nil && d.Platform.OS == "unknown" {
			continue
		}
		found = append(found, d)
	}
	if len(found) != 1 {
		return ocispec.Descriptor{}, fmt.Errorf("%w: the reference is an index of %d manifests, not one bundle; name one by its digest",
			ErrNoManifest, len(found))
	}
	return found[0], nil
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == mediaTypeDockerIndex
}

func isManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == mediaTypeDockerManifest || mediaType == mediaTypeArtifactManifest
}

// clip shortens text from outside for an error.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

// fileSet collects the files of a bundle and refuses conflicting paths.
type fileSet struct {
	files map[string]blobFile
	dirs  map[string]bool
	limit int
}

func newFileSet(limit int) *fileSet {
	return &fileSet{files: map[string]blobFile{}, dirs: map[string]bool{}, limit: limit}
}

func (s *fileSet) add(name string, d digest.Digest, size int64) error {
	if _, ok := s.files[name]; ok {
		return fmt.Errorf("%w: %q is in the bundle twice", ErrDuplicatePath, name)
	}
	if s.dirs[name] {
		return fmt.Errorf("%w: %q is both a file and a folder", ErrDuplicatePath, name)
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := s.files[dir]; ok {
			return fmt.Errorf("%w: %q is both a file and a folder", ErrDuplicatePath, dir)
		}
		s.dirs[dir] = true
	}
	if len(s.files) >= s.limit {
		return fmt.Errorf("%w: more than %d files", ErrTooLarge, s.limit)
	}
	s.files[name] = blobFile{d, size}
	return nil
}
