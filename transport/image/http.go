package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// httpSource is a file on a web server.
type httpSource struct {
	url    *url.URL // without user information
	c      *sourceConfig
	header http.Header // for the origin of url only
}

func newHTTPSource(ref string, c *sourceConfig) (Source, error) {
	u, err := url.Parse(ref)
	switch {
	case err != nil && strings.Contains(ref, "@"): // the cause could quote a part of the password
		return nil, fmt.Errorf("%w: not a URL; in a user name or password, characters such as / ? # @ %% have to be written as %%XX", ErrInvalid)
	case err != nil:
		return nil, fmt.Errorf("%w: not a URL: %w", ErrInvalid, tidy(err))
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%w: the URL has no host", ErrInvalid)
	}
	s := &httpSource{url: u, c: c, header: c.header.Clone()}
	if u.User != nil {
		if s.header.Get("Authorization") != "" {
			return nil, fmt.Errorf("%w: both the URL and an option have credentials", ErrInvalid)
		}
		s.header.Set("Authorization", basicAuth(u.User))
		u.User = nil
	}
	u.Fragment = ""
	return s, nil
}

func (s *httpSource) name() string {
	if n := path.Base(s.url.Path); n != "/" && n != "." {
		return n
	}
	return s.url.Host
}

// origin adds the headers of the user where a request goes to the server that
// they are meant for, and nowhere else.
type origin struct {
	s    *httpSource
	base *http.Transport
}

func (o *origin) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == o.s.url.Scheme && req.URL.Host == o.s.url.Host {
		req = req.Clone(req.Context())
		for k, v := range o.s.header {
			req.Header[k] = v
		}
	}
	return o.base.RoundTrip(req)
}

func (s *httpSource) client() (*http.Client, func()) {
	t := s.c.transport()
	return &http.Client{Transport: &origin{s, t}, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		// A presigned URL is a secret too.
		req.Header.Del("Referer")
		if len(via) >= 10 {
			return errors.New("more than 10 redirects")
		}
		if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme == "http" {
			return errors.New("a redirect from https to http is not followed")
		}
		s.c.log.Debug("redirected", "source", s.name(), "host", req.URL.Host)
		return nil
	}}, t.CloseIdleConnections
}

// validator is what tells that a file is still the same: a strong ETag, or the
// time of its last change.
func validator(h http.Header) string {
	if e := h.Get("ETag"); e != "" && !strings.HasPrefix(e, "W/") {
		return e
	}
	return h.Get("Last-Modified")
}

// replacedBy says whether the answers with these headers are of different files:
// some servers send a range of whatever they have now, without a look at If-Range.
func replacedBy(before, now http.Header) bool {
	if a, b := before.Get("ETag"), now.Get("ETag"); a != "" && b != "" && !strings.HasPrefix(a, "W/") && !strings.HasPrefix(b, "W/") {
		return a != b
	}
	a, b := before.Get("Last-Modified"), now.Get("Last-Modified")
	return a != "" && b != "" && a != b
}

// Info asks with HEAD, and with a GET for one byte where the server does not do
// HEAD (as with presigned URLs).
func (s *httpSource) Info(ctx context.Context) (Info, error) {
	client, idle := s.client()
	defer idle()
	info, err := s.ask(ctx, client, http.MethodHead)
	if err != nil {
		var code statusError
		if errors.As(err, &code) && code != http.StatusNotFound {
			info, err = s.ask(ctx, client, http.MethodGet)
		}
	}
	return info, err
}

func (s *httpSource) ask(ctx context.Context, client *http.Client, method string) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.stall)
	defer cancel()
	req, err := s.request(ctx, method)
	if err != nil {
		return Info{}, err
	}
	if method == http.MethodGet {
		req.Header.Set("Range", "bytes=0-0")
	}
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return Info{}, fmt.Errorf("%w: %w", ErrUnreachable, context.Cause(ctx))
		}
		return Info{}, s.explain(err)
	}
	resp.Body.Close()
	info := Info{Name: s.name(), Size: resp.ContentLength}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusPartialContent:
		_, info.Size = contentRange(resp.Header)
	default:
		return Info{}, s.status(resp)
	}
	if n, ok := disposition(resp.Header); ok {
		info.Name = n
	}
	etag, modified := resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	if etag != "" || modified != "" {
		info.Identity = fmt.Sprintf("http\n%s\n%s\n%s\n%d", s.url, etag, modified, info.Size)
	}
	return info, nil
}

func (s *httpSource) request(ctx context.Context, method string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url.String(), nil)
	if err != nil {
		return nil, tidy(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "dutflash")
	return req, nil
}

