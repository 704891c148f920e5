package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"time"
)

// Bundle is an open flasher bundle. Its methods may be used concurrently.
// Close it when it is no longer needed; files that were opened from it stay
// readable.
type Bundle struct {
	ref      string
	kind     Kind
	digest   string
	content  content
	c        *config
	manifest string    // what Manifest("") means
	changes  []changed // by With
	shared   *shared
	release  func() error // of what only this bundle holds, or nil

	mu       sync.Mutex
	warnings []string
	closed   bool
}

// shared is what a bundle and those derived from it release together.
type shared struct {
	mu      sync.Mutex
	users   int
	over    bool // released
	release func() error
}

// use adds a user, unless the last one has gone.
func (s *shared) use() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	s.users++
	return true
}

func (s *shared) done() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users > 0 {
		return nil
	}
	s.over = true
	if s.release == nil {
		return nil
	}
	return s.release()
}

// Open opens the bundle that ref names, and pulls what the cache lacks. ref is
//
//   - an OCI reference, with or without "oci://", as the docker and oras
//     commands take it: [REGISTRY/]REPOSITORY[:TAG|@DIGEST], without user and
//     password, for which there is [WithCredentials];
//   - an OCI layout, as a directory or tar file, followed by :TAG or @DIGEST
//     where it has several manifests;
//   - a plain directory with a manifest.yaml.
//
// A path that exists wins over a repository of the same name; "oci://" and
// "file://" decide it either way. [Bundle.Kind] says which it was.
//
// Errors are [*Error] and match one of the sentinels of this package, where
// one applies: [ErrReference], [ErrNotFound], [ErrUnauthorized],
// [ErrUnreachable], [ErrOffline], [ErrNoManifest], [ErrUnsafePath],
// [ErrDuplicatePath], [ErrDigest], [ErrTooLarge]. Open gives up when ctx ends,
// and leaves only whole blobs in the cache.
func Open(ctx context.Context, ref string, opts ...Option) (*Bundle, error) {
	c, err := openConfig(opts)
	if err != nil {
		return nil, fail("open", shown(ref), "", err)
	}
	loc, err := locate(ref)
	ref = shown(ref)
	if err != nil {
		return nil, fail("open", ref, "", err)
	}
	c.logger.Debug("opening bundle", "ref", ref, "kind", string(loc.kind))
	var b *Bundle
	switch loc.kind {
	case KindDirectory:
		b, err = openDirectory(loc.path, c)
	case KindRegistry:
		b, err = openRegistry(ctx, loc, c, ref)
	default:
		b, err = openLayout(ctx, loc, c)
	}
	if err != nil {
		return nil, fail("open", ref, "", err)
	}
	b.ref = ref
	return b.init(c)
}

// OpenFS opens a bundle that lies in a file system: either a manifest.yaml and
// its files, or an OCI layout, which is copied into the cache within ten minutes.
func OpenFS(fsys fs.FS, opts ...Option) (*Bundle, error) {
	c, err := openConfig(opts)
	if err != nil {
		return nil, fail("open", "fs.FS", "", err)
	}
	b := &Bundle{kind: KindFS, content: &fsContent{fsys, c.limits}, shared: &shared{}}
	if _, err := fs.Stat(fsys, "oci-layout"); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		b, err = pullLayout(ctx, fsys, location{kind: KindFS}, c)
		if err != nil {
			return nil, fail("open", "fs.FS", "", err)
		}
	}
	b.ref = "fs.FS"
	return b.init(c)
}

// openConfig refuses what has no meaning for opening.
func openConfig(opts []Option) (*config, error) {
	c, err := newConfig(opts)
	if err == nil && c.tag != "" {
		err = fmt.Errorf("%w: WithTag is for Create; write the tag behind the reference", ErrReference)
	}
	return c, err
}

func openDirectory(dir string, c *config) (*Bundle, error) {
	// An os.Root does not follow links out of the directory.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Bundle{kind: KindDirectory, content: &fsContent{root.FS(), c.limits},
		shared: &shared{release: root.Close}}, nil
}

// init finishes a new bundle: one without any manifest is refused.
func (b *Bundle) init(c *config) (*Bundle, error) {
	b.c = c
	b.shared.use()
	names, err := b.Manifests()
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%w: it has no YAML file at its top", ErrNoManifest)
	}
	if err != nil {
		return nil, errors.Join(fail("open", b.ref, "", err), b.Close())
	}
	return b, nil
}

// Reference returns the text that the bundle was opened with, or "fs.FS".
func (b *Bundle) Reference() string { return b.ref }

// Kind returns what the reference was found to be.
func (b *Bundle) Kind() Kind { return b.kind }

