package bundle

import (
	"slices"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/bundle/internal/artefact"
)

// boots tells which kinds of kernel a boot command takes.
var boots = map[string][]artefact.Kind{
	"booti":   {artefact.ARM64Image, artefact.RISCVImage},
	"bootz":   {artefact.ZImage},
	"bootm":   {artefact.FIT, artefact.UImage, artefact.Android},
	"zboot":   {artefact.BzImage},
	"bootelf": {artefact.ELF},
	"bootefi": {artefact.PE, artefact.ARM64Image, artefact.RISCVImage, artefact.BzImage},
}

// boot checks one boot command against the files that it boots.
func (l *linter) boot(m *Manifest, at string, v Variant) {
	s := &m.Spec
	cmd, ok := parseBoot(v.BootCmd)
	if !ok {
		l.add(SeverityNote, at, "%q boots in a way that is not known here, so it is not checked against the files", v.BootCmd)
		return
	}
	if len(written(v.BootCmd)) > 0 {
		l.add(SeverityNote, at, "%q unpacks or moves what was loaded before it boots, so it is not checked against the files", v.BootCmd)
		if v.File != "" && overwrites(v.BootCmd, s.DTB.Address) {
			l.add(SeverityError, at, "%q writes over %s, so %s would be loaded in vain", v.BootCmd, s.DTB.Address, v.File)
		}
		return
	}
	if s.Kernel == nil {
		if v.File != "" && len(cmd.args) > 2 && !cmd.uses(2, s.DTB.Address) {
			l.add(SeverityError, at, "%q takes the device tree at %s, but %s is loaded to %s", v.BootCmd, cmd.args[2].addr, v.File, s.DTB.Address)
		}
		return
	}
	kernel := l.infos[s.Kernel.File]
	l.verb(at, cmd, s.Kernel.File, kernel)
	if len(cmd.args) == 0 {
		if s.Initram != nil || v.File != "" {
			l.add(SeverityWarning, at, "%q names no address, so U-Boot boots the file that was loaded last, which is not the kernel", v.BootCmd)
		}
		return
	}
	if !cmd.uses(0, s.Kernel.Address) {
		l.add(SeverityError, at, "%q boots from %s, but the kernel is loaded to %s", v.BootCmd, cmd.args[0].addr, s.Kernel.Address)
	}
	if cmd.verb == "bootelf" || cmd.verb == "bootefi" || cmd.verb == "zboot" {
		return // their further arguments mean other things
	}
	l.fit(at, cmd, s, kernel)
	l.ramdiskArg(at, cmd, m, v, kernel)
	switch {
	case v.File == "":
	case len(cmd.args) < 3:
		l.add(SeverityError, at, "%q takes no device tree, so %s would be loaded in vain", v.BootCmd, v.File)
	case !cmd.uses(2, s.DTB.Address):
		l.add(SeverityError, at, "%q takes the device tree at %s, but %s is loaded to %s", v.BootCmd, cmd.args[2].addr, v.File, s.DTB.Address)
	}
}

func (l *linter) verb(at string, cmd bootCommand, file string, kernel artefact.Info) {
	for _, k := range boots[cmd.verb] {
		if k == kernel.Kind {
			if k == artefact.UImage && kernel.Type != "kernel" && kernel.Type != "multi" {
				l.add(SeverityError, "spec.kernel.file", "%s is a uImage of type %q, not kernel", file, kernel.Type)
			}
			return
		}
	}
	var fits []string
	for _, verb := range []string{"booti", "bootz", "bootm", "zboot", "bootelf", "bootefi"} {
		for _, k := range boots[verb] {
			if k == kernel.Kind {
				fits = append(fits, verb)
			}
		}
	}
	switch {
	case kernel.Kind == "" || noKernel(kernel.Kind):
		// That it could not be read, or is none, has been said.
	case cmd.verb == "booti" && kernel.Kind.Compressed():
		l.add(SeverityWarning, at, "%s is %s: booti unpacks that only where U-Boot has kernel_comp_addr_r and kernel_comp_size set; an Image that is not compressed is safer",
			file, kernel.Kind)
	case len(fits) > 0:
		l.add(SeverityError, at, "%s is %s, which %s does not boot; %s does", file, kernel.Kind, cmd.verb, strings.Join(fits, " or "))
	default:
		l.add(SeverityError, at, "%s is %s, which %s does not boot", file, kernel.Kind, cmd.verb)
	}
}

