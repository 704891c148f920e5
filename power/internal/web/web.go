// Package web is what the power drivers that speak HTTP have in common: logins,
// TLS, sizes, and errors that name what a caller can act on without telling a
// password.
package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/icholy/digest"

	"github.com/dutflash/dutflash/power"
)

// Client makes requests. The zero value works, without a login and with the
// system's certificate authorities. It may be used concurrently once it is set up.
type Client struct {
	User, Password string
	// Digest answers a digest challenge (RFC 7616) with the login instead of
	// sending it unasked.
	Digest bool

	tls       tls.Config
	transport http.RoundTripper
}

// TrustCA makes the PEM certificates the only ones that servers are checked
// against.
func (c *Client) TrustCA(pem []byte) error {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return errors.New("the CA has no PEM certificate")
	}
	c.tls.RootCAs = pool
	return nil
}

// TrustAnybody leaves out the check of the server's certificate.
func (c *Client) TrustAnybody() { c.tls.InsecureSkipVerify = true }

// SetUp makes the transport. It is called once, after everything else is set. Connections are
// not kept: a switch is used twice a minute, and often has room for few of them.
func (c *Client) SetUp() {
	t := &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		TLSClientConfig:   c.tls.Clone(),
		DisableKeepAlives: true,
	}
	c.transport = t
	if c.Digest {
		c.transport = &digest.Transport{Username: c.User, Password: c.Password, Transport: t}
	}
}

// maxBody limits what is read of an answer.
const maxBody = 1 << 20

// Answer is what a server said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do makes a request and returns the answer, which has a status below 400. Other
// answers are errors: [power.ErrAuth] for 401 and 403, [power.ErrNotFound] for
// 404, [power.ErrRefused] for what else is below 500. Errors have neither
// the URL nor the login.
func (c *Client) Do(ctx context.Context, method, address string, header http.Header, body []byte) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return Answer{}, bare(err)
	}
	for key, values := range header {
		req.Header[http.CanonicalHeaderKey(key)] = values
		if strings.EqualFold(key, "Host") && len(values) > 0 {
			req.Host = values[0]
		}
	}
	if c.User != "" && !c.Digest {
		req.SetBasicAuth(c.User, c.Password)
	}
	client := http.Client{Transport: c.transport}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, bare(err)
	}
	defer resp.Body.Close()
	a := Answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1)); err != nil {
		return a, fmt.Errorf("reading the answer: %w", bare(err))
	}
	if len(a.Body) > maxBody {
		return a, fmt.Errorf("%w: the answer has more than %d bytes", power.ErrRefused, maxBody)
	}
	if a.Status >= 400 {
		return a, c.statusError(resp.Status, a)
	}
	return a, nil
}

func (c *Client) statusError(status string, a Answer) error {
	if text := c.Excerpt(a.Body); text != "" {
		status += ": " + text
	}
	switch {
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		return fmt.Errorf("%w: HTTP status %s", power.ErrAuth, status)
	case a.Status == http.StatusNotFound:
		return fmt.Errorf("%w: HTTP status %s", power.ErrNotFound, status)
	case a.Status < 500:
		return fmt.Errorf("%w: HTTP status %s", power.ErrRefused, status)
	}
	return fmt.Errorf("HTTP status %s", status)
}

// Excerpt is the start of an answer for an error, on one line and without the password.
func (c *Client) Excerpt(body []byte) string {
	text := strings.Join(strings.Fields(string(body[:min(len(body), 4096)])), " ")
	if c.Password != "" {
		text = strings.ReplaceAll(text, c.Password, "***")
	}
	if len(text) > 200 {
		text = text[:200] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

// bare takes the URL out of an error: it may have a password in its query.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Base parses the address of a device, a host or a URL, whose scheme is http where
// it has none. It refuses a base with a query or a login in it.
func Base(base string) (*url.URL, error) {
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return nil, errors.New("the address is neither HOST, HOST:PORT nor a URL (is there a blank in it?)") // the error would tell a login in it
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("address %q: want HOST, HOST:PORT or an http or https URL", u.Redacted())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("address %q: a login belongs into the option for it, and a query is not wanted", u.Redacted())
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}
