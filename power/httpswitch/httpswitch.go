// Package httpswitch switches power with an HTTP request per action, for the many
// relays, PDUs and home automation servers that have no driver of their own.
package httpswitch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/internal/web"
)

// Request is what is sent. Only URL is required.
type Request struct {
	// Method is GET where it is empty.
	Method string
	// URL is http or https. A login in it is used as basic authentication.
	URL string
	// Body is sent as it is. A Content-Type goes into Header.
	Body string
	// Header is added to the request.
	Header http.Header
}

// Controller is a [power.Controller] that makes HTTP requests, a
// [power.StateReader] where [WithState] is given, and a [power.Meter] where
// [WithMeter] is. It may be used concurrently. Every request makes its own
// connection.
type Controller struct {
	on, off Request
	config  config
}

var (
	_ power.Controller  = (*Controller)(nil)
	_ power.StateReader = (*Controller)(nil)
	_ power.Meter       = (*Controller)(nil)
)

type config struct {
	web       web.Client
	switching power.Switching
	name      string
	state     *Request
	isOn      *regexp.Regexp
	isOff     *regexp.Regexp
	meter     *Request
	values    Values
}

// Option sets a knob of [New].
type Option func(*config) error

// WithState sets the request that asks for the state, and the regular
// expressions (RE2) that its answer's body matches when the power is on and when
// it is off. An answer that matches none or both is an error. On and Off then
// verify what they did.
func WithState(r Request, on, off string) Option {
	return func(c *config) (err error) {
		if c.isOn, err = regexp.Compile(on); err != nil {
			return fmt.Errorf("the pattern for on: %w", err)
		}
		if c.isOff, err = regexp.Compile(off); err != nil {
			return fmt.Errorf("the pattern for off: %w", err)
		}
		if on == "" || off == "" {
			return errors.New("the patterns for on and off are both required")
		}
		c.state = &r
		return checkRequest("state", r)
	}
}

// WithLogin sets user and password of basic authentication (RFC 7617), which are
// sent unasked.
func WithLogin(user, password string) Option {
	return func(c *config) error {
		c.web.User, c.web.Password = user, password
		return nil
	}
}

// WithDigestLogin sets user and password of digest authentication (RFC 7616).
func WithDigestLogin(user, password string) Option {
	return func(c *config) error {
		c.web.User, c.web.Password, c.web.Digest = user, password, true
		return nil
	}
}

// WithCA sets the PEM certificates that servers are checked against, in place of
// the system's.
func WithCA(pem []byte) Option { return func(c *config) error { return c.web.TrustCA(pem) } }

// WithInsecureTLS leaves out the check of the server's certificate.
func WithInsecureTLS() Option {
	return func(c *config) error {
		c.web.TrustAnybody()
		return nil
	}
}

// WithName sets what errors call the switch. The default is the host of the
// URL for on.
func WithName(name string) Option {
	return func(c *config) error {
		c.name = name
		return nil
	}
}

// WithSwitching sets timeout, retries, settling time and verification. The
// requests are repeated where they fail: they must not toggle.
func WithSwitching(s power.Switching) Option {
	return func(c *config) error {
		c.switching = s
		return s.Validate()
	}
}

// New returns a Controller that makes the given requests. Nothing is sent yet.
func New(on, off Request, opts ...Option) (*Controller, error) {
	c := &Controller{on: clone(on), off: clone(off)}
	err := errors.Join(checkRequest("on", on), checkRequest("off", off))
	for _, o := range opts {
		err = errors.Join(err, o(&c.config))
	}
	if err != nil {
		return nil, fmt.Errorf("power httpswitch: %w", err)
	}
	if c.config.name == "" {
		u, _ := url.Parse(on.URL) // checked above
		c.config.name = "HTTP switch at " + u.Host
	}
	c.config.web.SetUp()
	return c, nil
}

func clone(r Request) Request {
	r.Header = maps.Clone(r.Header)
	return r
}

func checkRequest(what string, r Request) error {
	u, err := url.Parse(r.URL)
	if err != nil {
		return fmt.Errorf("the URL for %s is malformed", what) // its text may have a password
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("the URL for %s must be http://HOST/... or https://HOST/..., not %q", what, u.Redacted())
	}
	if _, err := http.NewRequest(r.Method, "http://x/", nil); err != nil {
		return fmt.Errorf("the request for %s: %w", what, err)
	}
	return nil
}

// On makes the request for on. A status of 400 and above is an error.
func (c *Controller) On(ctx context.Context) error { return c.do(ctx, true) }

// Off makes the request for off, as On does.
func (c *Controller) Off(ctx context.Context) error { return c.do(ctx, false) }

func (c *Controller) do(ctx context.Context, on bool) error {
	state := c.askState
	if c.config.state == nil {
		state = nil
	}
	return c.config.switching.Switch(ctx, c.config.name, on, func(ctx context.Context, on bool) error {
		r := c.off
		if on {
			r = c.on
		}
		_, err := c.send(ctx, r)
		return err
	}, state)
}

// State asks whether the power is on. Without [WithState] it is
// [power.ErrUnsupported].
func (c *Controller) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, c.config.switching, "state", c.config.name, c.askState)
}

func (c *Controller) askState(ctx context.Context) (bool, error) {
	if c.config.state == nil {
		return false, fmt.Errorf("%w: no request for the state is set", power.ErrUnsupported)
	}
	a, err := c.send(ctx, *c.config.state)
	if err != nil {
		return false, err
	}
	on, off := c.config.isOn.Match(a.Body), c.config.isOff.Match(a.Body)
	switch {
	case on && off:
		return false, fmt.Errorf("%w: the answer matches both the pattern for on and that for off: %q", power.ErrRefused, c.config.web.Excerpt(a.Body))
	case !on && !off:
		return false, fmt.Errorf("%w: the answer matches neither the pattern for on nor that for off: %q", power.ErrRefused, c.config.web.Excerpt(a.Body))
	}
	return on, nil
}

func (c *Controller) send(ctx context.Context, r Request) (web.Answer, error) {
	return c.config.web.Do(ctx, r.Method, r.URL, r.Header, []byte(r.Body))
}
