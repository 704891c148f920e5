package bundle

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"oras.land/oras-go/v2/registry/remote/retry"
)

// roundTripper returns the transport for all requests, with retries, and a
// function that closes its idle connections.
func (c *config) roundTripper() (http.RoundTripper, func()) {
	base, idle := c.transport, func() {}
	if base == nil {
		// Not a clone of http.DefaultTransport, which the program may have
		// replaced by something that has other limits or none.
		t := &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: min(c.stall, 15*time.Second)}).DialContext,
			TLSHandshakeTimeout:   min(c.stall, 15*time.Second),
			ResponseHeaderTimeout: c.stall,
			ExpectContinueTimeout: time.Second,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   c.parallel,
			IdleConnTimeout:       time.Minute,
		}
		if c.tls != nil {
			t.TLSClientConfig = c.tls.Clone()
		}
		base, idle = t, t.CloseIdleConnections
	}
	return &retry.Transport{Base: base, Policy: func() retry.Policy { return policy{c} }}, idle
}

const (
	minRetryWait = 200 * time.Millisecond
	maxRetryWait = 3 * time.Second
	// maxRetryAfter is how long a server may ask us to wait. One that wants
	// more is treated as one that cannot be reached, as the cache may help then.
	maxRetryAfter = time.Minute
)

// policy says when a request is repeated: with growing pauses, or when the
// server says. oras-go's own policy heeds Retry-After for 429 alone, not for
// 503, and cuts it to its longest pause.
type policy struct{ c *config }

// Retry implements retry.Policy.
func (p policy) Retry(attempt int, resp *http.Response, err error) (time.Duration, error) {
	if attempt >= p.c.retries {
		return -1, nil
	}
	if ok, err := again(resp, err, p.c); err != nil || !ok {
		return -1, err
	}
	wait := min(max(retry.DefaultBackoff(attempt, nil), minRetryWait), maxRetryWait)
	if after := retryAfter(resp); after > maxRetryAfter {
		p.c.logger.Debug("server wants a longer pause than is waited for", "pause", after, "longest", maxRetryAfter)
		return -1, nil
	} else if after > wait {
		wait = after
		if pausing, ok := resp.Request.Context().Value(pauseKey{}).(func(time.Duration)); ok {
			pausing(wait)
		}
	}
	return wait, nil
}

// retryAfter is the pause that a server asks for, in seconds or until a date
// (RFC 9110, 10.2.3), or 0.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	v := resp.Header.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return time.Until(at)
	}
	return 0
}

// again decides whether a request is worth repeating. A refused connection or
// unknown host is not: the cache is then the faster answer.
func again(resp *http.Response, err error, c *config) (bool, error) {
	if err != nil {
		if broken(err) {
			c.logger.Debug("request failed, trying again", "err", tidy(err).Error())
			return true, nil
		}
		return false, err
	}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout || resp.StatusCode >= 500 {
		c.logger.Debug("server is busy or failing, trying again", "status", resp.StatusCode, "path", resp.Request.URL.Path)
		return true, nil
	}
	return false, nil
}

// broken tells a connection that broke from one that never came about.
func broken(err error) bool {
	var ne net.Error
	var we *wireError
	var oe *net.OpError
	if errors.As(err, &oe) && oe.Op == "dial" {
		return false
	}
	return errors.As(err, &we) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, errStalled) || errors.As(err, &ne) && ne.Timeout()
}
