// Package tasmota switches power with devices that run the Tasmota firmware, over
// HTTP ([New]) or over an MQTT broker ([NewMQTT]). The commands are those of
// tasmota.github.io/docs/Commands: Power<x>, and Status 10 for what the device
// measures.
package tasmota

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dutflash/dutflash/power"
)

// Controller is a [power.Controller], [power.StateReader] and [power.Meter] for
// one relay of a Tasmota device. It may be used concurrently. Every command makes
// its own connection, so a device or broker that was away is found again.
type Controller struct {
	config config
	link   link
	device string
}

var (
	_ power.Controller  = (*Controller)(nil)
	_ power.StateReader = (*Controller)(nil)
	_ power.Meter       = (*Controller)(nil)
)

// link brings a command to the device and returns its answer, a JSON object that
// has one of the keys.
type link interface {
	command(ctx context.Context, name, payload string, answer func(object map[string]json.RawMessage) bool) (map[string]json.RawMessage, error)
}

type config struct {
	relay          int
	user, password string
	switching      power.Switching
	fullTopic      string
	tls            *tls.Config
}

// Option sets a knob of [New] or [NewMQTT].
type Option func(*config) error

// WithRelay sets the relay of a device that has several, from 1, the default, to 32.
func WithRelay(n int) Option {
	return func(c *config) error {
		if n < 1 || n > 32 {
			return fmt.Errorf("relay %d is not from 1 to 32", n)
		}
		c.relay = n
		return nil
	}
}

// WithLogin sets user and password: for HTTP those of the device's web server,
// whose user is always "admin" (Tasmota takes them in the URL's query), for MQTT
// those of the broker.
func WithLogin(user, password string) Option {
	return func(c *config) error {
		c.user, c.password = user, password
		return nil
	}
}

// WithFullTopic sets the device's FullTopic, for MQTT only. It needs
// "%prefix%" and "%topic%"; the default is Tasmota's, "%prefix%/%topic%/".
func WithFullTopic(full string) Option {
	return func(c *config) error {
		if !strings.Contains(full, "%prefix%") || !strings.Contains(full, "%topic%") || strings.ContainsAny(full, "+#") {
			return fmt.Errorf("full topic %q needs %%prefix%% and %%topic%% and no wildcard", full)
		}
		c.fullTopic = strings.TrimSuffix(full, "/") + "/"
		return nil
	}
}

// WithCA sets the PEM certificates that an MQTT broker's is checked against, in
// place of the system's. For MQTT only: the firmware's web server has no TLS.
func WithCA(pem []byte) Option {
	return func(c *config) error {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return errors.New("the CA has no PEM certificate")
		}
		c.tls = &tls.Config{RootCAs: pool}
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

func newConfig(opts []Option) (config, error) {
	c := config{relay: 1}
	var err error
	for _, o := range opts {
		err = errors.Join(err, o(&c))
	}
	return c, err
}

func newController(c config, l link, where string) *Controller {
	return &Controller{config: c, link: l, device: fmt.Sprintf("Tasmota %s relay %d", where, c.relay)}
}

// On switches the relay on, and asks whether it did.
func (c *Controller) On(ctx context.Context) error {
	return c.config.switching.Switch(ctx, c.device, true, c.set, c.state)
}

// Off switches the relay off, as On does.
func (c *Controller) Off(ctx context.Context) error {
	return c.config.switching.Switch(ctx, c.device, false, c.set, c.state)
}

// State asks whether the relay is on.
func (c *Controller) State(ctx context.Context) (bool, error) {
	return power.Ask(ctx, c.config.switching, "state", c.device, c.state)
}

// Read asks for what the device measures, which is about all of its relays where
// it has one sensor for all. A device that measures nothing is [power.ErrUnsupported].
func (c *Controller) Read(ctx context.Context) (power.Reading, error) {
	return power.Ask(ctx, c.config.switching, "read", c.device, c.read)
}

func (c *Controller) set(ctx context.Context, on bool) error {
	payload := "OFF"
	if on {
		payload = "ON"
	}
	_, err := c.power(ctx, payload)
	return err
}

func (c *Controller) state(ctx context.Context) (bool, error) { return c.power(ctx, "") }

// power sends the Power command; without a payload it asks for the state only.
func (c *Controller) power(ctx context.Context, payload string) (bool, error) {
	n := strconv.Itoa(c.config.relay)
	keys := []string{"POWER" + n}
	if c.config.relay == 1 {
		keys = append(keys, "POWER") // what a device with one relay says
	}
	var value json.RawMessage
	answer, err := c.link.command(ctx, "Power"+n, payload, func(object map[string]json.RawMessage) bool {
		for _, key := range keys {
			if v, ok := object[key]; ok {
				value = v
				return true
			}
		}
		return false
	})
	if err != nil {
		return false, err
	}
	switch string(bytes.ToUpper(value)) {
	case `"ON"`:
		return true, nil
	case `"OFF"`:
		return false, nil
	}
	return false, fmt.Errorf("%w: the device answers %s (is it a relay, and its StateText ON and OFF?)", power.ErrRefused, excerpt(answer))
}

func (c *Controller) read(ctx context.Context) (power.Reading, error) {
	var raw json.RawMessage
	_, err := c.link.command(ctx, "Status", "10", func(object map[string]json.RawMessage) bool {
		raw = object["StatusSNS"]
		return raw != nil
	})
	if err != nil {
		return power.Reading{}, err
	}
	var sensors struct {
		Energy *struct {
			Power   quantity `json:"Power"`
			Voltage quantity `json:"Voltage"`
			Current quantity `json:"Current"`
		} `json:"ENERGY"`
	}
	if err := json.Unmarshal(raw, &sensors); err != nil {
		return power.Reading{}, fmt.Errorf("%w: the device's sensors: %w", power.ErrRefused, err)
	}
	e := sensors.Energy
	if e == nil {
		return power.Reading{}, fmt.Errorf("%w: the device measures no energy", power.ErrUnsupported)
	}
	n := c.config.relay
	return power.Reading{Time: time.Now(), Volts: e.Voltage.of(n), Amperes: e.Current.of(n), Watts: e.Power.of(n)}, nil
}

// quantity is a number, or an array with one for each channel.
type quantity []float64

func (q *quantity) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte("[")) {
		return json.Unmarshal(b, (*[]float64)(q))
	}
	var f float64
	err := json.Unmarshal(b, &f)
	*q = quantity{f}
	return err
}

// of is the number of relay n.
func (q quantity) of(n int) float64 {
	switch {
	case len(q) == 1:
		return q[0]
	case n <= len(q):
		return q[n-1]
	}
	return math.NaN()
}

// refusal is what a device says of a command that it does not carry out.
func refusal(object map[string]json.RawMessage) error {
	if w, ok := object["WARNING"]; ok && bytes.Contains(w, []byte("assword")) {
		return fmt.Errorf("%w: the device asks for a user and password", power.ErrAuth)
	}
	if said, ok := object["Command"]; ok { // "Unknown" or "Error"
		return fmt.Errorf("%w: the device says that the command is %s (has it that relay?)", power.ErrRefused, said)
	}
	return nil
}

func excerpt(object map[string]json.RawMessage) string {
	b, err := json.Marshal(object)
	if err != nil {
		return err.Error()
	}
	return string(b[:min(len(b), 200)])
}
