package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/dutflash/dutflash/bundle/internal/artefact"
)

// Severity says how much a [Finding] matters.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // it cannot work
	SeverityWarning Severity = "warning" // it probably does not do what was meant
	SeverityNote    Severity = "note"    // worth knowing
)

// Finding is one piece of advice about a bundle.
type Finding struct {
	Severity Severity
	Manifest string // file name of the manifest, "" for the bundle as a whole
	Path     string // field of the manifest, or a file
	Message  string
}

// String writes the finding in one line.
func (f Finding) String() string {
	s := string(f.Severity) + ": "
	for _, part := range []string{f.Manifest, f.Path} {
		if part != "" {
			s += part + ": "
		}
	}
	return s + f.Message
}

// Lint opens the bundle that ref names, as [Open] does, and gives the advice of
// [Bundle.Lint].
func Lint(ctx context.Context, ref string, opts ...Option) ([]Finding, error) {
	b, err := Open(ctx, ref, opts...)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return b.Lint(ctx)
}

// Lint looks for mistakes in all manifests of the bundle and reads the
// beginning of the files that they name: whether the kernel is of a kind that
// the boot command can boot, the device trees are some, the initramfs is passed
// on in a way that U-Boot accepts, and so on. Errors in a manifest are
// findings; the error is for what kept Lint from looking. Of a bundle with
// overrides only the manifest in use is looked at, as they leave it.
func (b *Bundle) Lint(ctx context.Context) ([]Finding, error) {
	names, err := b.Manifests()
	if err != nil {
		return nil, err
	}
	if len(b.changes) > 0 {
		names = []string{cmp.Or(b.manifest, DefaultManifest)} // the overrides are meant for this one
	}
	l := &linter{ctx: ctx, b: b, used: map[string]bool{}, infos: map[string]artefact.Info{}}
	if !slices.Contains(names, DefaultManifest) && len(b.changes) == 0 {
		l.add(SeverityWarning, "", "there is no %s, so a manifest must always be named: %s", DefaultManifest, list(names))
	}
	for _, name := range names {
		l.manifest, l.used[name] = name, true
		m, err := b.Manifest(name)
		var me *ManifestError
		switch {
		case errors.As(err, &me):
			for _, p := range me.Problems {
				l.add(SeverityError, p.Path, "%s%s", place{p.Line, p.Column}, p.Message)
			}
		case err != nil:
			return nil, err
		default:
			if err := l.check(m); err != nil {
				return nil, fail("lint", b.ref, "", err)
			}
		}
	}
	l.manifest = ""
	for _, w := range b.Warnings() {
		l.add(SeverityWarning, "", "%s", w)
	}
	return l.found, l.unused()
}

func (p place) String() string {
	if p.line == 0 {
		return ""
	}
	return fmt.Sprintf("line %d: ", p.line)
}

type linter struct {
	ctx      context.Context
	b        *Bundle
	manifest string
	found    []Finding
	used     map[string]bool
	infos    map[string]artefact.Info
}

func (l *linter) add(s Severity, path, format string, args ...any) {
	f := Finding{s, l.manifest, path, fmt.Sprintf(format, args...)}
	if !slices.Contains(l.found, f) {
		l.found = append(l.found, f)
	}
}

// info identifies a file, once.
func (l *linter) info(name string) (artefact.Info, error) {
	if i, ok := l.infos[name]; ok {
		return i, nil
	}
	if err := l.ctx.Err(); err != nil {
		return artefact.Info{}, err
	}
	f, err := l.b.content.open(l.ctx, name)
	if err != nil {
		return artefact.Info{}, err
	}
	defer f.Close()
	i, err := artefact.Identify(f, f.Size())
	if err != nil {
		l.add(SeverityError, name, "%v", err)
	}
	l.infos[name] = i
	return i, nil
}

