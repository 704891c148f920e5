package bundle

import (
	"errors"
	"io"
	"net"
	"net/http"
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
	return &retry.Transport{Base: base, Policy: func() retry.Policy {
		return &retry.GenericPolicy{
			Retryable: func(resp *http.Response, err error) (bool, error) { return again(resp, err, c) },
			Backoff:   retry.DefaultBackoff, MinWait: 200 * time.Millisecond, MaxWait: 3 * time.Second, MaxRetry: c.retries}
	}}, idle
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
