package debian

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path"
	"path/filepath"
	"strings"
)

//go:embed files
var files embed.FS

// Login is how one gets to the shell of an initramfs.
type Login struct {
	// Username is "root", the only user there is, or empty: then a shell runs
	// on the console without any login.
	Username string
	// Password of the user; empty lets the user in without one. It stands in
	// the initramfs as it is.
	Password string
}

func (l Login) validate() error {
	switch {
	case l.Username != "" && l.Username != "root":
		return fmt.Errorf("user %q: the initramfs has only root", l.Username)
	case l.Username == "" && l.Password != "":
		return fmt.Errorf("a password without a user name")
	case strings.ContainsAny(l.Password, "\x00\r\n"):
		return fmt.Errorf("a password of more than one line")
	}
	return nil
}

// Console is the serial console's device in Linux on both boards.
const Console = "ttyAMA0"

// Initramfs packs an initramfs: busybox with all its applets, the modules for
// the board's disks, network and file systems, udhcpc's script, and links in
// /dev/disk/by-partlabel. It is a gzip'ed cpio archive behind U-Boot's legacy
// image header, so that no boot command needs its size. The same login gives the
// same bytes.
func (s *Software) Initramfs(login Login) ([]byte, error) {
	if err := login.validate(); err != nil {
		return nil, &Error{"pack the initramfs", err}
	}
	var archive bytes.Buffer
	c := newCPIO(&archive)
	if err := s.fill(c, login); err != nil {
		return nil, &Error{"pack the initramfs", err}
	}
	if err := c.close(); err != nil {
		return nil, &Error{"pack the initramfs", err}
	}
	packed, err := s.pack(archive.Bytes())
	if err != nil {
		return nil, &Error{"pack the initramfs", err}
	}
	return uImage(s.Arch, "dutflash initramfs", packed), nil
}

// pack compresses an archive, or takes what was compressed of the same bytes
// before from the cache: under the race detector, packing takes longer than the
// board takes to boot.
func (s *Software) pack(archive []byte) ([]byte, error) {
	path := filepath.Join(s.dir, fmt.Sprintf("initramfs-%x.gz", sha256.Sum256(archive)))
	// A gzip file ends with the checksum and the size of its content (RFC 1952,
	// 2.3.1), so that one that was cut is no match.
	end := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(archive))
	end = binary.LittleEndian.AppendUint32(end, uint32(len(archive)))
	if packed, err := os.ReadFile(path); err == nil && bytes.HasSuffix(packed, end) {
		return packed, nil
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(archive); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	// Several processes may do so at once, and a cache that cannot be written is
	// no reason to fail.
	if tmp, err := os.CreateTemp(filepath.Dir(s.dir), unfinished+"*"); err == nil {
		_, err := tmp.Write(packed.Bytes())
		if errors.Join(err, tmp.Close()) != nil || os.Rename(tmp.Name(), path) != nil {
			os.Remove(tmp.Name())
		}
	}
	return packed.Bytes(), nil
}

// fill writes the files of the initramfs.
func (s *Software) fill(c *cpioWriter, login Login) error {
	for _, dir := range []string{
		"bin", "sbin", "usr/bin", "usr/sbin", "dev", "proc", "sys", "tmp", "run", "root", "mnt", "var/run", "var/log",
	} {
		c.dir(dir)
	}
	c.char("dev/console", 0o600, 5, 1)
	c.char("dev/null", 0o666, 1, 3)
	busybox, err := os.ReadFile(filepath.Join(s.dir, busyboxFile))
	if err != nil {
		return err
	}
	c.file("bin/busybox", 0o755, busybox)
	c.symlink("bin/sh", "busybox")
	c.symlink("init", "bin/busybox")

	for _, f := range []struct {
		name, from string
		perm       int
	}{
		{"etc/init.d/rcS", "rcS", 0o755},
		{"sbin/partlabels", "partlabels", 0o755},
		{"etc/mdev.conf", "mdev.conf", 0o644},
		{"usr/share/udhcpc/default.script", "udhcpc.script", 0o755},
	} {
		data, err := files.ReadFile("files/" + f.from)
		if err != nil {
			return err
		}
		c.file(f.name, f.perm, data)
	}
	c.symlink("etc/udhcpc/default.script", "/usr/share/udhcpc/default.script")
	shell := Console + "::respawn:-/bin/sh"
	if login.Username != "" {
		shell = Console + "::respawn:/sbin/getty -L 115200 " + Console + " vt100"
	}
	text := func(name, content string) { c.file(name, 0o644, []byte(content)) }
	text("etc/inittab", "::sysinit:/etc/init.d/rcS\n"+shell+"\n::ctrlaltdel:/sbin/reboot\n::shutdown:/bin/umount -a -r\n")
	text("etc/hostname", "qemu-"+string(s.Arch)+"\n")
	text("etc/profile", "export PATH=/sbin:/usr/sbin:/bin:/usr/bin\n")
	text("etc/group", "root:x:0:\n")
	text("etc/hosts", "127.0.0.1 localhost\n")
	text("etc/modules", strings.Join(s.modulesToLoad(), "\n")+"\n")
	c.file("etc/password", 0o600, []byte(login.Password))
	return s.fillModules(c)
}

// modulesToLoad are the wanted ones that are no part of the kernel.
func (s *Software) modulesToLoad() []string {
	var load []string
	for _, name := range boardModules() {
		for _, m := range s.moduleFiles() {
			if moduleName(m) == name {
				load = append(load, name)
			}
		}
	}
	return load
}

// moduleFiles are the paths of the modules below their release's directory.
func (s *Software) moduleFiles() []string {
	order, err := os.ReadFile(filepath.Join(s.dir, orderFile))
	if err != nil {
		return nil
	}
	return strings.Fields(string(order))
}

// fillModules writes the modules and modprobe's indexes.
func (s *Software) fillModules(c *cpioWriter) error {
	var modules []module
	for _, file := range s.moduleFiles() {
		data, err := os.ReadFile(filepath.Join(s.dir, modulesDir, path.Base(file)))
		if err != nil {
			return err
		}
		m, err := readModule(file, data)
		if err != nil {
			return err
		}
		modules = append(modules, m)
	}
	dir := "lib/modules/" + s.Release
	for _, m := range modules {
		c.file(dir+"/"+m.file, 0o644, m.data)
	}
	dep, alias := indexes(modules)
	c.file(dir+"/modules.dep", 0o644, dep)
	c.file(dir+"/modules.alias", 0o644, alias)
	c.file(dir+"/modules.symbols", 0o644, nil)
	return nil
}