func (l *linter) check(m *Manifest) error {
	s := &m.Spec
	for field, value := range map[string]string{"spec.manufacturer": s.Manufacturer, "spec.default_target": s.DefaultTarget} {
		if value == "" {
			l.add(SeverityWarning, field, "is missing; Jumpstarter requires it")
		}
	}
	if s.Link == "" {
		l.add(SeverityNote, "spec.link", "is missing; it should lead to the documentation of the board")
	}
	bases := map[string]string{}
	for _, name := range m.Files() {
		l.used[name] = true
		base := path.Base(name)
		if other, ok := bases[base]; ok {
			l.add(SeverityWarning, name, "has the same base name as %s; Jumpstarter serves both under it", other)
		}
		bases[base] = name
		if strings.ContainsAny(name, " \t;$&|'\"#") {
			l.add(SeverityError, name, "the name contains a character that U-Boot's command line would interpret")
		}
		if size, _, err := l.b.stat(name); err == nil && size > 0 {
			if _, err := l.info(name); err != nil {
				return err
			}
		}
	}
	if s.Kernel == nil {
		l.add(SeverityWarning, "spec.kernel", "is missing, so the boot command must take a kernel that is on the board already; Jumpstarter requires it")
	} else if kernel := l.infos[s.Kernel.File]; noKernel(kernel.Kind) {
		hint := ""
		if kernel.Kind == artefact.Text {
			hint = "; is it the pointer of a large-file storage?"
		}
		l.add(SeverityError, "spec.kernel.file", "%s is %s, not a kernel%s", s.Kernel.File, kernel.Kind, hint)
	}
	l.initram(m)
	if s.DTB == nil {
		l.boot(m, "spec.bootcmd", Variant{BootCmd: s.BootCmd})
	} else {
		l.dtbs(m)
		for _, name := range m.VariantNames() {
			v, err := m.Variant(name)
			if err != nil {
				return err
			}
			at := "spec.bootcmd"
			if s.DTB.Variants[name].BootCmd != "" {
				at = "spec.dtb.variants." + name + ".bootcmd"
			}
			l.boot(m, at, v)
		}
	}
	l.memory(m)
	return nil
}

func noKernel(k artefact.Kind) bool {
	switch k {
	case artefact.Text, artefact.Unknown, artefact.CPIO, artefact.Squashfs, artefact.DTB:
		return true
	}
	return false
}

// isInitramfs tells what the kernel can unpack, with or without a uImage header.
func isInitramfs(i artefact.Info) bool {
	return i.Kind == artefact.CPIO || i.Kind.Compressed() || i.Kind == artefact.Squashfs ||
		i.Kind == artefact.UImage && i.Type == "ramdisk"
}

func (l *linter) initram(m *Manifest) {
	if m.Spec.Initram == nil {
		return
	}
	i := l.infos[m.Spec.Initram.File]
	switch {
	case isInitramfs(i):
	case i.Kind == artefact.UImage:
		l.add(SeverityError, "spec.initram.file", "%s is a uImage of type %q, not ramdisk", m.Spec.Initram.File, i.Type)
	default:
		l.add(SeverityError, "spec.initram.file", "%s is %s, not a cpio archive, compressed or not, nor a uImage of type ramdisk", m.Spec.Initram.File, i.Kind)
	}
}

func (l *linter) dtbs(m *Manifest) {
	s := &m.Spec
	for _, name := range m.VariantNames() {
		file := s.DTB.Variants[name].File
		if file == "" {
			continue
		}
		at := "spec.dtb.variants." + name + ".file"
		i := l.infos[file]
		size, _, err := l.b.stat(file)
		switch {
		case err != nil:
		case i.Kind != artefact.DTB:
			l.add(SeverityError, at, "%s is %s, not a device tree blob (magic d00dfeed)", file, i.Kind)
		case i.Size > size:
			l.add(SeverityError, at, "%s is cut off: its header announces %d bytes, it has %d", file, i.Size, size)
		}
	}
	if a, ok := s.DTB.Address.Uint64(); ok && a%8 != 0 {
		l.add(SeverityWarning, "spec.dtb.address", "%s is no multiple of 8, as Linux wants it", s.DTB.Address)
	}
}

// unused names files that no manifest uses.
func (l *linter) unused() error {
	if l.b.kind == KindDirectory || l.b.kind == KindFS {
		// Other files in a directory are nobody's business, those in data/ are.
		files := map[string]bool{}
		c, ok := l.b.content.(*fsContent)
		if !ok {
			return nil
		}
		if err := walkData(c.fsys, files, c.limits.Files); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.add(SeverityError, "data", "%v", err)
			return nil
		}
		l.noteUnused(slices.Sorted(maps.Keys(files)))
		return nil
	}
	names, err := l.b.Files()
	l.noteUnused(names)
	return err
}

func (l *linter) noteUnused(names []string) {
	for _, name := range names {
		if !l.used[name] {
			l.add(SeverityNote, name, "no manifest uses it")
		}
	}
}
