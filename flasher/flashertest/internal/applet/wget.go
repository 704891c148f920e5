package applet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// errUnreachable is a network that is not configured.
var errUnreachable = errors.New("Network is unreachable")

// client is an HTTP client over the board's network.
func (m *Machine) client() (*http.Client, func()) {
	t := &http.Transport{DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			if ip, err := netip.ParseAddr(host); err == nil && !m.Network.reaches(ip) {
				return nil, errUnreachable
			}
			if m.Dial == nil {
				return nil, errUnreachable
			}
			return m.Dial(ctx, network, addr)
		}}
	return &http.Client{Transport: t}, t.CloseIdleConnections
}

// dialText is what the kernel says about a failed connection.
func dialText(err error) string {
	switch {
	case errors.Is(err, errUnreachable):
		return errUnreachable.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Connection refused"
	case errors.Is(err, context.DeadlineExceeded):
		return "Connection timed out"
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return "Connection timed out"
	}
	return "Connection refused"
}

// resolved is the address behind a host name; only addresses and localhost are known.
func resolved(host string) (string, bool) {
	if host == "localhost" {
		return "127.0.0.1", true
	}
	_, err := netip.ParseAddr(host)
	return host, err == nil
}

var wgetLong = map[string]byte{"header": 'H', "post-data": 'D', "post-file": 'F', "no-check-certificate": 'k', "quiet": 'q', "output-document": 'O', "timeout": 'T',
	"user-agent": 'U', "spider": 's', "directory-prefix": 'P'}

func (m *Machine) wget(c *call, args []string) int {
	o, urls, ok := c.parse(args, "qsk", "OTUPHDF", wgetLong)
	if !ok || len(urls) != 1 {
		return usage(c)
	}
	text := urls[0]
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" {
		return c.fail("not an http or ftp url: %s", urls[0])
	}
	ip, ok := resolved(u.Hostname())
	if !ok {
		return c.fail("bad address '%s'", u.Hostname())
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	seconds := 900 // busybox's default, per read
	if o.has('T') {
		if seconds, err = strconv.Atoi(o['T']); err != nil {
			return c.fail("invalid number '%s'", o['T'])
		}
	}
	patience := time.Duration(seconds) * time.Second
	timer := time.AfterFunc(patience, func() { cancel() })
	defer timer.Stop()
	req, err := m.request(ctx, c, u, o)
	if err != nil {
		return 1
	}
	say := func(format string, args ...any) {
		if !o.has('q') {
			fmt.Fprintf(c.err, format, args...)
		}
	}
	say("Connecting to %s (%s:%s)\n", u.Host, ip, port)
	client, done := m.client()
	defer done()
	client.CheckRedirect = func(_ *http.Request, via []*http.Request) error {
		if len(via) > 5 {
			return errors.New("too many redirections")
		}
		return nil
	}
	resp, err := client.Do(req)
	var op *net.OpError
	switch {
	case err == nil:
	case c.Context().Err() != nil:
		return 1
	case ctx.Err() != nil:
		return c.fail("download timed out")
	case errors.Is(err, errUnreachable), errors.As(err, &op) && op.Op == "dial":
		return c.fail("can't connect to remote host (%s): %s", ip, dialText(err))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return c.fail("error getting response")
	default:
		return c.fail("error getting response: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return c.fail("server returned error: %s %s", resp.Proto, resp.Status)
	}
	name := o['O']
	if name == "" {
		if name = path.Base(u.Path); name == "/" || name == "." {
			name = "index.html"
		}
		if o['P'] != "" {
			name = o['P'] + "/" + name
		}
	}
	out := c.out
	if o.has('s') {
		say("remote file exists\n")
		return 0
	}
	if name != "-" {
		flags := kernel.WriteOnly | kernel.Create | kernel.Truncate
		if !o.has('O') {
			flags |= kernel.Exclusive
		}
		f, err := c.K.FS.Open(c.Process, name, flags, 0o666)
		if err != nil {
			return c.fail(cannotOpen, name, err)
		}
		defer f.Release()
		out = writer{c.Process, f}
		say("saving to '%s'\n", name)
	} else {
		say("writing to stdout\n")
	}
	buf := make([]byte, copySize)
	var got int64
	for {
		n, err := resp.Body.Read(buf)
		timer.Reset(patience)
		if n > 0 {
			if _, werr := out.Write(buf[:n]); werr != nil {
				if c.Killed() {
					return 1
				}
				return c.fail("write error: %v", werr)
			}
			got += int64(n)
		}
		switch {
		case err == nil:
			continue
		case err == io.EOF:
		case c.Context().Err() != nil:
			return 1
		case ctx.Err() != nil:
			return c.fail("download timed out")
		case errors.Is(err, io.ErrUnexpectedEOF) && resp.ContentLength < 0: // in a chunk
			return c.fail("error getting response")
		case errors.Is(err, io.ErrUnexpectedEOF):
			return c.fail("connection closed prematurely")
		default:
			return c.fail("read error: %s", readText(err))
		}
		break
	}
	if name == "-" {
		say("written to stdout\n")
	} else {
		say("'%s' saved\n", name)
	}
	return 0
}

func readText(err error) string {
	if errors.Is(err, syscall.ECONNRESET) {
		return "Connection reset by peer"
	}
	return kernel.EIO.Error()
}

// request makes the request that the options ask for.
func (m *Machine) request(ctx context.Context, c *call, u *url.URL, o options) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	switch {
	case o.has('D'):
		method, body = http.MethodPost, strings.NewReader(o['D'])
	case o.has('F'):
		method = http.MethodPost
		r, done, err := c.open(o['F'])
		if err != nil {
			c.fail(cannotOpen, o['F'], err)
			return nil, err
		}
		defer done()
		data, err := io.ReadAll(r)
		if err != nil {
			c.fail("read error: %v", err)
			return nil, err
		}
		// busybox takes the file for a C string: a NUL ends it.
		text, _, _ := strings.Cut(string(data), "\x00")
		body = strings.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		c.fail("%v", err)
		return nil, err
	}
	req.Header.Set("User-Agent", "Wget")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if o.has('U') {
		req.Header.Set("User-Agent", o['U'])
	}
	if o.has('H') {
		for h := range strings.SplitSeq(o['H'], "\n") {
			k, v, _ := strings.Cut(h, ":")
			req.Header.Set(strings.TrimSpace(k), strings.TrimSpace(v))
		}
	}
	return req, nil
}
