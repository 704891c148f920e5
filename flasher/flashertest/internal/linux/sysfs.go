package linux

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// text makes a file that is only read.
func (s *System) text(path string, f func() string) {
	s.k.FS.Put(path, s.k.FS.Text(func(*kernel.Process) string { return f() }, nil))
}

// sysPath is where a disk is in sysfs.
func (b *blockDevice) sysPath() string {
	host := b.minor / 16
	return fmt.Sprintf("/sys/devices/platform/soc/%s/mmc_host/mmc%d/mmc%d:0001/block/%s", b.disk.Address, host, host, b.disk.Name)
}

// sysfs fills /sys as far as our code looks into it.
func (s *System) sysfs() {
	f := s.k.FS
	block := f.Directory()
	block.Names = func(*kernel.Process) []string {
		var names []string
		for _, b := range s.disks {
			names = append(names, b.disk.Name)
			for _, p := range b.parts() {
				names = append(names, b.partName(p.number))
			}
		}
		return names
	}
	block.Lookup = func(_ *kernel.Process, name string) *kernel.Inode {
		for _, b := range s.disks {
			if b.disk.Name == name {
				return f.Link(b.sysPath())
			}
			for _, p := range b.parts() {
				if b.partName(p.number) == name {
					return f.Link(b.sysPath() + "/" + name)
				}
			}
		}
		return nil
	}
	f.Put("/sys/class/block", block)
	f.Put("/sys/block", f.Link("/sys/class/block"))
	for _, b := range s.disks {
		s.sysDisk(b)
	}
	if n := s.cfg.Interface; n != "" {
		dir := "/sys/devices/platform/soc/5000000.ethernet/net/" + n
		s.text(dir+"/address", func() string { return s.cfg.MAC + "\n" })
		s.text(dir+"/operstate", func() string {
			if up, _, _ := s.machine.Network.State(); up {
				return "up\n"
			}
			return "down\n"
		})
		f.Put(dir+"/device", f.Link("/sys/devices/platform/soc/5000000.ethernet"))
		f.Put("/sys/class/net/"+n, f.Link(dir))
	}
	s.text("/sys/devices/virtual/net/lo/address", func() string { return "00:00:00:00:00:00\n" })
	f.Put("/sys/class/net/lo", f.Link("/sys/devices/virtual/net/lo"))
}

func (s *System) sysDisk(b *blockDevice) {
	at := b.sysPath()
	f := s.k.FS
	ro := func() string {
		if b.disk.ReadOnly() {
			return "1\n"
		}
		return "0\n"
	}
	model := b.disk.Model
	if model == "" {
		model = "SIM32G"
	}
	s.text(at+"/size", func() string { return fmt.Sprintln(b.disk.Size() / 512) })
	s.text(at+"/ro", ro)
	s.text(at+"/dev", func() string { return fmt.Sprintf("179:%d\n", b.minor) })
	s.text(at+"/removable", func() string { return "0\n" })
	s.text(at+"/uevent", func() string {
		return fmt.Sprintf("MAJOR=179\nMINOR=%d\nDEVNAME=%s\nDEVTYPE=disk\n", b.minor, b.disk.Name)
	})
	s.text(at+"/queue/logical_block_size", func() string { return "512\n" })
	card := at[:strings.LastIndex(at, "/block/")]
	s.text(card+"/name", func() string { return model + "\n" })
	f.Put(at+"/device", f.Link(card))
	f.Put(at+"/holders", f.Directory())
	dir := f.Find(at)
	dir.Names = func(*kernel.Process) []string {
		var names []string
		for _, p := range b.parts() {
			names = append(names, b.partName(p.number))
		}
		return names
	}
	dir.Lookup = func(_ *kernel.Process, name string) *kernel.Inode {
		i := slices.IndexFunc(b.parts(), func(p partition) bool { return b.partName(p.number) == name })
		if i < 0 {
			return nil
		}
		p := b.parts()[i]
		d := f.Directory()
		files := map[string]func(*kernel.Process) string{
			"partition": func(*kernel.Process) string { return fmt.Sprintln(p.number) },
			"start":     func(*kernel.Process) string { return fmt.Sprintln(p.start / 512) },
			"size":      func(*kernel.Process) string { return fmt.Sprintln(p.size / 512) },
			"dev":       func(*kernel.Process) string { return fmt.Sprintf("179:%d\n", b.minor+p.number) },
			"ro":        func(*kernel.Process) string { return ro() },
			"uevent": func(*kernel.Process) string {
				text := fmt.Sprintf("MAJOR=179\nMINOR=%d\nDEVNAME=%s\nDEVTYPE=partition\nPARTN=%d\n", b.minor+p.number, name, p.number)
				if p.label != "" {
					text += "PARTNAME=" + p.label + "\n"
				}
				return text
			},
		}
		d.Names = func(*kernel.Process) []string {
			return []string{"partition", "start", "size", "dev", "ro", "uevent", "holders"}
		}
		d.Lookup = func(_ *kernel.Process, file string) *kernel.Inode {
			if file == "holders" {
				return f.Directory()
			}
			if files[file] == nil {
				return nil
			}
			return f.Text(files[file], nil)
		}
		return d
	}
}

