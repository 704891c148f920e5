package applet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

var curlLong = map[string]byte{"connect-timeout": 'c', "max-time": 'm', "header": 'H', "data": 'd', "data-binary": 'd', "output": 'o', "fail": 'f', "silent": 's', "show-error": 'S', "location": 'L', "insecure": 'k', "range": 'r', "request": 'X', "user-agent": 'A', "upload-file": 'T'}

// curl knows -f -s -S -L -k -o -H -d -m -r -X -A -T; --connect-timeout is Dial's own
// business.
func (m *Machine) curl(c *call, args []string) int {
	o, urls, ok := c.parse(args, "fsSLk", "oHdmcrXAT", curlLong)
	if !ok || len(urls) != 1 {
		fmt.Fprintln(c.err, "curl: try 'curl --help' or 'curl --manual' for more information")
		return 2
	}
	say := func(status int, format string, args ...any) int {
		if !o.has('s') || o.has('S') {
			fmt.Fprintf(c.err, "curl: (%d) %s\n", status, fmt.Sprintf(format, args...))
		}
		return status
	}
	text := urls[0]
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return say(3, "URL using bad/illegal format or missing URL")
	}
	if u.Scheme != "http" {
		return say(1, "Protocol \"%s\" not supported or disabled in libcurl", u.Scheme)
	}
	if _, ok := resolved(u.Hostname()); !ok {
		return say(6, "Could not resolve host: %s", u.Hostname())
	}
	ctx := c.Context()
	if o.has('m') {
		seconds, err := strconv.ParseFloat(o['m'], 64)
		if err != nil {
			return say(2, "expected a proper numerical parameter")
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
		defer cancel()
	}
	options := options{}
	for _, k := range []byte("H") {
		if o.has(k) {
			options[k] = o[k]
		}
	}
	if o.has('d') {
		options['D'] = o['d']
	}
	req, err := m.request(ctx, c, u, options)
	if err != nil {
		return 26
	}
	if o.has('T') {
		r, closeFile, err := c.open(o['T'])
		if err != nil {
			return say(26, "Failed to open/read local data from file/application")
		}
		defer closeFile()
		req.Method, req.Body = http.MethodPut, io.NopCloser(r)
		if n, err := c.K.FS.Stat(c.Process, o['T'], true); err == nil && n.Mode().IsRegular() {
			req.ContentLength = n.Size()
		}
	}
	req.Header.Set("User-Agent", "curl/7.88.1")
	if o.has('A') {
		req.Header.Set("User-Agent", o['A'])
	}
	if o.has('X') {
		req.Method = o['X']
	}
	if o.has('r') {
		req.Header.Set("Range", "bytes="+o['r'])
	}
	began := time.Now()
	client, done := m.client()
	defer done()
	if !o.has('L') {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	late := func() int {
		return say(28, "Operation timed out after %d milliseconds with 0 bytes received", time.Since(began).Milliseconds())
	}
	resp, err := client.Do(req)
	var op *net.OpError
	switch {
	case err == nil:
	case c.Context().Err() != nil:
		return 1
	case ctx.Err() != nil:
		return late()
	case errors.Is(err, errUnreachable), errors.As(err, &op) && op.Op == "dial":
		port := u.Port()
		if port == "" {
			port = "80"
		}
		return say(7, "Failed to connect to %s port %s after %d ms: Couldn't connect to server", u.Hostname(), port, time.Since(began).Milliseconds())
	case errors.Is(err, syscall.ECONNRESET):
		return say(56, "Recv failure: Connection reset by peer")
	default:
		return say(52, "Empty reply from server")
	}
	defer resp.Body.Close()
	if o.has('f') && resp.StatusCode >= 400 {
		return say(22, "The requested URL returned error: %d", resp.StatusCode)
	}
	out := c.out
	if name := o['o']; name != "" && name != "-" {
		f, err := c.K.FS.Open(c.Process, name, kernel.WriteOnly|kernel.Create|kernel.Truncate, 0o666)
		if err != nil {
			return say(23, "Failure writing output to destination")
		}
		defer f.Release()
		out = writer{c.Process, f}
	}
	buf := make([]byte, copySize)
	var got int64
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, werr := out.Write(buf[:n]); werr != nil {
				if c.Killed() {
					return 1
				}
				return say(23, "Failure writing output to destination")
			}
			got += int64(n)
		}
		switch {
		case err == nil:
			continue
		case err == io.EOF:
			return 0
		case c.Context().Err() != nil:
			return 1
		case ctx.Err() != nil:
			return late()
		case errors.Is(err, syscall.ECONNRESET):
			return say(56, "Recv failure: Connection reset by peer")
		case resp.ContentLength >= 0:
			return say(18, "transfer closed with %d bytes remaining to read", resp.ContentLength-got)
		default:
			return say(18, "transfer closed with outstanding read data remaining")
		}
	}
}
