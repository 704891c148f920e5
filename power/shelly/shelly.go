// Package shelly switches power with Shelly relays and plugs over their local
// HTTP API: that of the first generation (shelly-api-docs.shelly.cloud/gen1,
// "/relay/{index}") and that of the second and later ones (/gen2, RPC over HTTP,
// "/rpc/Switch.Set"). Which one a device speaks it tells at "/shelly".
package shelly

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/internal/web"
)

// Controller is a [power.Controller], [power.StateReader] and [power.Meter] for
// one relay of a Shelly. It must not be used concurrently. Every request makes
// its own connection, so a device that was away is found again.
type Controller struct {
	config config
	base   *url.URL
	gen    int // 0 until the device has told
	web    web.Client
}

var (
	_ power.Controller  = (*Controller)(nil)
	_ power.StateReader = (*Controller)(nil)
	_ power.Meter       = (*Controller)(nil)
)

type config struct {
	channel        int
	user, password string
	switching      power.Switching
}

// Option sets a knob of [New].
type Option func(*config) error

// WithChannel sets the relay of a device that has several. The first one is 0,
// which is the default.
func WithChannel(n int) Option {
	return func(c *config) error {
		if n < 0 {
			return fmt.Errorf("channel %d must not be negative", n)
		}
		c.channel = n
		return nil
	}
}

// WithPassword sets the password of a device that is protected with one. The
// user is that of the device's settings for the first generation, and always
// "admin" for the later ones. The first generation takes it by basic
// authentication, the later ones by digest authentication with SHA-256, where
// the password does not go over the line.
func WithPassword(user, password string) Option {
	return func(c *config) error {
		if user == "" || password == "" {
			return errors.New("user and password are both required")
		}
		c.user, c.password = user, password
		return nil
	}
}

// WithSwitching sets timeout, retries, settling time and verification.
func WithSwitching(s power.Switching) Option {
	return func(c *config) error {
		c.switching = s
		return s.Validate()
	}
}

// New returns a Controller for the device at address: a host, host:port, or an
// http URL. Nothing is sent yet.
func New(address string, opts ...Option) (*Controller, error) {
	c := &Controller{}
	base, err := web.Base(address)
	for _, o := range opts {
		err = errors.Join(err, o(&c.config))
	}
	if err != nil {
		return nil, fmt.Errorf("power shelly: %w", err)
	}
	c.base = base
	return c, nil
}

func (c *Controller) device() string {
	return "Shelly " + c.base.Host + " channel " + strconv.Itoa(c.config.channel)
}

// On switches the relay on, and asks whether it did.
func (c *Controller) On(ctx context.Context) error {
	return c.config.switching.Switch(ctx, c.device(), true, c.set, c.state)
}

// Off switches the relay off, as On does.
func (c *Controller) Off(ctx context.Context) error {
	return c.config.switching.Switch(ctx, c.device(), false, c.set, c.state)
}

// State asks whether the relay is on.
func (c *Controller) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, c.config.switching, "state", c.device(), c.state)
}

// Read asks for what the relay measures. A device that measures nothing is
// [power.ErrUnsupported].
func (c *Controller) Read(ctx context.Context) (power.Reading, error) {
	return power.Ask(ctx, c.config.switching, "read", c.device(), c.read)
}

// generation asks the device once what it speaks, which needs no login, and sets
// up the login that goes with it.
func (c *Controller) generation(ctx context.Context) (int, error) {
	if c.gen != 0 {
		return c.gen, nil
	}
	var open web.Client
	open.SetUp()
	answer, err := open.Do(ctx, http.MethodGet, c.base.String()+"/shelly", nil, nil)
	if err != nil {
		return 0, fmt.Errorf("asking for the generation: %w", err)
	}
	var about struct {
		Gen  int    `json:"gen"`
		Type string `json:"type"`
	}
	if err := json.Unmarshal(answer.Body, &about); err != nil || about.Gen == 0 && about.Type == "" {
		return 0, fmt.Errorf("%w: this is no Shelly: it answers %q", power.ErrRefused, open.Excerpt(answer.Body))
	}
	gen := max(1, about.Gen)
	c.web = web.Client{User: c.config.user, Password: c.config.password, Digest: gen > 1 && c.config.user != ""}
	c.web.SetUp()
	c.gen = gen
	return gen, nil
}