// procfs fills /proc.
func (s *System) procfs() {
	f := s.k.FS
	s.text("/proc/uptime", func() string {
		up := s.k.Clock.Uptime().Seconds()
		return fmt.Sprintf("%.2f %.2f\n", up, up)
	})
	s.text("/proc/meminfo", func() string {
		_, used := f.Limit()
		return fmt.Sprintf("MemTotal:       %8d kB\nMemFree:        %8d kB\nMemAvailable:   %8d kB\n", s.cfg.Memory>>10, (s.cfg.Memory-used)>>10, (s.cfg.Memory-used)>>10)
	})
	s.text("/proc/cpuinfo", func() string {
		var b strings.Builder
		for i := range s.cfg.CPUs {
			fmt.Fprintf(&b, "processor\t: %d\nBogoMIPS\t: 125.00\n\n", i)
		}
		return b.String()
	})
	s.text("/proc/version", func() string { return fmt.Sprintf("Linux version %s (builder@dutflash)\n", s.cfg.Release) })
	s.text("/proc/cmdline", func() string { return "console=" + strings.TrimPrefix(s.cfg.Console, "/dev/") + ",115200\n" })
	mounts := "rootfs / rootfs rw 0 0\ndevtmpfs /dev devtmpfs rw 0 0\nproc /proc proc rw 0 0\nsysfs /sys sysfs rw 0 0\n"
	s.text("/proc/mounts", func() string { return mounts })
	s.text("/proc/swaps", func() string { return "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" })
	s.text("/proc/sys/kernel/hostname", func() string { return s.cfg.Hostname + "\n" })
	f.Put("/proc/sys/kernel/printk", f.Text(func(*kernel.Process) string {
		l := s.k.Log.Levels()
		return fmt.Sprintf("%d\t%d\t%d\t%d\n", l[0], l[1], l[2], l[3])
	}, func(_ *kernel.Process, text string) error {
		var levels []int
		for w := range strings.FieldsSeq(text) {
			n, err := strconv.Atoi(w)
			if err != nil || len(levels) == 4 {
				return kernel.EINVAL
			}
			levels = append(levels, n)
		}
		s.k.Log.SetLevels(levels...)
		return nil
	}))
	f.Put("/proc/sys/vm/drop_caches", f.Text(func(*kernel.Process) string { return "0\n" }, func(*kernel.Process, string) error { return nil }))
	self := f.Link("")
	self.Links = func(p *kernel.Process) string { return strconv.Itoa(p.PID) }
	f.Put("/proc/self", self)
	proc := f.Find("/proc")
	proc.Names = func(*kernel.Process) []string {
		var names []string
		for _, p := range s.k.Processes() {
			names = append(names, strconv.Itoa(p.PID))
		}
		return names
	}
	proc.Lookup = func(_ *kernel.Process, name string) *kernel.Inode {
		pid, err := strconv.Atoi(name)
		if err != nil {
			return nil
		}
		if p := s.k.Process(pid); p != nil {
			return s.procDir(p)
		}
		return nil
	}
}

// procDir is /proc/PID.
func (s *System) procDir(p *kernel.Process) *kernel.Inode {
	f := s.k.FS
	text := func(read func() string) *kernel.Inode {
		return f.Text(func(*kernel.Process) string { return read() }, nil)
	}
	fds := func() []string {
		var names []string
		for _, fd := range p.FDs.List() {
			names = append(names, strconv.Itoa(fd))
		}
		return names
	}
	open := func(name string) *kernel.File {
		fd, err := strconv.Atoi(name)
		if err != nil {
			return nil
		}
		return p.FDs.Get(fd)
	}
	return s.virtual(map[string]func() *kernel.Inode{
		"cmdline": func() *kernel.Inode { return text(func() string { return strings.Join(p.Command(), "\x00") + "\x00" }) },
		"comm":    func() *kernel.Inode { return text(func() string { return p.Command()[0] + "\n" }) },
		"mountinfo": func() *kernel.Inode {
			return text(func() string {
				return "1 1 0:2 / / rw - rootfs rootfs rw\n20 1 0:6 / /dev rw - devtmpfs devtmpfs rw\n21 1 0:19 / /proc rw - proc proc rw\n22 1 0:20 / /sys rw - sysfs sysfs rw\n"
			})
		},
		"fdinfo": func() *kernel.Inode {
			d := f.Directory()
			d.Names = func(*kernel.Process) []string { return fds() }
			d.Lookup = func(_ *kernel.Process, name string) *kernel.Inode {
				file := open(name)
				if file == nil {
					return nil
				}
				return text(func() string { return fmt.Sprintf("pos:\t%d\nflags:\t0%o\nmnt_id:\t1\n", file.Pos(), file.Flags()&3) })
			}
			return d
		},
		"fd": func() *kernel.Inode {
			d := f.Directory()
			d.Names = func(*kernel.Process) []string { return fds() }
			d.Lookup = func(_ *kernel.Process, name string) *kernel.Inode {
				file := open(name)
				if file == nil {
					return nil
				}
				l := f.Link(file.Path)
				if file.Inode != nil && file.Inode.Mode()&(fs.ModeDevice|fs.ModeCharDevice) == fs.ModeDevice {
					l.Target = file.Inode
				}
				if file.Inode != nil && file.Inode.Mode()&fs.ModeNamedPipe != 0 {
					l.Opener = func(*kernel.Process, int) (kernel.Driver, error) { return nil, kernel.ENXIO }
				}
				return l
			}
			return d
		},
	})
}

// virtual is a directory whose entries are made when they are looked up.
func (s *System) virtual(entries map[string]func() *kernel.Inode) *kernel.Inode {
	d := s.k.FS.Directory()
	d.Names = func(*kernel.Process) []string {
		var names []string
		for n := range entries {
			names = append(names, n)
		}
		return names
	}
	d.Lookup = func(_ *kernel.Process, name string) *kernel.Inode {
		if e := entries[name]; e != nil {
			return e()
		}
		return nil
	}
	return d
}
