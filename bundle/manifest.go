package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// What a manifest of this version says about itself, and the defaults of its
// fields, as in Jumpstarter's description of the format.
const (
	APIVersion   = "jumpstarter.dev/v1alpha1"
	ManifestKind = "FlashBundleManifest"

	// DefaultManifest is the manifest that is used when none is named.
	DefaultManifest = "manifest.yaml"

	DefaultLoginType   = "busybox"
	DefaultLoginPrompt = "login:"
	DefaultShellPrompt = "#"
)

// Manifest describes how to boot a board into the flashing environment and
// where its storage is. Get one from [Bundle.Manifest] or [ParseManifest]. It
// is plain data: reading it concurrently is safe, changing it is not.
type Manifest struct {
	// Name is metadata.name, the board or board family.
	Name string
	Spec Spec

	file string
	pos  map[string]place
}

// Spec is the part of a manifest that describes the board.
type Spec struct {
	Manufacturer string
	Link         string // documentation of the board
	// BootCmd is the U-Boot command that boots what was loaded. A variant
	// may have its own: use [Manifest.Variant].
	BootCmd string
	// DefaultTarget is the name that [Manifest.Target] takes for "".
	DefaultTarget string
	// Targets maps names to block devices: "/dev/..." or
	// "/sys/class/block#ADDRESS", the device whose sysfs path contains ADDRESS.
	Targets map[string]string
	Login   Login
	// PreflashCommands run in the board's shell before the image is written.
	PreflashCommands []string
	// Kernel is nil where the boot command takes one that is on the board already.
	Kernel  *Artefact
	Initram *Artefact // nil where the kernel or FIT brings its own
	DTB     *DTB      // nil where no variant is to be chosen
}

// Login says how to get from the booted kernel to a shell.
type Login struct {
	Type        string // "busybox"; also spelled spec.shelltype in the field
	LoginPrompt string
	Username    string // "" where the board asks for none
	Password    string
	Prompt      string // a hint of what the shell's prompt contains
}

// Artefact is a file and where in RAM it is loaded.
type Artefact struct {
	File    string // path in the bundle, slash-separated and relative
	Address Address
}

// DTB describes the device tree variants. In a FIT bundle the variants have no
// file, only a boot command.
type DTB struct {
	Default  string
	Address  Address
	Variants map[string]Variant
}

// Variant is one choice of device tree. File, BootCmd or both are set.
type Variant struct {
	// Name is filled in by [Manifest.Variant].
	Name    string
	File    string
	BootCmd string
}

// Address is a RAM address as U-Boot's commands take it: hexadecimal, with or
// without "0x", or an environment variable such as "${loadaddr}".
type Address string

// Uint64 returns the address as a number. ok is false where it is empty or a
// U-Boot variable, which only the board can resolve.
func (a Address) Uint64() (v uint64, ok bool) {
	s := string(a)
	if len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") {
		s = s[2:]
	}
	v, err := strconv.ParseUint(s, 16, 64)
	return v, err == nil
}

// Variable reports whether the address is a U-Boot variable.
func (a Address) Variable() bool {
	s, ok := strings.CutPrefix(string(a), "$")
	if !ok {
		return false
	}
	if in, ok := strings.CutPrefix(s, "{"); ok {
		s, ok = strings.CutSuffix(in, "}")
		if !ok {
			return false
		}
	}
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
}

// File returns the name of the file the manifest was read from, or "".
func (m *Manifest) File() string { return m.file }

// VariantNames returns the names of the DTB variants, sorted.
func (m *Manifest) VariantNames() []string {
	if m.Spec.DTB == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(m.Spec.DTB.Variants))
}

// TargetNames returns the names of the targets, sorted.
func (m *Manifest) TargetNames() []string {
	return slices.Sorted(maps.Keys(m.Spec.Targets))
}

// Variant returns the named DTB variant with the boot command that applies to
// it: its own, else that of the manifest. "" is dtb.default, or the only
// variant where there is no default. A manifest without a dtb section has one
// nameless variant without a file. An unknown name is an error that matches
// [ErrUnknownVariant] and lists the known ones.
func (m *Manifest) Variant(name string) (Variant, error) {
	if m.Spec.DTB == nil {
		if name != "" {
			return Variant{}, fmt.Errorf("%w %q: manifest %s has no dtb section", ErrUnknownVariant, name, m.label())
		}
		return Variant{BootCmd: m.Spec.BootCmd}, nil
	}
	names := m.VariantNames()
	if name == "" {
		name = m.Spec.DTB.Default
	}
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if name == "" {
		return Variant{}, fmt.Errorf("%w: manifest %s has no dtb.default; name one of %s",
			ErrUnknownVariant, m.label(), list(names))
	}
	v, ok := m.Spec.DTB.Variants[name]
	if !ok {
		return Variant{}, fmt.Errorf("%w %q: manifest %s has %s", ErrUnknownVariant, name, m.label(), list(names))
	}
	v.Name = name
	if v.BootCmd == "" {
		v.BootCmd = m.Spec.BootCmd
	}
	return v, nil
}

// Target returns the block device of the named target. "" is default_target,
// or the only target where there is no default. An unknown name is an error
// that matches [ErrUnknownTarget] and lists the known ones.
func (m *Manifest) Target(name string) (string, error) {
	names := m.TargetNames()
	if name == "" {
		name = m.Spec.DefaultTarget
	}
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if name == "" {
		return "", fmt.Errorf("%w: manifest %s has no default_target; name one of %s",
			ErrUnknownTarget, m.label(), list(names))
	}
	dev, ok := m.Spec.Targets[name]
	if !ok {
		return "", fmt.Errorf("%w %q: manifest %s has %s", ErrUnknownTarget, name, m.label(), list(names))
	}
	return dev, nil
}

// Files returns the paths of all artefacts that the manifest names, sorted.
func (m *Manifest) Files() []string {
	set := map[string]bool{}
	for _, a := range []*Artefact{m.Spec.Kernel, m.Spec.Initram} {
		if a != nil && a.File != "" {
			set[a.File] = true
		}
	}
	if m.Spec.DTB != nil {
		for _, v := range m.Spec.DTB.Variants {
			if v.File != "" {
				set[v.File] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// label is how errors call the manifest.
func (m *Manifest) label() string {
	if m.file != "" {
		return m.file
	}
	return strconv.Quote(m.Name)
}

// list writes names for an error.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
