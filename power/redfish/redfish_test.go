package redfish_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/redfish"
)

var basic = redfish.WithLogin(user, password)

func (s *service) ca() redfish.Option {
	return redfish.WithCA(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func (s *service) controller(opts ...redfish.Option) *redfish.Controller {
	s.t.Helper()
	quick := redfish.WithSwitching(power.Switching{Timeout: time.Minute, Tries: 1})
	c, err := redfish.New(s.URL, append([]redfish.Option{s.ca(), quick}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestSwitch(t *testing.T) {
	for _, tc := range []struct {
		name     string
		opts     []redfish.Option
		change   func(*service)
		on       bool
		resets   string
		sessions int
	}{
		{"off", []redfish.Option{basic}, nil, false, "ForceOff", 0},
		{"off again", []redfish.Option{basic}, func(s *service) { s.state = "Off" }, false, "", 0},
		{"on", []redfish.Option{basic}, func(s *service) { s.state = "Off" }, true, "On", 0},
		{"on again", []redfish.Option{basic}, nil, true, "", 0},
		{"on with force", []redfish.Option{basic}, func(s *service) { s.state, s.types = "Off", []string{"ForceOn", "ForceOff"} }, true, "ForceOn", 0},
		{"session", []redfish.Option{redfish.WithSession(user, password)}, nil, false, "ForceOff", 2},
		{"graceful", []redfish.Option{basic, redfish.WithGracefulShutdown(time.Minute)}, nil, false, "GracefulShutdown", 0},
		{"graceful in vain", []redfish.Option{basic, redfish.WithGracefulShutdown(time.Millisecond)}, func(s *service) { s.stubborn = true }, false, "GracefulShutdown ForceOff", 0},
		{"graceful unknown", []redfish.Option{basic, redfish.WithGracefulShutdown(time.Minute)}, func(s *service) { s.types = []string{"ForceOff"} }, false, "ForceOff", 0},
		{"by its id", []redfish.Option{basic, redfish.WithSystem("437XR1138R2")}, func(s *service) { s.members = []string{"/redfish/v1/Systems/other", systemPath} }, false, "ForceOff", 0},
		{"not verified", []redfish.Option{basic, redfish.WithSwitching(power.Switching{Unverified: true})}, nil, false, "ForceOff", 0},
		{"any certificate", []redfish.Option{basic, redfish.WithInsecureTLS()}, nil, false, "ForceOff", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // what waits is the client, between its questions
			s := newService(t)
			if tc.change != nil {
				tc.change(s)
			}
			c := s.controller(tc.opts...)
			do := c.Off
			if tc.on {
				do = c.On
			}
			if err := do(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(s.resets, " "); got != tc.resets {
				t.Errorf("reset %q, want %q", got, tc.resets)
			}
			if s.sessions != tc.sessions || len(s.open) != 0 {
				t.Errorf("%d sessions, want %d; open: %v", s.sessions, tc.sessions, s.open)
			}
			if on, err := s.controller(basic, redfish.WithSystem("437XR1138R2")).State(t.Context()); tc.name != "not verified" && (err != nil || on != tc.on) {
				t.Errorf("state %v, %v, want %v", on, err, tc.on)
			}
		})
	}
}

func TestCycle(t *testing.T) {
	for _, tc := range []struct {
		name, state string
		opts        []redfish.Option
		want        []string
	}{
		{"by itself", "On", []redfish.Option{redfish.WithPowerCycle()}, []string{"PowerCycle"}},
		{"by itself while off", "Off", []redfish.Option{redfish.WithPowerCycle()}, []string{"On"}},
		{"off and on", "On", nil, []string{"ForceOff", "On"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // what waits is the client, between its questions
			s := newService(t)
			s.state = tc.state
			if err := power.Cycle(t.Context(), s.controller(append(tc.opts, basic)...), time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.resets, tc.want) || s.state != "On" {
				t.Errorf("reset %q, and the state is %s", s.resets, s.state)
			}
		})
	}
}

func TestRead(t *testing.T) {
	for _, tc := range []struct {
		name, metrics string
		watts         float64
		is            error
	}{
		{"environment", `"EnvironmentMetrics": {"@odata.id": "/redfish/v1/Chassis/1U/EnvironmentMetrics"}`, 374.5, nil},
		{"power", `"Power": {"@odata.id": "/redfish/v1/Chassis/1U/Power"}`, 344, nil},
		{"nothing", `"Thermal": {}`, 0, power.ErrUnsupported},
		{"elsewhere", `"Power": {"@odata.id": "https://elsewhere/redfish/v1/Power"}`, 0, power.ErrRefused},
		{"elsewhere without a scheme", `"Power": {"@odata.id": "//elsewhere/Power"}`, 0, power.ErrRefused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // what waits is the client, between its questions
			s := newService(t)
			s.metrics = tc.metrics
			r, err := s.controller(basic).Read(t.Context())
			if !errors.Is(err, tc.is) || r.Watts != tc.watts {
				t.Errorf("got %v, %v, want %v W, %v", r, err, tc.watts, tc.is)
			}
			if err == nil && (!math.IsNaN(r.Volts) || !math.IsNaN(r.Amperes) || r.Time.IsZero()) {
				t.Errorf("got %v", r)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		opts   []redfish.Option
		change func(*service)
		is     error
		says   string
	}{
		{"wrong password", []redfish.Option{redfish.WithLogin(user, "wr0ng")}, nil, power.ErrAuth, "NoValidSession"},
		{"wrong password of a session", []redfish.Option{redfish.WithSession(user, "wr0ng")}, nil, power.ErrAuth, "opening a session"},
		{"no such system", []redfish.Option{basic, redfish.WithSystem("Blade7")}, nil, power.ErrNotFound, "437XR1138R2"},
		{"which system", []redfish.Option{basic}, func(s *service) { s.members = append(s.members, systemPath) }, power.ErrRefused, "2 systems"},
		{"no force", []redfish.Option{basic}, func(s *service) { s.types = []string{"On", "Nmi"} }, power.ErrUnsupported, "On, Nmi"},
		{"no state", []redfish.Option{basic}, func(s *service) { s.state = "" }, power.ErrUnsupported, "PowerState"},
		{"gone", []redfish.Option{basic}, func(s *service) { s.members = []string{"/redfish/v1/Systems/gone"} }, power.ErrNotFound, "/redfish/v1/Systems/gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // what waits is the client, between its questions
			s := newService(t)
			if tc.change != nil {
				tc.change(s)
			}
			err := s.controller(tc.opts...).Off(t.Context())
			var typed *power.Error
			if !errors.Is(err, tc.is) || !errors.As(err, &typed) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "Redfish system") {
				t.Errorf("got %v, want %v that says %q", err, tc.is, tc.says)
			}
			if err != nil && (strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "wr0ng")) {
				t.Errorf("the password is in %v", err)
			}
		})
	}
}

// TestStays: a system that takes the command and does nothing is noticed, and so
// is a certificate that nobody trusts.
func TestStays(t *testing.T) {
	s := newService(t)
	s.next = slices.Repeat([]string{"On"}, 10_000)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.controller(basic, redfish.WithGracefulShutdown(time.Hour)).Off(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	c, err := redfish.New(s.URL, basic, redfish.WithSwitching(power.Switching{Tries: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.State(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want an error about the certificate", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, opt := range map[string]redfish.Option{
		"graceful": redfish.WithGracefulShutdown(0),
		"CA":       redfish.WithCA([]byte("none")),
		"user":     redfish.WithSession("", "x"),
		"tries":    redfish.WithSwitching(power.Switching{Tries: -1}),
	} {
		if _, err := redfish.New("bmc7", opt); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	for _, address := range []string{"", "ftp://bmc7", "https://admin:s3cret@bmc7"} {
		if _, err := redfish.New(address); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: got %v", address, err)
		}
	}
}

func ExampleNew() {
	c, err := redfish.New("bmc7.lab", redfish.WithSession("operator", "secret"), redfish.WithGracefulShutdown(20*time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	var _ power.Controller = c
	_, err = redfish.New("bmc7.lab", redfish.WithGracefulShutdown(0))
	fmt.Println(err)
	// Output: power redfish: the time for a graceful shutdown must be positive, not 0s
}
