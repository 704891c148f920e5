package image

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/dutflash/dutflash/internal/registryauth"
)

// SourceOption changes how [Open] reaches a server. Options for servers have no
// effect on local files.
type SourceOption func(*sourceConfig) error

type sourceConfig struct {
	header     http.Header
	roots      *x509.CertPool
	insecure   bool
	stall      time.Duration
	retries    int
	wait       time.Duration // before the first retry
	user, pass string
	plainHTTP  *bool
	log        *slog.Logger
}

func newSourceConfig() *sourceConfig {
	return &sourceConfig{header: http.Header{}, stall: 30 * time.Second, retries: 10, wait: 500 * time.Millisecond, log: slog.New(slog.DiscardHandler)}
}

// headerName is a token of RFC 9110 (5.6.2).
var headerName = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")

// headerValue says whether v is a field value of RFC 9110 (5.5): bytes of text,
// above ASCII too, with blanks only between them. A regular expression would
// look at characters.
func headerValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return strings.Trim(v, " \t") == v
}

// WithHeader adds a header to the requests for an http(s) URL. It is sent to
// the scheme, host and port of the URL only, never on to another one that a
// redirect leads to. Name and value have to be valid by RFC 9110, and a name
// may be given once. Host, Range and other headers that belong to the transfer
// are refused.
func WithHeader(name, value string) SourceOption {
	return func(c *sourceConfig) error {
		key := http.CanonicalHeaderKey(name)
		switch {
		case !headerName.MatchString(name):
			return fmt.Errorf("%w: %q is not a header name", ErrInvalid, name)
		case !headerValue(value):
			return fmt.Errorf("%w: the value of header %s has characters that are not allowed", ErrInvalid, key)
		case c.header[key] != nil:
			return fmt.Errorf("%w: header %s is given twice", ErrInvalid, key)
		}
		switch key {
		case "Host", "Range", "If-Range", "Accept-Encoding", "Content-Length", "Transfer-Encoding", "Connection", "Te", "Trailer", "Upgrade":
			return fmt.Errorf("%w: header %s belongs to the transfer and cannot be set", ErrInvalid, key)
		}
		c.header.Set(key, value)
		return nil
	}
}

// WithBearerToken authorizes with a token (RFC 6750). It is sent as
// [WithHeader] says.
func WithBearerToken(token string) SourceOption {
	return func(c *sourceConfig) error {
		if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return fmt.Errorf("%w: the bearer token is empty or has characters other than visible ASCII", ErrInvalid)
		}
		return WithHeader("Authorization", "Bearer "+token)(c)
	}
}

// WithCAFile trusts the PEM certificates in a file besides those of the system.
func WithCAFile(path string) SourceOption {
	return func(c *sourceConfig) error {
		pem, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%w: CA file: %w", ErrInvalid, err)
		}
		if c.roots == nil {
			if c.roots, err = x509.SystemCertPool(); err != nil {
				c.roots = x509.NewCertPool()
			}
		}
		if !c.roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%w: CA file %s has no PEM certificate", ErrInvalid, path)
		}
		return nil
	}
}

// WithInsecureTLS accepts any certificate. Anybody on the way can then change
// the image; give its SHA-256.
func WithInsecureTLS() SourceOption {
	return func(c *sourceConfig) error {
		c.insecure = true
		return nil
	}
}

// WithStallTimeout sets how long a server may send nothing before the
// connection is given up and tried again; default 30 s.
func WithStallTimeout(d time.Duration) SourceOption {
	return func(c *sourceConfig) error {
		if d <= 0 {
			return fmt.Errorf("%w: stall timeout %v", ErrInvalid, d)
		}
		c.stall = d
		return nil
	}
}

// WithRetries sets how often in a row, without a byte in between, a broken
// transfer is taken up again, and the wait before the first time, which doubles
// up to 15 s. The default is 10 and 500 ms; 0 is never.
func WithRetries(n int, wait time.Duration) SourceOption {
	return func(c *sourceConfig) error {
		if n < 0 || wait < 0 {
			return fmt.Errorf("%w: %d retries after %v", ErrInvalid, n, wait)
		}
		c.retries, c.wait = n, wait
		return nil
	}
}

// WithOCICredentials sets user and password for the registry of an oci://
// reference. By default they come from OCI_USERNAME and OCI_PASSWORD, then from
// the files and helpers of podman and docker.
func WithOCICredentials(user, password string) SourceOption {
	return func(c *sourceConfig) error {
		if user == "" || password == "" {
			return fmt.Errorf("%w: user or password for the registry is empty", ErrInvalid)
		}
		c.user, c.pass = user, password
		return nil
	}
}

// WithPlainHTTP says whether an oci:// registry is spoken to without TLS. The
// default is yes for this host's loopback and no for all others.
func WithPlainHTTP(plain bool) SourceOption {
	return func(c *sourceConfig) error {
		c.plainHTTP = &plain
		return nil
	}
}

// WithSourceLogger logs retries and redirects. The default is silence.
func WithSourceLogger(l *slog.Logger) SourceOption {
	return func(c *sourceConfig) error {
		if l == nil {
			return fmt.Errorf("%w: the logger is nil", ErrInvalid)
		}
		c.log = l
		return nil
	}
}

// transport returns a connection pool of the source's own, with the proxy from
// the environment.
func (c *sourceConfig) transport() *http.Transport {
	// Not a clone of http.DefaultTransport, which the program may have replaced.
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: c.stall,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // the file as stored is wanted
	}
	if c.roots != nil || c.insecure {
		t.TLSClientConfig = &tls.Config{RootCAs: c.roots, InsecureSkipVerify: c.insecure}
	}
	return t
}

func basicAuth(u *url.Userinfo) string {
	pass, _ := u.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+pass))
}

// redactURL takes user information and query, which may carry secrets, out of
// a reference.
func redactURL(ref string) string {
	scheme, rest, ok := strings.Cut(ref, "://")
	if !ok {
		return ref
	}
	if _, err := url.Parse(ref); err != nil && strings.EqualFold(scheme[:min(4, len(scheme))], "http") && strings.Contains(rest, "@") {
		return scheme + "://..." // where a password ends, nobody can tell
	}
	if strings.EqualFold(scheme, "oci") {
		return scheme + "://" + registryauth.WithoutUser(rest)
	}
	if rest, query, has := strings.Cut(rest, "?"); has && query != "" {
		return redactURL(scheme+"://"+rest) + "?..."
	}
	host, path, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if strings.Contains(rest, "/") {
		host += "/" + path
	}
	return scheme + "://" + host
}

// tidyError is an error whose text was cleaned of secrets; the chain below it
// stays.
type tidyError struct {
	text string
	err  error
}

func (e *tidyError) Error() string { return e.text }
func (e *tidyError) Unwrap() error { return e.err }

var (
	urlQuery = regexp.MustCompile(`([a-z]+://[^\s"?]*)\?[^\s"]*`)
	urlUser  = regexp.MustCompile(`([a-z]+://)[^\s"/@]*@`)
)

// tidy removes what a URL in an error's text may carry.
func tidy(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // the URL is named by whoever wraps this
	}
	text := urlUser.ReplaceAllString(urlQuery.ReplaceAllString(err.Error(), "$1?..."), "$1")
	if text == err.Error() {
		return err
	}
	return &tidyError{text, err}
}
