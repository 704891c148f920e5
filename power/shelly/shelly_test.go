package shelly_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/shelly"
)

// gen1 answers as the documentation of the first generation has it
// (shelly-api-docs.shelly.cloud/gen1: /shelly, /relay/{index}, /meter/{index}).
func gen1(on *bool, protected bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /shelly", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"type":"SHPLG-S","mac":"B4E62D000000","auth":%v,"fw":"20190711-084448/v1.5.0-hotfix2@0ecdefdd","num_outputs":1,"num_meters":1}`, protected)
	})
	guard := func(f http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if u, p, _ := r.BasicAuth(); protected && (u != "lab" || p != "secret") {
				w.Header().Set("WWW-Authenticate", `Basic realm="Shelly"`)
				http.Error(w, "401 Unauthorized", http.StatusUnauthorized)
				return
			}
			f(w, r)
		}
	}
	mux.HandleFunc("GET /relay/0", guard(func(w http.ResponseWriter, r *http.Request) {
		switch turn := r.URL.Query().Get("turn"); turn {
		case "on", "off":
			*on = turn == "on"
		case "":
		default:
			http.Error(w, "Bad turn!", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"ison":%v,"has_timer":false,"timer_started":0,"timer_duration":0,"timer_remaining":0,"overpower":false,"source":"http"}`, *on)
	}))
	mux.HandleFunc("GET /meter/0", guard(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"power":4.13,"overpower":0,"is_valid":true,"timestamp":1575305190,"counters":[4.13,4.0,4.1],"total":2000}`)
	}))
	return mux
}

// gen2 answers as the documentation of the second generation has it
// (/gen2/ComponentsAndServices/Switch, /gen2/General/Authentication).
func gen2(on *bool, password string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /shelly", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"name":null,"id":"shellyplus1pm-a8032abe54dc","mac":"A8032ABE54DC","model":"SNSW-001P16EU","gen":2,"fw_id":"20240625-122535/1.3.3-gbdfd9b3","ver":"1.3.3","app":"Plus1PM","auth_en":%v,"auth_domain":null}`, password != "")
	})
	guard := func(f http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if password != "" && !digestIsRight(r, password) {
				w.Header().Set("WWW-Authenticate", `Digest qop="auth", realm="shellyplus1pm-a8032abe54dc", nonce="60dc2c69", algorithm=SHA-256`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			f(w, r)
		}
	}
	mux.HandleFunc("GET /rpc/Switch.Set", guard(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("id") != "0" {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"code":-105,"message":"Argument 'id', value 7 not found!"}`)
			return
		}
		was := *on
		*on = r.URL.Query().Get("on") == "true"
		fmt.Fprintf(w, `{"was_on":%v}`, was)
	}))
	mux.HandleFunc("GET /rpc/Switch.GetStatus", guard(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"id":0,"source":"HTTP_in","output":%v,"apower":8.9,"voltage":237.5,"current":0.04,"aenergy":{"total":6.5},"temperature":{"tC":48.3}}`, *on)
	}))
	return mux
}

// digestIsRight checks an Authorization header by RFC 7616, section 3.4.1. That
// it checks the right thing is seen by what curl sends (TestCurlAgrees).
func digestIsRight(r *http.Request, password string) bool {
	field := map[string]string{}
	for _, m := range regexp.MustCompile(`(\w+)="?([^",]*)"?`).FindAllStringSubmatch(strings.TrimPrefix(r.Header.Get("Authorization"), "Digest "), -1) {
		field[m[1]] = m[2]
	}
	h := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	ha1 := h("admin:shellyplus1pm-a8032abe54dc:" + password)
	ha2 := h(r.Method + ":" + r.URL.RequestURI())
	want := h(strings.Join([]string{ha1, "60dc2c69", field["nc"], field["cnonce"], "auth", ha2}, ":"))
	return field["username"] == "admin" && field["response"] == want && field["uri"] == r.URL.RequestURI()
}