func (s *httpSource) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	client, idle := s.client()
	context.AfterFunc(ctx, idle)
	b := &httpBody{url: s.url.String()}
	b.resumer = &resumer{
		ctx: ctx, cancel: cancel, stall: s.c.stall, tries: s.c.retries, wait: s.c.wait, log: s.c.log, name: s.name(),
		start: offset, offset: offset, size: -1, fetch: s.fetcher(client, &b.header),
	}
	if err := b.begin(); err != nil {
		cancel(nil)
		return nil, err
	}
	return b, nil
}

// httpBody is a file of a web server that is being read.
type httpBody struct {
	*resumer
	url    string
	header http.Header // of the first answer
}

// is returns [ErrChanged] where the file that is being read is not the one whose
// identity [httpSource.Info] told before: somebody replaced it in between. What
// only one of the two answers tells does not count.
func (b *httpBody) is(identity string) error {
	told := strings.Split(identity, "\n") // as Info put it together
	if len(told) != 5 || told[0] != "http" || told[1] != b.url {
		return nil
	}
	for i, name := range []string{"ETag", "Last-Modified"} {
		before, now := strings.TrimPrefix(told[2+i], "W/"), strings.TrimPrefix(b.header.Get(name), "W/")
		if before != "" && now != "" && before != now {
			return fmt.Errorf("%w: it was replaced on the server: its %s was %s and is %s", ErrChanged, name, before, now)
		}
	}
	return nil
}

// fetcher keeps the validator of the first answer for If-Range, and its header.
func (s *httpSource) fetcher(client *http.Client, header *http.Header) fetcher {
	valid := ""
	return func(ctx context.Context, offset int64, first bool) (fetched, error) {
		req, err := s.request(ctx, http.MethodGet)
		if err != nil {
			return fetched{}, &permanent{err}
		}
		// Without a validator nobody could tell whether the rest belongs to
		// the same file; then all is sent again and compared.
		if offset > 0 && (first || valid != "") {
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
			if !first {
				req.Header.Set("If-Range", valid)
			}
		}
		resp, err := client.Do(req)
		if err != nil {
			return fetched{}, s.explain(err)
		}
		now := validator(resp.Header)
		if first {
			valid, *header = now, resp.Header
		}
		f := fetched{body: resp.Body, size: resp.ContentLength, sure: valid != "" && now == valid}
		switch resp.StatusCode {
		case http.StatusOK:
			if !first && valid != "" && !f.sure {
				resp.Body.Close()
				return fetched{}, &permanent{ErrChanged}
			}
			return f, nil
		case http.StatusPartialContent:
			if !first && replacedBy(*header, resp.Header) {
				resp.Body.Close()
				return fetched{}, &permanent{ErrChanged}
			}
			f.offset, f.size = contentRange(resp.Header)
			f.sure = true // by If-Range
			return f, nil
		}
		resp.Body.Close()
		return fetched{}, s.status(resp)
	}
}

// contentRange reads "bytes FIRST-LAST/SIZE"; what it cannot read is -1.
func contentRange(h http.Header) (first, size int64) {
	spec, ok := strings.CutPrefix(h.Get("Content-Range"), "bytes ")
	span, total, ok2 := strings.Cut(spec, "/")
	from, _, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return -1, -1
	}
	first, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		first = -1
	}
	if size, err = strconv.ParseInt(total, 10, 64); err != nil {
		size = -1
	}
	return first, size
}

func disposition(h http.Header) (string, bool) {
	_, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	n := path.Base(strings.ReplaceAll(params["filename"], `\`, "/"))
	return n, err == nil && n != "." && n != "/" && n != ".."
}

// statusError is an HTTP status that is no success.
type statusError int

func (e statusError) Error() string {
	return fmt.Sprintf("the server answers %d %s", int(e), http.StatusText(int(e)))
}

// status says what an answer means, and whether asking again may help.
func (s *httpSource) status(resp *http.Response) error {
	code := statusError(resp.StatusCode)
	at := redactURL(resp.Request.URL.String())
	switch c := resp.StatusCode; {
	case c == http.StatusNotFound || c == http.StatusGone:
		return &permanent{fmt.Errorf("%w: %s: %w", ErrNotFound, at, code)}
	case c == http.StatusUnauthorized || c == http.StatusForbidden || c == http.StatusProxyAuthRequired:
		return &permanent{fmt.Errorf("%w: %s: %w; give credentials with WithBearerToken or WithHeader", ErrUnauthorized, at, code)}
	case c == http.StatusTooManyRequests || c == http.StatusRequestTimeout || c >= 500:
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, at, code)
	}
	return &permanent{fmt.Errorf("%s: %w", at, code)}
}

// explain is for requests that got no answer.
func (s *httpSource) explain(err error) error {
	cause := tidy(err)
	err = fmt.Errorf("%w: %s: %w", ErrUnreachable, s.url.Host, cause)
	if strings.Contains(cause.Error(), "redirect") || strings.Contains(cause.Error(), "certificate") ||
		strings.Contains(cause.Error(), "unsupported protocol scheme") {
		return &permanent{err}
	}
	return err
}
