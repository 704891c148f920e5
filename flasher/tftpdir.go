package flasher

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
)

// WithTFTPDir has a TFTP daemon that runs already serve the kernel, the initramfs
// and the DTB: they are put into its directory for the time of an operation, under
// names that nobody else has, and taken out at the end. Nothing listens on port 69
// then. The daemon must be reached at the address that the board uses for this
// host; say another one with [WithServerAddress]. A process that is killed leaves
// its files, which are named dutflash-*, behind. There is no progress within a
// file.
func WithTFTPDir(dir string) Option {
	return func(c *config) error {
		if dir == "" {
			return errors.New("WithTFTPDir: the directory is empty")
		}
		c.tftpDir = dir
		return nil
	}
}

// WithTFTPServer has the board load kernel, initramfs and DTB from a TFTP server
// that is not this process, at addr. Its names begin with prefix, as in "lab/",
// which may be empty. With [WithTFTPDir], whose directory is then one that this
// server shows under prefix, the files are put there for the time of an operation.
// Without, they must be there already, under the last part of their names in the
// bundle; what arrives is compared with the bundle by size and CRC-32, so that
// files of another release are found out before they are booted. The image comes
// from this host in any case.
func WithTFTPServer(addr netip.Addr, prefix string) Option {
	return func(c *config) error {
		if !addr.IsValid() || addr.IsUnspecified() {
			return fmt.Errorf("WithTFTPServer: %v is no address that a board could reach", addr)
		}
		if !tftpPath.MatchString(prefix) {
			return fmt.Errorf("WithTFTPServer: the prefix %q has a character that U-Boot's command line does not take", prefix)
		}
		c.tftpServer, c.tftpPrefix = addr, prefix
		return nil
	}
}

var tftpPath = regexp.MustCompile(`^[A-Za-z0-9_./+@%=-]*$`)

// stage puts the artefacts into the directory of a TFTP daemon, and gives them
// the names that they have there. What was put there until an error came is taken
// out by servers.close.
func (o *operation) stage(s *servers) error {
	dir := o.f.cfg.tftpDir
	prefix := "dutflash-" + rand.Text()[:8] + "-"
	for i := range o.files {
		a := &o.files[i]
		a.name = prefix + a.name
		path := filepath.Join(dir, a.name)
		if err := o.copyArtefact(a.file, dir, path); err != nil {
			return fmt.Errorf("TFTP directory: %w", err)
		}
		s.staged = append(s.staged, path)
		o.f.cfg.log.Debug("Staged for the TFTP daemon", "what", a.role, "path", path)
	}
	return nil
}

// copyArtefact puts a file of the bundle at path, all at once and readable by the
// daemon, whoever it runs as.
func (o *operation) copyArtefact(name, dir, path string) (err error) {
	in, err := o.bundle.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(dir, ".dutflash-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Chmod(0o644), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), path)
}

// unstage takes the files out again.
func (s *servers) unstage() error {
	var errs []error
	for _, path := range s.staged {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("TFTP directory: %w", err))
		}
	}
	s.staged = nil
	return errors.Join(errs...)
}
