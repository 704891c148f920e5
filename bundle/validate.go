package bundle

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// sizer tells how large a file of the bundle is. It returns an error that
// matches ErrNoFile where there is none.
type sizer func(name string) (int64, error)

// Validate checks a manifest that was made or changed in code and returns a
// [*ManifestError] with every problem, or nil. [ParseManifest] and
// [Bundle.Manifest] have done so already.
func (m *Manifest) Validate() error { return m.validate(nil) }

func (m *Manifest) validate(size sizer) error {
	ps := m.check(size)
	if len(ps) == 0 {
		return nil
	}
	sortProblems(ps)
	return &ManifestError{Name: m.label(), Problems: ps}
}

type checker struct {
	m  *Manifest
	ps []Problem
}

func (c *checker) add(path string, err error, format string, args ...any) {
	p := Problem{Path: path, Message: fmt.Sprintf(format, args...), Err: err}
	// The nearest field that the text has tells the place.
	for at := path; ; {
		if pos, ok := c.m.pos[at]; ok {
			p.Line, p.Column = pos.line, pos.column
			break
		}
		if at == "" {
			break
		}
		at = at[:max(strings.LastIndexByte(at, '.'), 0)]
	}
	c.ps = append(c.ps, p)
}

// check finds everything that is wrong; size is nil where the files are not
// known.
func (m *Manifest) check(size sizer) []Problem {
	c := &checker{m: m}
	s := &m.Spec
	if m.Name == "" {
		c.add("metadata.name", nil, "is missing")
	}
	if s.Login.Type != DefaultLoginType {
		c.add("spec.login.type", nil, "%q is not supported, only %q", s.Login.Type, DefaultLoginType)
	}
	for path, text := range map[string]string{
		"metadata.name": m.Name, "spec.manufacturer": s.Manufacturer, "spec.link": s.Link, "spec.bootcmd": s.BootCmd,
		"spec.default_target": s.DefaultTarget, "spec.login.login_prompt": s.Login.LoginPrompt,
		"spec.login.username": s.Login.Username, "spec.login.password": s.Login.Password, "spec.login.prompt": s.Login.Prompt,
	} {
		if strings.ContainsFunc(text, unicode.IsControl) {
			c.add(path, nil, "contains a control character or a line break")
		}
	}
	c.targets()
	if s.Kernel != nil { // else the boot command finds one on the board
		c.artefact("spec.kernel", s.Kernel, size)
	}
	if s.Initram != nil {
		c.artefact("spec.initram", s.Initram, size)
	}
	c.boot(size)
	if size != nil {
		c.overlaps(size)
	}
	return c.ps
}

func (c *checker) targets() {
	s := &c.m.Spec
	if len(s.Targets) == 0 {
		c.add("spec.targets", nil, "is missing: name at least one block device")
	}
	for name, dev := range s.Targets {
		at := join("spec.targets", name)
		if name == "" || strings.ContainsFunc(name, unicode.IsControl) {
			c.add(at, nil, "the name of a target must not be empty or contain control characters")
		}
		if why := noDevice(dev); why != "" {
			c.add(at, nil, "%q is no device path: %s", dev, why)
		}
	}
	if _, ok := s.Targets[s.DefaultTarget]; !ok && s.DefaultTarget != "" {
		c.add("spec.default_target", ErrUnknownTarget, "%q is not in targets, which has %s", s.DefaultTarget, list(c.m.TargetNames()))
	}
}

// noDevice says why dev cannot be a target, "" where it can.
func noDevice(dev string) string {
	if strings.ContainsFunc(dev, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune("\"'`$;&|<>(){}*?!\\", r)
	}) {
		return "it contains characters that a shell would interpret"
	}
	if addr, ok := strings.CutPrefix(dev, "/sys/class/block#"); ok {
		if addr == "" {
			return "nothing stands after /sys/class/block#"
		}
		return ""
	}
	rest, ok := strings.CutPrefix(dev, "/dev/")
	if !ok {
		return "want /dev/NAME or /sys/class/block#ADDRESS"
	}
	if checkPath(rest) != nil {
		return "nothing sensible stands after /dev/"
	}
	return ""
}

