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
	"strings"

	"github.com/dutflash/dutflash/internal/filelock"
)

// WithTFTPDir has a TFTP daemon that runs already serve the kernel, the initramfs
// and the DTB: they are put into its directory for the time of an operation, under
// names that nobody else has, and taken out at the end. Nothing listens on port 69
// then. The daemon must be reached at the address that the board uses for this
// host; say another one with [WithServerAddress]. What a process that was killed
// has left there, the next operation with this directory takes out: files named
// dutflash-* beside a lock, .dutflash-*.lock, that nobody holds any more. Other
// files are left alone, whatever their names. There is no progress within a file.
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

// stageName is what the names of an operation's files in the directory of a TFTP
// daemon begin with; its lock is hidden.
const stageName = "dutflash-"

// stage puts the artefacts into the directory of a TFTP daemon, and gives them
// the names that they have there. What was put there until an error came is taken
// out by servers.close.
func (o *operation) stage(s *servers) error {
	dir := o.f.cfg.tftpDir
	if err := o.sweep(dir); err != nil {
		o.f.cfg.log.Warn("What a killed process left in the TFTP directory stays", "dir", dir, "error", err)
	}
	prefix, lock, err := lockStage(dir)
	if err != nil {
		return fmt.Errorf("TFTP directory: %w", err)
	}
	s.stageLock = lock
	for i := range o.files {
		a := &o.files[i]
		a.name = prefix + a.name
		path := filepath.Join(dir, a.name)
		if err := o.copyArtefact(a.file, dir, prefix, path); err != nil {
			return fmt.Errorf("TFTP directory: %w", err)
		}
		s.staged = append(s.staged, path)
		o.f.cfg.log.Debug("Staged for the TFTP daemon", "what", a.role, "path", path)
	}
	return nil
}

// lockStage chooses a prefix and takes its lock, which is held as long as the files
// are needed. A sweep of another process may have been quicker than the lock, then it is
// another prefix. Where the file system has no locks, nobody sweeps, and the lock is nil.
func lockStage(dir string) (prefix string, lock *filelock.Lock, err error) {
	for range 10 {
		prefix = stageName + rand.Text()[:8] + "-"
		lock, err = filelock.Try(filepath.Join(dir, "."+prefix+"lock"), true)
		switch {
		case err == nil && lock.Current():
			return prefix, lock, nil
		case err == nil:
			err = errors.Join(filelock.ErrBusy, lock.Unlock())
		case errors.Is(err, filelock.ErrUnsupported):
			return prefix, nil, removeIfThere(filepath.Join(dir, "."+prefix+"lock"))
		case !errors.Is(err, filelock.ErrBusy):
			return "", nil, err
		}
	}
	return "", nil, err
}

// lockName matches the locks of stage, and nothing that others would name so.
var lockName = regexp.MustCompile(`^\.(dutflash-[A-Z2-7]{8}-)lock$`)

// sweep takes out what operations have left whose process was killed: those whose
// lock nobody holds.
func (o *operation) sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		m := lockName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		lock, err := filelock.Try(filepath.Join(dir, e.Name()), true)
		if err != nil {
			if !errors.Is(err, filelock.ErrBusy) && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		for _, left := range entries {
			if strings.HasPrefix(strings.TrimPrefix(left.Name(), "."), m[1]) && left.Name() != e.Name() && left.Type().IsRegular() {
				errs = append(errs, removeIfThere(filepath.Join(dir, left.Name())))
			}
		}
		errs = append(errs, lock.Unlock(), removeIfThere(lock.Path()))
		o.f.cfg.log.Info("Took out of the TFTP directory what a killed process had left", "files", m[1]+"*")
	}
	return errors.Join(errs...)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// copyArtefact puts a file of the bundle at path, all at once and readable by the
// daemon, whoever it runs as.
func (o *operation) copyArtefact(name, dir, prefix, path string) (err error) {
	in, err := o.bundle.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(dir, "."+prefix+"*")
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
		if err := removeIfThere(path); err != nil {
			errs = append(errs, fmt.Errorf("TFTP directory: %w", err))
		}
	}
	s.staged = nil
	if s.stageLock != nil {
		if err := errors.Join(s.stageLock.Unlock(), removeIfThere(s.stageLock.Path())); err != nil {
			errs = append(errs, fmt.Errorf("TFTP directory: %w", err))
		}
		s.stageLock = nil
	}
	return errors.Join(errs...)
}
