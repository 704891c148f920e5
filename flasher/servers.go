package flasher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/dutflash/dutflash/transport/httpd"
	"github.com/dutflash/dutflash/transport/tftp"
)

// servers are the TFTP and the HTTP server of one operation.
type servers struct {
	tftp     *tftp.Server
	http     *httpd.Server
	httpPort int
	wg       sync.WaitGroup
	open     []io.Closer // artefacts
	staged   []string    // files in the directory of a TFTP daemon

	mu       sync.Mutex
	host     string                 // address and port of http as the board sees it
	watchers map[string]func(int64) // by TFTP file name
	failed   map[string]error       // the last failed transfer by file name
}

// serve starts both servers with the files that U-Boot loads.
func (o *operation) serve(ctx context.Context) error {
	cfg := &o.f.cfg
	s := &servers{watchers: map[string]func(int64){}, failed: map[string]error{}}
	var err error
	if s.tftp, err = tftp.New(tftp.WithLogger(cfg.log), tftp.WithEvents(s.tftpEvent)); err != nil {
		return err
	}
	if s.http, err = httpd.New(httpd.WithLogger(cfg.log)); err != nil {
		return err
	}
	if cfg.tftpDir != "" {
		err = o.stage(s)
	}
	if err == nil {
		err = o.addFiles(s)
	}
	if err != nil {
		return errors.Join(err, s.close())
	}
	conn, listener, err := o.f.listen(ctx)
	if err != nil {
		return errors.Join(err, s.close())
	}
	s.httpPort = listener.Addr().(*net.TCPAddr).Port // listen has looked
	if conn != nil {
		s.wg.Go(func() { s.logEnd(o, "TFTP", s.tftp.Serve(conn)) })
	}
	s.wg.Go(func() { s.logEnd(o, "HTTP", s.http.Serve(listener)) })
	o.servers = s
	return nil
}

// logEnd reports a server that ended for another reason than its Close.
func (s *servers) logEnd(o *operation, server string, err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		o.f.cfg.log.Error("server of the session ended", "server", server, "error", err)
	}
}

// addFiles offers the artefacts over TFTP and HTTP under the same names.
func (o *operation) addFiles(s *servers) error {
	for _, a := range o.files {
		content, err := o.bundle.Open(a.file)
		if err != nil {
			return err
		}
		s.open = append(s.open, content)
		shared := tftp.File{Size: a.size, Open: func() (tftp.Content, error) { return keepOpen{content}, nil }}
		if err := s.tftp.Add(a.name, shared); err != nil {
			return err
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

// watchTFTP has fn called with the bytes of a file that were acknowledged; the
// returned function ends that.
func (s *servers) watchTFTP(name string, fn func(int64)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[name] = fn
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
	if fn != nil && ev.Bytes > 0 {
		fn(ev.Bytes)
	}
}

// tftpFailure says what the server saw of a failed transfer, for the error that
// the board's side gives.
func (s *servers) tftpFailure(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failed[name]; err != nil {
		return fmt.Sprintf(" (seen by the TFTP server: %v)", err)
	}
	return ""
}

// close stops both servers and waits for them.
func (s *servers) close() error {
	err := errors.Join(s.tftp.Close(), s.http.Close(), s.unstage())
	s.wg.Wait()
	for _, c := range s.open {
		err = errors.Join(err, c.Close())
	}
	return err
}

// keepOpen is an artefact that several transfers read and the session closes.
type keepOpen struct{ io.ReaderAt }

func (keepOpen) Close() error { return nil }