func (c *checker) artefact(at string, a *Artefact, size sizer) {
	if a.File == "" {
		c.add(at+".file", nil, "is missing")
	} else {
		c.file(at+".file", a.File, size)
	}
	c.address(at+".address", a.Address)
}

func (c *checker) file(at, name string, size sizer) {
	if err := checkPath(name); err != nil {
		c.add(at, ErrUnsafePath, "%v; paths are relative to the bundle", err)
		return
	}
	if size == nil {
		return
	}
	n, err := size(name)
	switch {
	case err != nil:
		c.add(at, ErrNoFile, "%v", err)
	case n == 0:
		c.add(at, nil, "%q is empty", name)
	}
}

func (c *checker) address(at string, a Address) {
	switch _, ok := a.Uint64(); {
	case a == "":
		c.add(at, nil, "is missing")
	case !ok && !a.Variable():
		c.add(at, nil, "%q is no address: want a hexadecimal number such as 0x82000000, or a U-Boot variable such as ${loadaddr}", string(a))
	}
}

// boot checks the device tree variants and that each way to boot has a command.
func (c *checker) boot(size sizer) {
	s := &c.m.Spec
	if s.DTB == nil {
		if s.BootCmd == "" {
			c.add("spec.bootcmd", nil, "is missing")
		}
		return
	}
	if len(s.DTB.Variants) == 0 {
		c.add("spec.dtb.variants", nil, "is missing: name at least one variant, or leave out dtb")
	}
	if _, ok := s.DTB.Variants[s.DTB.Default]; !ok && s.DTB.Default != "" && len(s.DTB.Variants) > 0 {
		c.add("spec.dtb.default", ErrUnknownVariant, "%q is not in variants, which has %s", s.DTB.Default, list(c.m.VariantNames()))
	}
	files, needBootCmd := false, false
	for name, v := range s.DTB.Variants {
		at := join("spec.dtb.variants", name)
		if name == "" || strings.ContainsFunc(name, unicode.IsControl) {
			c.add(at, nil, "the name of a variant must not be empty or contain control characters")
		}
		if v.File == "" && v.BootCmd == "" {
			c.add(at, nil, "has neither a file nor a bootcmd")
		}
		if v.File != "" {
			files = true
			c.file(at+".file", v.File, size)
		}
		if strings.ContainsFunc(v.BootCmd, unicode.IsControl) {
			c.add(at+".bootcmd", nil, "contains a control character or a line break")
		}
		needBootCmd = needBootCmd || v.BootCmd == ""
	}
	if needBootCmd && s.BootCmd == "" {
		c.add("spec.bootcmd", nil, "is missing, and not every variant has its own")
	}
	if files || s.DTB.Address != "" {
		c.address("spec.dtb.address", s.DTB.Address)
	}
}

type region struct {
	at, file   string
	start, end uint64
}

// overlaps finds files that would be loaded over each other. Only one variant
// is loaded at a time, so variants are compared with the rest, not among
// themselves.
func (c *checker) overlaps(size sizer) {
	var fixed []region
	add := func(to []region, at, file string, a Address) []region {
		start, ok := a.Uint64()
		n, err := size(file)
		if !ok || err != nil || file == "" || n <= 0 {
			return to
		}
		return append(to, region{at, file, start, start + uint64(n)})
	}
	s := &c.m.Spec
	if s.Kernel != nil {
		fixed = add(fixed, "spec.kernel", s.Kernel.File, s.Kernel.Address)
	}
	if s.Initram != nil {
		fixed = add(fixed, "spec.initram", s.Initram.File, s.Initram.Address)
	}
	var variants []region
	if s.DTB != nil {
		for _, name := range slices.Sorted(maps.Keys(s.DTB.Variants)) {
			variants = add(variants, join("spec.dtb.variants", name), s.DTB.Variants[name].File, s.DTB.Address)
		}
	}
	for i, a := range fixed {
		for _, b := range slices.Concat(fixed[i+1:], variants) {
			if a.start < b.end && b.start < a.end {
				if cmp.Compare(a.start, b.start) > 0 {
					a, b = b, a
				}
				c.add(b.at+".address", nil, "%s would be loaded to %#x, into %s, which takes %#x to %#x",
					b.file, b.start, a.file, a.start, a.end-1)
			}
		}
	}
}
