package tasmota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/internal/web"
)

// New returns a Controller for the device at address (a host, host:port, or an
// http URL). Nothing is sent yet.
func New(address string, opts ...Option) (*Controller, error) {
	base, err := web.Base(address)
	c, optErr := newConfig(opts)
	if err = errors.Join(err, optErr); err == nil && (c.fullTopic != "" || c.tls != nil) {
		err = errors.New("a full topic and a CA are for MQTT only")
	}
	if err != nil {
		return nil, fmt.Errorf("power tasmota: %w", err)
	}
	l := &httpLink{base: base, user: c.user, password: c.password}
	l.web.Password = c.password // for its errors; it is sent in the query
	l.web.SetUp()
	return newController(c, l, base.Host), nil
}

// httpLink gives commands to the device's web server, at /cm.
type httpLink struct {
	base           *url.URL
	user, password string
	web            web.Client
}

func (l *httpLink) command(ctx context.Context, name, payload string, answer func(map[string]json.RawMessage) bool) (map[string]json.RawMessage, error) {
	if payload != "" {
		name += " " + payload
	}
	values := url.Values{"cmnd": {name}}
	if l.user != "" {
		values.Set("user", l.user)
		values.Set("password", l.password)
	}
	// The firmware's documentation has a blank as %20 only.
	query := strings.ReplaceAll(values.Encode(), "+", "%20")
	a, err := l.web.Do(ctx, http.MethodGet, l.base.String()+"/cm?"+query, nil, nil)
	if err != nil {
		return nil, err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(a.Body, &object); err != nil {
		return nil, fmt.Errorf("%w: this is no Tasmota: it answers %q", power.ErrRefused, l.web.Excerpt(a.Body))
	}
	if err := refusal(object); err != nil {
		return nil, err
	}
	if !answer(object) {
		return nil, fmt.Errorf("%w: the answer to %s is %q (has it that relay?)", power.ErrRefused, name, l.web.Excerpt(a.Body))
	}
	return object, nil
}
