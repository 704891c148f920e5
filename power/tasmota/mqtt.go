package tasmota

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/dutflash/dutflash/power"
)

// NewMQTT returns a Controller for the device with the given topic at a broker:
// mqtt://HOST or HOST (port 1883), mqtts://HOST (TLS, port 8883), each with or
// without a port. Nothing is sent yet. The device's last will (tele/.../LWT) tells
// that it is away.
func NewMQTT(broker, topic string, opts ...Option) (*Controller, error) {
	c, err := newConfig(opts)
	address, urlErr := brokerURL(broker)
	if topic == "" || strings.ContainsAny(topic, "+#/") {
		err = errors.Join(err, fmt.Errorf("topic %q: want the device's Topic, without / or a wildcard", topic))
	}
	if err = errors.Join(err, urlErr); err == nil && c.tls != nil && address.Scheme != "ssl" {
		err = errors.New("a CA needs an mqtts broker")
	}
	if err != nil {
		return nil, fmt.Errorf("power tasmota: %w", err)
	}
	if c.fullTopic == "" {
		c.fullTopic = "%prefix%/%topic%/"
	}
	l := &mqttLink{broker: address, config: c, topic: topic}
	return newController(c, l, topic+" at MQTT broker "+address.Host), nil
}

// brokerURL is the URL that the client wants.
func brokerURL(broker string) (*url.URL, error) {
	if !strings.Contains(broker, "://") {
		broker = "mqtt://" + broker
	}
	u, err := url.Parse(broker)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.New("the broker must be HOST, HOST:PORT, mqtt://HOST or mqtts://HOST, without a login")
	}
	var port string
	switch u.Scheme {
	case "mqtt":
		u.Scheme, port = "tcp", "1883"
	case "mqtts":
		u.Scheme, port = "ssl", "8883"
	default:
		return nil, fmt.Errorf("scheme %q of the broker: want mqtt or mqtts", u.Scheme)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	u.Path = ""
	return u, nil
}

// mqttLink gives commands over a broker.
type mqttLink struct {
	broker *url.URL
	config config
	topic  string
}

// name is an MQTT topic of the device.
func (l *mqttLink) name(prefix, last string) string {
	return strings.NewReplacer("%prefix%", prefix, "%topic%", l.topic).Replace(l.config.fullTopic) + last
}

// disconnectGrace is how long the client may take to say goodbye.
const disconnectGrace = 100 // ms

func (l *mqttLink) command(ctx context.Context, name, payload string, answer func(map[string]json.RawMessage) bool) (map[string]json.RawMessage, error) {
	answers := make(chan []byte, 16)
	offline := make(chan struct{}, 1)
	lost := make(chan error, 1)
	o := mqtt.NewClientOptions()
	o.AddBroker(l.broker.String())
	o.SetClientID("dutflash-" + rand.Text()[:12])
	o.SetUsername(l.config.user)
	o.SetPassword(l.config.password)
	o.SetAutoReconnect(false)
	o.SetOrderMatters(false)
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { offer(lost, err) })
	if l.config.tls != nil {
		o.SetTLSConfig(l.config.tls.Clone())
	}
	if deadline, ok := ctx.Deadline(); ok {
		o.SetConnectTimeout(max(time.Millisecond, time.Until(deadline)))
	}
	client := mqtt.NewClient(o)
	defer client.Disconnect(disconnectGrace)
	if err := await(ctx, client.Connect()); err != nil {
		if errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword) || errors.Is(err, packets.ErrorRefusedNotAuthorised) {
			err = fmt.Errorf("%w: %w", power.ErrAuth, err)
		}
		return nil, fmt.Errorf("connecting to the broker: %w", err)
	}
	result := "RESULT"
	if name == "Status" {
		result = "STATUS" + payload
	}
	will := l.name("tele", "LWT")
	filters := map[string]byte{l.name("stat", result): 1, will: 1}
	err := await(ctx, client.SubscribeMultiple(filters, func(_ mqtt.Client, m mqtt.Message) {
		switch {
		case m.Topic() != will:
			offer(answers, m.Payload())
		case string(m.Payload()) == "Offline":
			offer(offline, struct{}{})
		}
	}))
	if err != nil {
		return nil, fmt.Errorf("subscribing to %s: %w", l.name("stat", result), err)
	}
	to := l.name("cmnd", name)
	if err := await(ctx, client.Publish(to, 1, false, payload)); err != nil {
		return nil, fmt.Errorf("publishing to %s: %w", to, err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no device answered to %s (is its topic right?): %w", to, context.Cause(ctx))
		case <-offline:
			return nil, fmt.Errorf("%w: the broker says that the device is offline (%s)", power.ErrNotFound, will)
		case err := <-lost:
			return nil, fmt.Errorf("the connection to the broker was lost: %w", err)
		case b := <-answers:
			var object map[string]json.RawMessage
			if json.Unmarshal(b, &object) != nil {
				continue // not the device's, or not for us
			}
			if err := refusal(object); err != nil {
				return nil, err
			}
			if answer(object) {
				return object, nil
			}
		}
	}
}

// offer gives v to a channel that has room for it; more than it has room for is
// noise.
func offer[T any](to chan<- T, v T) {
	select {
	case to <- v:
	default:
	}
}

// await waits for the client.
func await(ctx context.Context, t mqtt.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
