package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.yaml.in/yaml/v3"

	"github.com/dutflash/dutflash/bundle/internal/blobstore"
)

// packed is a directory that is ready to be written as an OCI artefact.
type packed struct {
	root     *os.Root
	fsys     fs.FS
	layers   []ocispec.Descriptor
	config   ocispec.Descriptor
	desc     ocispec.Descriptor // of the manifest
	manifest []byte
}

func (p *packed) Close() error { return p.root.Close() }

// pack reads a plain directory. What goes in is its flasher manifests, what
// they name, and everything in data/; nothing of that depends on times, owners
// or the order of the directory, so the same input gives the same digest.
func pack(ctx context.Context, dir string, c *config) (_ *packed, err error) {
	if loc, err := locatePath(dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	} else if loc.kind != KindDirectory {
		return nil, fmt.Errorf("%s is an OCI layout or a file; want a directory with a manifest.yaml", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	p := &packed{root: root, fsys: root.FS()}
	defer func() {
		if err != nil {
			root.Close()
		}
	}()
	b, err := (&Bundle{ref: dir, kind: KindDirectory, content: &fsContent{p.fsys, c.limits}, shared: &shared{}}).init(c)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	manifests, names, err := choose(b, p.fsys)
	if err != nil {
		return nil, err
	}
	if n := len(manifests) + len(names); n > c.limits.Layers {
		return nil, fmt.Errorf("%w: %d files, the limit is %d", ErrTooLarge, n, c.limits.Layers)
	}
	for _, w := range b.Warnings() {
		c.logger.Warn("bundle manifest", "warning", w)
	}
	for i, name := range slices.Concat(manifests, names) {
		mediaType := MediaTypeFile
		if i < len(manifests) {
			mediaType = MediaTypeManifest
		}
		d, err := p.describe(ctx, name, mediaType)
		if err != nil {
			return nil, err
		}
		p.layers = append(p.layers, d)
	}
	p.config = ocispec.DescriptorEmptyJSON
	p.config.Data = nil
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: ArtifactType, Config: p.config, Layers: p.layers}
	if p.manifest, err = json.Marshal(m); err != nil {
		return nil, err
	}
	p.desc = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: ArtifactType,
		Digest: digest.FromBytes(p.manifest), Size: int64(len(p.manifest))}
	return p, nil
}

// choose lists the flasher manifests, manifest.yaml first, and the other files
// of the bundle, and checks every manifest against them.
func choose(b *Bundle, fsys fs.FS) (manifests, names []string, err error) {
	tops, err := b.Manifests()
	if err != nil {
		return nil, nil, err
	}
	files := map[string]bool{}
	for _, name := range tops {
		if name != DefaultManifest && !claimsManifest(fsys, name) {
			b.c.logger.Info("left out, because it is no flasher manifest", "file", name)
			continue
		}
		m, err := b.Manifest(name)
		if err != nil {
			return nil, nil, err
		}
		manifests = append(manifests, name)
		for _, f := range m.Files() {
			files[f] = true
		}
	}
	if len(manifests) == 0 {
		return nil, nil, fmt.Errorf("%w: no YAML file of kind %s", ErrNoManifest, ManifestKind)
	}
	if i := slices.Index(manifests, DefaultManifest); i > 0 {
		manifests = slices.Insert(slices.Delete(manifests, i, i+1), 0, DefaultManifest)
	}
	if err := walkData(fsys, files, b.c.limits.Files); err != nil {
		return nil, nil, err
	}
	for name := range files {
		if !slices.Contains(manifests, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return manifests, names, nil
}

// claimsManifest reports whether a YAML file says that it is a flasher manifest.
func claimsManifest(fsys fs.FS, name string) bool {
	data, err := readLimited(fsys, name, maxManifestSize)
	var head struct {
		Kind string `yaml:"kind"`
	}
	return err == nil && yaml.Unmarshal(data, &head) == nil && head.Kind == ManifestKind
}

func readLimited(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, name, limit)
	}
	return data, err
}

// walkData adds everything in data/, but for the file that keeps an empty
// directory in git.
func walkData(fsys fs.FS, files map[string]bool, limit int) error {
	return fs.WalkDir(fsys, "data", func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == "data" {
			return fs.SkipAll
		}
		if err != nil {
			return err
		}
		if e.IsDir() || path.Base(name) == ".gitkeep" {
			return nil
		}
		fi, err := fs.Stat(fsys, name)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnsafePath, err)
		}
		if !fi.Mode().IsRegular() {
			return fmt.Errorf("%w: %q is no regular file (%s)", ErrUnsafePath, name, fi.Mode().Type())
		}
		if err := checkPath(name); err != nil {
			return err
		}
		if files[name] = true; len(files) > limit {
			return fmt.Errorf("%w: more than %d files", ErrTooLarge, limit)
		}
		return nil
	})
}

func (p *packed) describe(ctx context.Context, name, mediaType string) (ocispec.Descriptor, error) {
	f, err := p.fsys.Open(name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer f.Close()
	sum := digest.SHA256.Digester()
	n, err := io.CopyBuffer(sum.Hash(), blobstore.ContextReader(ctx, f), make([]byte, 256<<10))
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%s: %w", name, err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: sum.Digest(), Size: n,
		Annotations: map[string]string{ocispec.AnnotationTitle: name}}, nil
}

// open opens the content of a layer.
func (p *packed) open(d ocispec.Descriptor) (fs.File, error) {
	return p.fsys.Open(d.Annotations[ocispec.AnnotationTitle])
}
