package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/opencontainers/go-digest"

	"github.com/dutflash/dutflash/bundle/internal/blobstore"
	"github.com/dutflash/dutflash/internal/filelock"
)

// Overrides replace parts of a bundle for one use. A file is named by a local
// path or an http(s) URL. The zero value replaces nothing.
type Overrides struct {
	// Manifest is the name of the manifest in the bundle that is used in
	// place of manifest.yaml.
	Manifest string
	// ManifestFile is a file from outside that is used as the manifest; its
	// paths are those of the bundle. It excludes Manifest.
	ManifestFile string
	// Variant is the DTB variant that is used in place of dtb.default.
	Variant string
	// Kernel, Initram and DTB are files that are loaded in place of those of
	// the manifest (DTB: of the variant in use).
	Kernel, Initram, DTB string
	// The addresses to load them to, where the manifest's should not be used
	// or it has none.
	KernelAddress, InitramAddress, DTBAddress Address
	// BootCmd replaces the boot command (of the variant in use).
	BootCmd string
}

// ErrOverride: an override would have no effect, because the boot command does
// not pass on what is replaced, or lacks something to take effect.
var ErrOverride = errors.New("override cannot take effect")

// With returns a bundle that is like b but for what o says. What a URL names is
// fetched now, into the cache, until ctx ends. Both bundles have to be closed,
// in any order. The manifest in use is read and checked, so that an override
// that cannot work is an error here: one that matches [ErrOverride],
// [ErrUnknownVariant], [ErrNoManifest], [ErrNotFound] or [ErrReference] (a malformed
// URL), or a [*ManifestError]. A redirect from https to http is not followed.
func (b *Bundle) With(ctx context.Context, o Overrides) (_ *Bundle, err error) {
	defer func() { err = fail("override", b.ref, "", err) }()
	if err := b.usable(); err != nil {
		return nil, err
	}
	if o.Manifest != "" && o.ManifestFile != "" {
		return nil, fmt.Errorf("%w: Manifest %q and ManifestFile %q exclude each other", ErrOverride, o.Manifest, o.ManifestFile)
	}
	over := &overlay{base: b.content, files: map[string]replacement{}}
	d := &Bundle{ref: b.ref, kind: b.kind, digest: b.digest, content: over, c: b.c, shared: b.shared,
		manifest: b.manifest, warnings: b.Warnings(), changes: slices.Clone(b.changes)}
	if !b.shared.use() {
		return nil, ErrClosed
	}
	d.release = over.close
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if o.Manifest != "" {
		d.manifest = o.Manifest
	}
	if o.ManifestFile != "" {
		if d.manifest, err = over.add(ctx, b.c, "manifest", o.ManifestFile); err != nil {
			return nil, err
		}
	}
	names := changed{Overrides: o}
	for _, f := range []struct {
		kind, from string
		to         *string
	}{{"kernel", o.Kernel, &names.kernel}, {"initram", o.Initram, &names.initram}, {"dtb", o.DTB, &names.dtb}} {
		if f.from == "" {
			continue
		}
		if *f.to, err = over.add(ctx, b.c, f.kind, f.from); err != nil {
			return nil, err
		}
	}
	d.changes = append(d.changes, names)
	if _, err := d.readManifest(cmp.Or(d.manifest, DefaultManifest)); err != nil {
		return nil, err
	}
	return d, nil
}

// changed is what one With does to a manifest.
type changed struct {
	Overrides
	kernel, initram, dtb string // paths of the replacements in the bundle
}