func TestGenerations(t *testing.T) {
	for _, tc := range []struct {
		name    string
		device  func(on *bool) http.Handler
		opts    []shelly.Option
		reading power.Reading
	}{
		{"first", func(on *bool) http.Handler { return gen1(on, false) }, nil, power.Reading{Watts: 4.13, Volts: math.NaN(), Amperes: math.NaN()}},
		{"first with password", func(on *bool) http.Handler { return gen1(on, true) }, []shelly.Option{shelly.WithPassword("lab", "secret")}, power.Reading{Watts: 4.13, Volts: math.NaN(), Amperes: math.NaN()}},
		{"second", func(on *bool) http.Handler { return gen2(on, "") }, nil, power.Reading{Watts: 8.9, Volts: 237.5, Amperes: 0.04}},
		{"second with password", func(on *bool) http.Handler { return gen2(on, "secret") }, []shelly.Option{shelly.WithPassword("admin", "secret")}, power.Reading{Watts: 8.9, Volts: 237.5, Amperes: 0.04}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var on bool
			s := httptest.NewServer(tc.device(&on))
			defer s.Close()
			c, err := shelly.New(s.URL, tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []bool{true, true, false} {
				do := c.Off
				if want {
					do = c.On
				}
				if err := do(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got, err := c.State(t.Context()); err != nil || got != want || on != want {
					t.Errorf("state %v, %v; the relay is %v; want %v", got, err, on, want)
				}
			}
			got, err := c.Read(t.Context())
			if err != nil || got.Time.IsZero() {
				t.Fatal(got, err)
			}
			got.Time = time.Time{}
			if fmt.Sprint(got) != fmt.Sprint(tc.reading) {
				t.Errorf("read %v, want %v", got, tc.reading)
			}
		})
	}
}

// TestCurlAgrees has the digest of a request made by curl checked by the device
// of this test.
func TestCurlAgrees(t *testing.T) {
	curl := testtool.Need(t, "curl", "apt-get install curl")
	for password, want := range map[string]bool{"secret": true, "wrong": false} {
		var on bool
		s := httptest.NewServer(gen2(&on, "secret"))
		out, err := exec.CommandContext(t.Context(), curl, "-sSf", "--anyauth", "-u", "admin:"+password, s.URL+"/rpc/Switch.Set?id=0&on=true").CombinedOutput()
		s.Close() // no request is under way any more
		if (err == nil) != want || on != want {
			t.Errorf("curl with password %q: %v %s; on: %v", password, err, out, on)
		}
	}
}

func TestFailures(t *testing.T) {
	var on bool
	once := shelly.WithSwitching(power.Switching{Tries: 1})
	for _, tc := range []struct {
		name   string
		device http.Handler
		opts   []shelly.Option
		is     error
		text   string
	}{
		{"no password for the first", gen1(&on, true), nil, power.ErrAuth, "a password is needed"},
		{"no password for the second", gen2(&on, "secret"), nil, power.ErrAuth, "a password is needed"},
		{"wrong password for the second", gen2(&on, "secret"), []shelly.Option{shelly.WithPassword("admin", "other")}, power.ErrAuth, "401"},
		{"no such channel in the second", gen2(&on, ""), []shelly.Option{shelly.WithChannel(7)}, nil, "value 7 not found"},
		{"no such channel in the first", gen1(&on, false), []shelly.Option{shelly.WithChannel(7)}, power.ErrNotFound, "404"},
		{"another device", http.NotFoundHandler(), nil, power.ErrNotFound, "asking for the generation"},
		{"a web page", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }), nil, power.ErrRefused, "this is no Shelly"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := httptest.NewServer(tc.device)
			defer s.Close()
			c, err := shelly.New(s.URL, append(tc.opts, once)...)
			if err != nil {
				t.Fatal(err)
			}
			err = c.On(t.Context())
			var typed *power.Error
			if !errors.As(err, &typed) || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), "channel") {
				t.Errorf("got %v, want %v with %q", err, tc.is, tc.text)
			}
		})
	}
	for _, address := range []string{"", "ftp://x", "http://u:p@host", "http://host/?a=b"} {
		if _, err := shelly.New(address); err == nil {
			t.Errorf("address %q was taken", address)
		}
	}
	if _, err := shelly.New("host", shelly.WithChannel(-1)); err == nil {
		t.Error("channel -1 was taken")
	}
	if _, err := shelly.New("host", shelly.WithPassword("", "x")); err == nil {
		t.Error("a password without user was taken")
	}
}

func ExampleNew() {
	var on bool
	device := httptest.NewServer(gen2(&on, "secret"))
	defer device.Close()
	board, err := shelly.New(device.URL, shelly.WithPassword("admin", "secret"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(power.Cycle(context.Background(), board, time.Millisecond), on)
	// Output: <nil> true
}