func (c *Controller) set(ctx context.Context, on bool) error {
	gen, err := c.generation(ctx)
	if err != nil {
		return err
	}
	if gen == 1 {
		turn := "off"
		if on {
			turn = "on"
		}
		return c.get(ctx, "/relay/"+strconv.Itoa(c.config.channel)+"?turn="+turn, new(gen1Relay))
	}
	return c.get(ctx, fmt.Sprintf("/rpc/Switch.Set?id=%d&on=%v", c.config.channel, on), new(json.RawMessage))
}

func (c *Controller) state(ctx context.Context) (bool, error) {
	gen, err := c.generation(ctx)
	if err != nil {
		return false, err
	}
	var on *bool
	if gen == 1 {
		var r gen1Relay
		err = c.get(ctx, "/relay/"+strconv.Itoa(c.config.channel), &r)
		on = r.IsOn
	} else {
		var s gen2Switch
		err = c.get(ctx, "/rpc/Switch.GetStatus?id="+strconv.Itoa(c.config.channel), &s)
		on = s.Output
	}
	if err == nil && on == nil {
		err = fmt.Errorf("%w: the answer does not tell the state", power.ErrRefused)
	}
	return err == nil && *on, err
}

type gen1Relay struct {
	IsOn *bool `json:"ison"`
}

type gen2Switch struct {
	Output  *bool    `json:"output"`
	Power   *float64 `json:"apower"`
	Voltage *float64 `json:"voltage"`
	Current *float64 `json:"current"`
}

func (c *Controller) read(ctx context.Context) (power.Reading, error) {
	gen, err := c.generation(ctx)
	if err != nil {
		return power.Reading{}, err
	}
	var watts, volts, amperes *float64
	if gen == 1 {
		var m struct {
			Power *float64 `json:"power"`
			Valid bool     `json:"is_valid"`
		}
		err = c.get(ctx, "/meter/"+strconv.Itoa(c.config.channel), &m)
		if errors.Is(err, power.ErrNotFound) {
			return power.Reading{}, fmt.Errorf("%w: the device has no meter for the channel: %w", power.ErrUnsupported, err)
		}
		if err == nil && !m.Valid {
			return power.Reading{}, errors.New("the device says that its measurement is not valid")
		}
		watts = m.Power
	} else {
		var s gen2Switch
		err = c.get(ctx, "/rpc/Switch.GetStatus?id="+strconv.Itoa(c.config.channel), &s)
		watts, volts, amperes = s.Power, s.Voltage, s.Current
	}
	if err != nil {
		return power.Reading{}, err
	}
	if watts == nil && volts == nil && amperes == nil {
		return power.Reading{}, fmt.Errorf("%w: the device measures nothing", power.ErrUnsupported)
	}
	return power.Reading{Time: time.Now(), Volts: orNaN(volts), Amperes: orNaN(amperes), Watts: orNaN(watts)}, nil
}

func orNaN(f *float64) float64 {
	if f == nil {
		return math.NaN()
	}
	return *f
}

// get asks and decodes the answer.
func (c *Controller) get(ctx context.Context, path string, into any) error {
	answer, err := c.web.Do(ctx, http.MethodGet, c.base.String()+path, nil, nil)
	if err != nil {
		if errors.Is(err, power.ErrAuth) && c.config.user == "" {
			err = fmt.Errorf("%w (the device is protected: a password is needed)", err)
		}
		return err
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return fmt.Errorf("%w: it answers %q: %w", power.ErrRefused, c.web.Excerpt(answer.Body), err)
	}
	return nil
}