func (c changed) apply(m *Manifest) error {
	s := &m.Spec
	if c.Variant != "" {
		v, err := m.Variant(c.Variant)
		if err != nil {
			return err
		}
		s.DTB.Default = v.Name
	}
	place := func(what string, a *Artefact, file string, addr Address) (*Artefact, error) {
		if a == nil && (file == "" || addr == "") {
			if file == "" && addr == "" {
				return nil, nil
			}
			return nil, fmt.Errorf("%w: manifest %s has no %s, so both a file and an address are needed", ErrOverride, m.label(), what)
		}
		n := Artefact{}
		if a != nil {
			n = *a
		}
		if file != "" {
			n.File = file
		}
		if addr != "" {
			n.Address = addr
		}
		return &n, nil
	}
	var err error
	if s.Kernel, err = place("kernel", s.Kernel, c.kernel, c.KernelAddress); err != nil {
		return err
	}
	if s.Initram, err = place("initram", s.Initram, c.initram, c.InitramAddress); err != nil {
		return err
	}
	if err := c.applyDTB(m); err != nil {
		return err
	}
	if c.BootCmd != "" {
		if s.DTB == nil {
			s.BootCmd = c.BootCmd
		} else {
			v, err := m.Variant("")
			if err != nil {
				return err
			}
			v.BootCmd = c.BootCmd
			s.DTB.Variants[v.Name] = v
		}
	}
	return c.effective(m)
}

func (c changed) applyDTB(m *Manifest) error {
	s := &m.Spec
	if c.dtb == "" && c.DTBAddress == "" {
		return nil
	}
	if s.DTB == nil {
		if c.dtb == "" || c.DTBAddress == "" {
			return fmt.Errorf("%w: manifest %s has no dtb, so both a file and an address are needed", ErrOverride, m.label())
		}
		s.DTB = &DTB{Default: "override", Address: c.DTBAddress, Variants: map[string]Variant{"override": {File: c.dtb}}}
		return nil
	}
	if c.DTBAddress != "" {
		s.DTB.Address = c.DTBAddress
	}
	if c.dtb != "" {
		v, err := m.Variant("")
		if err != nil {
			return err
		}
		s.DTB.Variants[v.Name] = Variant{File: c.dtb, BootCmd: s.DTB.Variants[v.Name].BootCmd}
	}
	return nil
}

// effective makes sure that the boot command passes on what was replaced. A
// FIT bundle, for instance, boots its own device tree unless a variant says
// otherwise.
func (c changed) effective(m *Manifest) error {
	v, err := m.Variant("")
	if err != nil {
		return err
	}
	s := &m.Spec
	type use struct {
		set   bool
		what  string
		place Address
		arg   int
	}
	var uses []use
	if s.Kernel != nil {
		uses = append(uses, use{c.kernel != "" || c.KernelAddress != "", "a kernel", s.Kernel.Address, 0})
	}
	if s.Initram != nil {
		uses = append(uses, use{c.initram != "" || c.InitramAddress != "", "an initramfs", s.Initram.Address, 1})
	}
	if s.DTB != nil {
		uses = append(uses, use{c.dtb != "" || c.DTBAddress != "", "a DTB", s.DTB.Address, 2})
	}
	for _, u := range uses {
		if u.set && !takes(v.BootCmd, u.arg, u.place) {
			return fmt.Errorf("%w: %q does not take %s at %s; %s", ErrOverride, v.BootCmd, u.what, u.place, c.hint(m, u.arg, u.place))
		}
	}
	return nil
}

// takes reports whether a boot command passes on what is loaded to addr, as
// far as that can be known: as argument i, and without writing over it.
func takes(line string, i int, addr Address) bool {
	if overwrites(line, addr) {
		return false
	}
	boot, ok := parseBoot(line)
	switch {
	case !ok || boot.verb != "booti" && boot.verb != "bootz" && boot.verb != "bootm":
		return true // what the arguments of others mean is not known
	case i == 0:
		// What takes the kernel apart first boots it from elsewhere.
		return len(boot.args) == 0 || boot.uses(0, addr) || len(written(line)) > 0
	}
	return boot.uses(i, addr)
}

// hint names the variants that would take it.
func (c changed) hint(m *Manifest, arg int, addr Address) string {
	var able []string
	for _, name := range m.VariantNames() {
		if arg == 0 {
			break // no variant is about another place for the kernel
		}
		if v, err := m.Variant(name); err == nil && takes(v.BootCmd, arg, addr) {
			able = append(able, name)
		}
	}
	if len(able) == 0 {
		return "set a boot command that does"
	}
	return "the boot command of these variants does: " + list(able)
}

