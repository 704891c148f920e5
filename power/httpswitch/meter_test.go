package httpswitch_test

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/httpswitch"
)

func TestMeter(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		values     httpswitch.Values
		volts      float64
		watts      float64
		is         error
		says       string
	}{
		{"a plug's", `{"emeter":{"voltage":229.5},"meters":[{"power":3.25}]}`, httpswitch.Values{Volts: "emeter.voltage", Watts: "meters.0.power"}, 229.5, 3.25, nil, ""},
		{"text", `{"w":" 4.5 "}`, httpswitch.Values{Watts: "w"}, math.NaN(), 4.5, nil, ""},
		{"a number alone does not have it", `7`, httpswitch.Values{Watts: "w"}, 0, 0, power.ErrRefused, "it has no w"},
		{"one that may be missing", `{"w":1}`, httpswitch.Values{Volts: "v?", Watts: "w?"}, math.NaN(), 1, nil, ""},
		{"one that may be missing and is nonsense", `{"w":[]}`, httpswitch.Values{Watts: "w?"}, 0, 0, power.ErrRefused, "w is no number"},
		{"no such index", `[1]`, httpswitch.Values{Watts: "1"}, 0, 0, power.ErrRefused, "it has no 1"},
		{"no number", `{"w":{}}`, httpswitch.Values{Watts: "w"}, 0, 0, power.ErrRefused, "w is no number"},
		{"no JSON", `on`, httpswitch.Values{Watts: "w"}, 0, 0, power.ErrRefused, "no JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/meter" {
					w.Write([]byte(tc.body))
				}
			}))
			defer srv.Close()
			c, err := httpswitch.New(httpswitch.Request{URL: srv.URL}, httpswitch.Request{URL: srv.URL},
				httpswitch.WithMeter(httpswitch.Request{URL: srv.URL + "/meter"}, tc.values))
			if err != nil {
				t.Fatal(err)
			}
			r, err := c.Read(t.Context())
			if tc.is != nil {
				if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("got %v, want %v that says %q", err, tc.is, tc.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.Volts != tc.volts && !(math.IsNaN(r.Volts) && math.IsNaN(tc.volts)) || r.Watts != tc.watts || !math.IsNaN(r.Amperes) || r.Time.IsZero() {
				t.Errorf("read %+v", r)
			}
		})
	}
}

func TestNoMeter(t *testing.T) {
	r := httpswitch.Request{URL: "http://127.0.0.1:1"}
	c, err := httpswitch.New(r, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(t.Context()); !errors.Is(err, power.ErrUnsupported) {
		t.Errorf("got %v, want ErrUnsupported", err)
	}
	for name, o := range map[string]httpswitch.Option{
		"no values": httpswitch.WithMeter(r, httpswitch.Values{}),
		"no URL":    httpswitch.WithMeter(httpswitch.Request{}, httpswitch.Values{Watts: "w"}),
	} {
		if _, err := httpswitch.New(r, r, o); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
}