// Digest returns "sha256:..." of the OCI manifest, or "" for a plain directory
// or file system. It does not cover overrides.
func (b *Bundle) Digest() string { return b.digest }

// Warnings returns what a user should know although nothing failed: that a
// stale cached digest is used, that a manifest has unknown fields, ...
func (b *Bundle) Warnings() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.warnings)
}

func (b *Bundle) warn(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.warnings, text) {
		b.warnings = append(b.warnings, text)
	}
}

// usable tells whether the bundle was closed.
func (b *Bundle) usable() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return fail("read", b.ref, "", ErrClosed)
	}
	return nil
}

// Close releases the bundle's hold on the cache, where its files stay until
// they are pruned. It may be called more than once.
func (b *Bundle) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	var err error
	if b.release != nil {
		err = b.release()
	}
	return fail("close", b.ref, "", errors.Join(err, b.shared.done()))
}

// Files returns the paths of all files, sorted.
func (b *Bundle) Files() ([]string, error) {
	if err := b.usable(); err != nil {
		return nil, err
	}
	names, err := b.content.list()
	return names, fail("read", b.ref, "", err)
}

// Manifests returns the names that [Bundle.Manifest] can be asked for: the
// YAML files at the top of the bundle, sorted.
func (b *Bundle) Manifests() ([]string, error) {
	if err := b.usable(); err != nil {
		return nil, err
	}
	all, err := b.content.top()
	if err != nil {
		return nil, fail("read", b.ref, "", err)
	}
	slices.Sort(all)
	return slices.DeleteFunc(all, func(name string) bool {
		return !isManifestName(name)
	}), nil
}

// isManifestName reports whether a path is that of a YAML file at the top.
func isManifestName(name string) bool {
	return path.Dir(name) == "." && (path.Ext(name) == ".yaml" || path.Ext(name) == ".yml")
}

// Size returns how many bytes the named file has. A name that the bundle lacks
// matches [ErrNoFile].
func (b *Bundle) Size(name string) (int64, error) {
	if err := b.usable(); err != nil {
		return 0, err
	}
	n, _, err := b.stat(name)
	return n, fail("read", b.ref, name, err)
}

func (b *Bundle) stat(name string) (int64, string, error) {
	if err := checkPath(name); err != nil {
		return 0, "", err
	}
	return b.content.stat(name)
}

// Open opens the named file. What comes from a registry or layout is known to
// match its digest. A name that the bundle lacks matches [ErrNoFile], a copy
// that was damaged in the cache [ErrDigest].
func (b *Bundle) Open(name string) (*File, error) {
	if err := b.usable(); err != nil {
		return nil, err
	}
	if err := checkPath(name); err != nil {
		return nil, fail("read", b.ref, name, err)
	}
	f, err := b.content.open(context.Background(), name)
	if err != nil {
		return nil, fail("read", b.ref, name, err)
	}
	return f, nil
}

// Manifest reads and checks the manifest of that name, "" being manifest.yaml
// or what [Bundle.With] says, whose other changes are applied too. What is
// wrong is a [*ManifestError]; a name that the bundle lacks matches [ErrNoManifest] and the error lists those it has.
func (b *Bundle) Manifest(name string) (*Manifest, error) {
	if err := b.usable(); err != nil {
		return nil, err
	}
	name = cmp.Or(name, b.manifest, DefaultManifest)
	m, err := b.readManifest(name)
	if err != nil {
		return nil, fail("read", b.ref, name, err)
	}
	return m, nil
}

func (b *Bundle) readManifest(name string) (*Manifest, error) {
	size, _, err := b.stat(name)
	if errors.Is(err, ErrNoFile) {
		names, lerr := b.Manifests()
		if lerr != nil {
			return nil, lerr
		}
		return nil, fmt.Errorf("%w %q; the bundle has %s", ErrNoManifest, name, list(names))
	}
	if err != nil {
		return nil, err
	}
	if size > maxManifestSize {
		return nil, &ManifestError{Name: name, Problems: []Problem{{
			Message: fmt.Sprintf("%d bytes of YAML, more than the %d that are read", size, maxManifestSize), Err: ErrTooLarge}}}
	}
	f, err := b.content.open(context.Background(), name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	m, warnings, err := ParseManifest(name, data)
	if err != nil {
		return nil, err
	}
	if b.c.strict && len(warnings) > 0 {
		return nil, &ManifestError{Name: name, Problems: warnings}
	}
	for _, w := range warnings {
		b.warn(fmt.Sprintf("manifest %s:%s", name, w.Error()))
	}
	for _, c := range b.changes {
		if err := c.apply(m); err != nil {
			return nil, err
		}
	}
	return m, m.validate(func(name string) (int64, error) {
		n, _, err := b.stat(name)
		return n, err
	})
}
