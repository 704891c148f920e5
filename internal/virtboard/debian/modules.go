package debian

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// boardModules are the kernel modules that a board loads, in this order; built-in
// ones need no loading, and what they depend on is found in the modules.
func boardModules() []string {
	return []string{
		"virtio_mmio", "virtio_pci", "virtio_net", "virtio_blk", "nvme",
		"crc32c_generic", "ext4", "vfat", "nls_cp437", "nls_ascii",
	}
}

// module is one kernel module: its file name below the kernel's directory and
// what its .modinfo section says.
type module struct {
	file    string
	data    []byte
	depends []string
	aliases []string
}

// moduleName is what a file is called in modules.builtin and in depends: there
// the two spellings with "-" and "_" are one.
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".ko"), "-", "_")
}

// readModule reads what depmod would.
func readModule(file string, data []byte) (module, error) {
	m := module{file: file, data: data}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return m, fmt.Errorf("kernel module %s: %w", file, err)
	}
	section := f.Section(".modinfo")
	if section == nil {
		return m, fmt.Errorf("kernel module %s has no .modinfo", file)
	}
	info, err := section.Data()
	if err != nil {
		return m, fmt.Errorf("kernel module %s: %w", file, err)
	}
	for _, field := range strings.Split(string(info), "\x00") {
		key, value, _ := strings.Cut(field, "=")
		switch {
		case key == "depends" && value != "":
			m.depends = strings.Split(value, ",")
		case key == "alias":
			m.aliases = append(m.aliases, value)
		}
	}
	return m, nil
}

// closure returns the wanted modules with all that they depend on, each after
// what it depends on. A module that is neither in all nor built in is an error.
func closure(want []string, all map[string]module, builtin map[string]bool) ([]module, error) {
	var out []module
	done := map[string]bool{}
	var visit func(name, by string) error
	visit = func(name, by string) error {
		name = moduleName(name)
		if done[name] || builtin[name] {
			return nil
		}
		done[name] = true
		m, ok := all[name]
		if !ok {
			return fmt.Errorf("kernel package has no module %s, which %s needs", name, by)
		}
		for _, d := range m.depends {
			if err := visit(d, name); err != nil {
				return err
			}
		}
		out = append(out, m)
		return nil
	}
	for _, name := range want {
		if err := visit(name, "the board"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Modules returns the paths of the files of kernel modules by name, each behind those
// that it depends on. Not all modules are there: for a board, those that
// [Software.Initramfs] loads; for a PC, those of xHCI hosts and FTDI adapters.
func (s *Software) Modules(names ...string) (paths []string, err error) {
	all, builtin := map[string]module{}, map[string]bool{}
	for _, file := range s.moduleFiles() {
		path := filepath.Join(s.dir, modulesDir, path.Base(file))
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, &Error{"find modules", err}
		}
		m, err := readModule(path, data)
		if err != nil {
			return nil, &Error{"find modules", err}
		}
		all[moduleName(file)] = m
		for _, d := range m.depends { // what is not there, with those that need it, is built in
			builtin[moduleName(d)] = true
		}
	}
	for name := range all {
		delete(builtin, name)
	}
	list, err := closure(names, all, builtin)
	if err != nil {
		return nil, &Error{"find modules", err}
	}
	for _, m := range list {
		paths = append(paths, m.file)
	}
	return paths, nil
}

// indexes returns modules.dep and modules.alias for modprobe.
func indexes(modules []module) (dep, alias []byte) {
	file := map[string]module{}
	for _, m := range modules {
		file[moduleName(m.file)] = m
	}
	for _, m := range modules {
		dep = fmt.Appendf(dep, "%s:", m.file)
		// Deepest last, as depmod has it: modprobe inserts from the end.
		var deep func(m module)
		seen := map[string]bool{}
		deep = func(m module) {
			for _, d := range m.depends {
				name := moduleName(d)
				if need, ok := file[name]; ok && !seen[name] {
					seen[name] = true
					dep = fmt.Appendf(dep, " %s", need.file)
					deep(need)
				}
			}
		}
		deep(m)
		dep = append(dep, '\n')
		for _, a := range m.aliases {
			alias = fmt.Appendf(alias, "alias %s %s\n", a, moduleName(m.file))
		}
	}
	return dep, alias
}
