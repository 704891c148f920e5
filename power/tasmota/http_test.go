package tasmota_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/tasmota"
)

// device answers commands as the firmware's documentation has it
// (tasmota.github.io/docs/Commands).
type device struct {
	mu     sync.Mutex
	relays []bool
	energy string
}

func (d *device) command(line string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	name, payload, _ := strings.Cut(strings.ToUpper(line), " ")
	if name == "STATUS" && payload == "10" {
		return `{"StatusSNS":{"Time":"2026-11-23T15:00:00"` + d.energy + `}}`
	}
	n := 1
	if _, err := fmt.Sscanf(name, "POWER%d", &n); err != nil && name != "POWER" || n < 1 || n > len(d.relays) {
		return `{"Command":"Unknown"}`
	}
	switch payload {
	case "ON", "OFF":
		d.relays[n-1] = payload == "ON"
	}
	key, value := "POWER", "OFF"
	if len(d.relays) > 1 {
		key = fmt.Sprint("POWER", n)
	}
	if d.relays[n-1] {
		value = "ON"
	}
	return fmt.Sprintf(`{"%s":"%s"}`, key, value)
}

func (d *device) relay(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.relays[n-1]
}

// server is the device's web server.
func (d *device) server(password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case r.URL.Path != "/cm":
			http.NotFound(w, r)
		case password != "" && (q.Get("user") != "admin" || q.Get("password") != password):
			fmt.Fprint(w, `{"WARNING":"Need user=<username>&password=<password>"}`)
		case strings.Contains(r.URL.RawQuery, "+"):
			fmt.Fprint(w, `{"Command":"Unknown"}`)
		default:
			fmt.Fprint(w, d.command(q.Get("cmnd")))
		}
	})
}

// oneRelay and fourRelays are a plug and a board of relays.
func oneRelay() *device {
	return &device{relays: make([]bool, 1), energy: `,"ENERGY":{"Total":3.185,"Power":12,"ApparentPower":20,"Factor":0.6,"Voltage":229,"Current":0.087}`}
}

func fourRelays() *device {
	return &device{relays: make([]bool, 4), energy: `,"ENERGY":{"Power":[1,2,3.5,4],"Voltage":231,"Current":[0.1,0.2,0.3,0.4]}`}
}

func switches(t *testing.T, c *tasmota.Controller, d *device, relay int) {
	t.Helper()
	for _, want := range []bool{true, true, false} {
		do := c.Off
		if want {
			do = c.On
		}
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := c.State(t.Context()); err != nil || got != want || d.relay(relay) != want {
			t.Errorf("state %v, %v; the relay is %v; want %v", got, err, d.relay(relay), want)
		}
	}
}

func reads(t *testing.T, c *tasmota.Controller, volts, amperes, watts float64) {
	t.Helper()
	r, err := c.Read(t.Context())
	if err != nil || r.Volts != volts || r.Amperes != amperes || r.Watts != watts || r.Time.IsZero() {
		t.Errorf("read %+v, %v; want %v V, %v A, %v W", r, err, volts, amperes, watts)
	}
}

func TestHTTP(t *testing.T) {
	d := oneRelay()
	s := httptest.NewServer(d.server("s3cret & more"))
	defer s.Close()
	c, err := tasmota.New(s.URL, tasmota.WithLogin("admin", "s3cret & more"))
	if err != nil {
		t.Fatal(err)
	}
	switches(t, c, d, 1)
	reads(t, c, 229, 0.087, 12)

	d = fourRelays()
	s = httptest.NewServer(d.server(""))
	defer s.Close()
	c, err = tasmota.New(strings.TrimPrefix(s.URL, "http://"), tasmota.WithRelay(3))
	if err != nil {
		t.Fatal(err)
	}
	switches(t, c, d, 3)
	reads(t, c, 231, 0.3, 3.5)
}

func TestHTTPFailures(t *testing.T) {
	plain := &device{relays: make([]bool, 1)}
	once := tasmota.WithSwitching(power.Switching{Tries: 1})
	for _, tc := range []struct {
		name   string
		server http.Handler
		opts   []tasmota.Option
		is     error
		text   string
	}{
		{"no password", plain.server("s3cret"), nil, power.ErrAuth, "asks for a user and password"},
		{"wrong password", plain.server("s3cret"), []tasmota.Option{tasmota.WithLogin("admin", "wr0ng")}, power.ErrAuth, "relay 1"},
		{"no such relay", plain.server(""), []tasmota.Option{tasmota.WithRelay(2)}, power.ErrRefused, "has it that relay"},
		{"another device", http.NotFoundHandler(), nil, power.ErrNotFound, "404"},
		{"a web page", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }), nil, power.ErrRefused, "no Tasmota"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := httptest.NewServer(tc.server)
			defer s.Close()
			c, err := tasmota.New(s.URL, append(tc.opts, once)...)
			if err != nil {
				t.Fatal(err)
			}
			err = c.On(t.Context())
			var typed *power.Error
			if !errors.Is(err, tc.is) || !errors.As(err, &typed) || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("got %v, want %v with %q", err, tc.is, tc.text)
			}
		})
	}
	s := httptest.NewServer(plain.server(""))
	c, err := tasmota.New(s.URL, once, tasmota.WithLogin("admin", "s3cret"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(t.Context()); !errors.Is(err, power.ErrUnsupported) {
		t.Errorf("read from a device without a sensor: %v", err)
	}
	s.Close()
	if err := c.On(t.Context()); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a device that is away: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, f := range map[string]func() (*tasmota.Controller, error){
		"no host": func() (*tasmota.Controller, error) { return tasmota.New("") },
		"relay 0": func() (*tasmota.Controller, error) { return tasmota.New("h", tasmota.WithRelay(0)) },
		"topic for HTTP": func() (*tasmota.Controller, error) {
			return tasmota.New("h", tasmota.WithFullTopic("%prefix%/%topic%"))
		},
		"full topic": func() (*tasmota.Controller, error) {
			return tasmota.NewMQTT("h", "t", tasmota.WithFullTopic("%topic%"))
		},
		"no topic":        func() (*tasmota.Controller, error) { return tasmota.NewMQTT("h", "") },
		"wildcard":        func() (*tasmota.Controller, error) { return tasmota.NewMQTT("h", "#") },
		"broker's scheme": func() (*tasmota.Controller, error) { return tasmota.NewMQTT("http://h", "t") },
		"no CA":           func() (*tasmota.Controller, error) { return tasmota.NewMQTT("mqtts://h", "t", tasmota.WithCA(nil)) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
}

func ExampleNew() {
	d := oneRelay()
	plug := httptest.NewServer(d.server(""))
	defer plug.Close()
	board, err := tasmota.New(plug.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := power.Cycle(context.Background(), board, time.Millisecond); err != nil {
		fmt.Println(err)
	}
	r, err := board.Read(context.Background())
	fmt.Println(r.Watts, "W", math.Round(r.Volts), "V", err)
	// Output: 12 W 229 V <nil>
}