// fit checks the names behind "#" and ":" against what the FIT contains.
func (l *linter) fit(at string, cmd bootCommand, s *Spec, kernel artefact.Info) {
	if kernel.Kind != artefact.FIT {
		if a := cmd.args[0]; a.sep != 0 && cmd.verb == "bootm" && kernel.Kind != "" {
			l.add(SeverityError, at, "%q chooses a part of a FIT, but %s is %s", string(a.sep)+a.suffix, s.Kernel.File, kernel.Kind)
		}
		return
	}
	for i, a := range cmd.args {
		if a.sep == 0 || strings.Contains(a.suffix, "$") || !cmd.uses(i, s.Kernel.Address) {
			continue
		}
		known, what := kernel.Configs, "configuration"
		if a.sep == ':' {
			known, what = kernel.Images, "image"
		}
		// "#a#b" applies overlays: each is a configuration.
		for name := range strings.SplitSeq(a.suffix, "#") {
			if !slices.Contains(known, name) {
				l.add(SeverityError, at, "%s has no %s %q, it has %s", s.Kernel.File, what, name, list(known))
			}
		}
	}
	if a := cmd.args[0]; a.sep == 0 && kernel.DefaultConfig == "" && len(kernel.Configs) > 1 {
		l.add(SeverityWarning, at, "%s has no default configuration, and the boot command chooses none of %s", s.Kernel.File, list(kernel.Configs))
	}
}

func (l *linter) ramdiskArg(at string, cmd bootCommand, m *Manifest, v Variant, kernel artefact.Info) {
	in := m.Spec.Initram
	none := len(cmd.args) < 2 || cmd.args[1].addr == "-"
	switch {
	case in == nil && none:
		if kernel.Kind != artefact.FIT && kernel.Kind != "" {
			l.add(SeverityNote, at, "%q passes no initramfs, so the kernel must contain its own", v.BootCmd)
		}
		return
	case in == nil:
		if kernel.Kind != artefact.FIT && !cmd.uses(1, m.Spec.Kernel.Address) {
			l.add(SeverityError, at, "%q takes an initramfs at %s, but the manifest loads none", v.BootCmd, cmd.args[1].addr)
		}
		return
	case none:
		l.add(SeverityError, at, "%q passes no initramfs, so %s would be loaded in vain", v.BootCmd, in.File)
		return
	case !cmd.uses(1, in.Address):
		l.add(SeverityError, at, "%q takes the initramfs at %s, but %s is loaded to %s", v.BootCmd, cmd.args[1].addr, in.File, in.Address)
		return
	}
	i, arg := l.infos[in.File], cmd.args[1]
	size, _, err := l.b.stat(in.File)
	switch {
	case err != nil || i.Kind == artefact.UImage || !isInitramfs(i):
	case arg.sep != ':':
		l.add(SeverityError, at, "%s has no uImage header, so the boot command must give its size: %s:%#x (or wrap it with mkimage -T ramdisk)",
			in.File, in.Address, size)
	case strings.Contains(arg.suffix, "$"):
	default:
		n, perr := strconv.ParseInt(strings.TrimPrefix(arg.suffix, "0x"), 16, 64)
		if perr != nil {
			l.add(SeverityError, at, "%q is no size of an initramfs", arg.suffix)
		} else if n < size {
			l.add(SeverityError, at, "the boot command cuts %s off after %#x bytes, it has %#x", in.File, n, size)
		}
	}
}

// memory warns where a kernel needs more RAM than its file, up to something
// else that is loaded.
func (l *linter) memory(m *Manifest) {
	s := &m.Spec
	if s.Kernel == nil {
		return
	}
	k := l.infos[s.Kernel.File]
	start, ok := s.Kernel.Address.Uint64()
	if !ok || k.Kind != artefact.ARM64Image && k.Kind != artefact.RISCVImage {
		return
	}
	end := start + uint64(k.Size)
	warn := func(at, file string, a Address) {
		if to, ok := a.Uint64(); ok && file != "" && to >= start && to < end {
			l.add(SeverityWarning, at, "%s is loaded to %s, but the running kernel takes %#x to %#x for itself; U-Boot has to move one of them",
				file, a, start, end-1)
		}
	}
	if s.Initram != nil {
		warn("spec.initram.address", s.Initram.File, s.Initram.Address)
	}
	if s.DTB != nil {
		for _, name := range m.VariantNames() {
			warn("spec.dtb.address", s.DTB.Variants[name].File, s.DTB.Address)
		}
	}
}
