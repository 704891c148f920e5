package flasher

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/dutflash/dutflash/internal/filelock"
	"github.com/dutflash/dutflash/transport/httpd"
	"github.com/dutflash/dutflash/transport/tftp"
)

// servers are one operation's part of a TFTP and an HTTP server.
type servers struct {
	owner     *Servers
	private   bool           // owner is this operation's alone
	tftp      *tftp.Server   // nil where this process serves no TFTP
	http      *httpd.Session // of the owner's HTTP server
	httpPort  int
	open      []io.Closer    // artefacts
	staged    []string       // files in the directory of a TFTP daemon
	stageLock *filelock.Lock // says that they are needed; nil where there are no locks

	mu       sync.Mutex
	host     string                      // address and port of http as the board sees it
	watchers map[string]func(tftp.Event) // by TFTP file name
	failed   map[string]error            // the last failed transfer by file name
}

// serve starts both servers, where they are not there already, and puts the files
// there that U-Boot loads.
func (o *operation) serve(ctx context.Context) (err error) {
	cfg := &o.f.cfg
	s := &servers{owner: cfg.servers, watchers: map[string]func(tftp.Event){}, failed: map[string]error{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.owner == nil {
		s.private = true
		if s.owner, err = NewServers(cfg.log); err != nil {
			return err
		}
	}
	if s.http, err = s.owner.http.NewSession(httpd.WithLogger(cfg.log)); err != nil {
		return err
	}
	if s.tftp, s.httpPort, err = s.owner.listen(ctx, cfg); err != nil {
		return err
	}
	if cfg.tftpDir != "" {
		err = o.stage(s)
	} else if !s.private && s.tftp != nil {
		prefix := rand.Text()[:8] + "-" // other boards have files of these names
		for i := range o.files {
			o.files[i].name = prefix + o.files[i].name
		}
	}
	if err == nil {
		err = o.addFiles(s)
	}
	if err == nil {
		o.servers = s
	}
	return err
}

// addFiles offers the artefacts over TFTP and HTTP under the same names.
func (o *operation) addFiles(s *servers) error {
	for _, a := range o.files {
		content, err := o.bundle.Open(a.file)
		if err != nil {
			return err
		}
		s.open = append(s.open, content)
		if s.tftp != nil {
			shared := tftp.File{Size: a.size, Open: func() (tftp.Content, error) { return keepOpen{content}, nil }}
			if err := s.owner.offer(s, a.name, shared); err != nil {
				return err
			}
		}
		s.http.File(a.name, content, a.size)
	}
	return nil
}

// facing sets the address that the board uses for this host.
func (s *servers) facing(a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host = net.JoinHostPort(a.String(), strconv.Itoa(s.httpPort))
}

// url returns where the board finds a file of the HTTP server.
func (s *servers) url(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.http.URL(s.host, name)
}

// address returns the HTTP server's address and port as the board sees them.
func (s *servers) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.host
}

// watchTFTP has fn called with the events of a file's transfers, one at a time; the
// returned function ends that. What failed before is forgotten.
func (s *servers) watchTFTP(name string, fn func(tftp.Event)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[name] = fn
	delete(s.failed, name)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, name)
	}
}

func (s *servers) tftpEvent(ev tftp.Event) {
	s.mu.Lock()
	fn := s.watchers[ev.File]
	if ev.Err != nil {
		s.failed[ev.File] = ev.Err
	}
	s.mu.Unlock()
	if fn != nil {
		fn(ev)
	}
}

// tftpFailure is what the server saw of a failed transfer, for the error that the
// board's side gives; nil is nothing.
func (s *servers) tftpFailure(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed[name]
}

// close ends the operation's part of both servers, and the servers themselves
// where nobody shares them, and waits for that. A TFTP transfer to a board that
// has gone may outlast its part of shared servers; it then fails to read its file.
func (s *servers) close() error {
	var errs []error
	if s.http != nil {
		errs = append(errs, s.http.Close())
	}
	if s.owner != nil {
		s.owner.withdraw(s)
		if s.private {
			errs = append(errs, s.owner.Close())
		}
	}
	errs = append(errs, s.unstage())
	for _, c := range s.open {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// keepOpen is an artefact that several transfers read and the session closes.
type keepOpen struct{ io.ReaderAt }

func (keepOpen) Close() error { return nil }