// overlay is content with some files of its own on top.
type overlay struct {
	base   content
	files  map[string]replacement
	leases []*filelock.Lock
}

// replacement is a file on this machine.
type replacement struct {
	path   string
	digest digest.Digest
	stamp  blobstore.Stamp
}

func (o *overlay) list() ([]string, error) {
	names, err := o.base.list()
	for name := range o.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

func (o *overlay) top() ([]string, error) { return o.base.top() }

func (o *overlay) stat(name string) (int64, string, error) {
	if r, ok := o.files[name]; ok {
		return r.stamp.Size, string(r.digest), nil
	}
	return o.base.stat(name)
}

func (o *overlay) open(ctx context.Context, name string) (*File, error) {
	r, ok := o.files[name]
	if !ok {
		return o.base.open(ctx, name)
	}
	f, err := os.Open(r.path)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && (fi.Size() != r.stamp.Size || !fi.ModTime().Equal(r.stamp.ModTime)) {
		err = fmt.Errorf("%w: %s has changed since it was chosen", ErrDigest, r.path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{io.NewSectionReader(f, 0, r.stamp.Size), name, string(r.digest), f.Close}, nil
}

func (o *overlay) close() error {
	var err error
	for _, l := range o.leases {
		err = errors.Join(err, l.Unlock())
	}
	return err
}

// add brings in a file and returns its path in the bundle, which keeps the base
// name as far as U-Boot's command line can take it, as that is what a board
// sees when it loads the file.
func (o *overlay) add(ctx context.Context, c *config, kind, from string) (string, error) {
	base := filepath.Base(from)
	u, isURL, err := parseHTTP(from)
	if err != nil {
		return "", fmt.Errorf("%s: %w", kind, err)
	}
	if isURL {
		base = path.Base(u.Path)
	}
	base = strings.Map(func(r rune) rune {
		if r < 128 && (r == '.' || r == '-' || r == '_' || r == '+' || unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '_'
	}, base)
	if checkPath(base) != nil {
		base = kind
	}
	var r replacement
	if isURL {
		r, err = o.fetch(ctx, c, u)
	} else {
		r, err = local(ctx, from)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", kind, err)
	}
	name := path.Join("override", kind, base)
	o.files[name] = r
	return name, nil
}

// parseHTTP says whether s is an http(s) URL. One that is malformed is not shown: a
// password with a slash or a question mark in it is what makes a URL so.
func parseHTTP(s string) (u *url.URL, isURL bool, err error) {
	scheme, _, _ := strings.Cut(s, "://")
	if !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") || len(scheme) == len(s) {
		return nil, false, nil
	}
	if u, err = url.Parse(s); err != nil || u.Host == "" {
		return nil, false, fmt.Errorf("%w: not an %s URL; in a user name or password, characters such as / ? # @ %% have to be written as %%XX", ErrReference, strings.ToLower(scheme))
	}
	return u, true, nil
}

// absent is about a file that is not there. It matches ErrNotFound, whose text
// speaks of a bundle.
type absent struct{ error }

func (a absent) Is(target error) bool { return target == ErrNotFound }
func (a absent) Unwrap() error        { return a.error }

// local takes the digest of a file, so that what was chosen is what is used.
func local(ctx context.Context, name string) (replacement, error) {
	name, err := filepath.Abs(strings.TrimPrefix(name, "file://"))
	if err != nil {
		return replacement{}, err
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return replacement{}, absent{err}
	}
	if err != nil {
		return replacement{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return replacement{}, err
	}
	if !fi.Mode().IsRegular() {
		return replacement{}, fmt.Errorf("%s is no regular file", name)
	}
	d, err := digest.FromReader(blobstore.ContextReader(ctx, f))
	if err != nil {
		return replacement{}, fmt.Errorf("%s: %w", name, err)
	}
	return replacement{name, d, blobstore.Stamp{Size: fi.Size(), ModTime: fi.ModTime()}}, nil
}
