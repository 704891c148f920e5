package httpswitch_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/httpswitch"
)

// relay is a switch with a web server.
type relay struct {
	mu    sync.Mutex
	on    bool
	stuck bool
	log   []string
}

func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, _ := io.ReadAll(req.Body)
	r.log = append(r.log, fmt.Sprintf("%s %s %q %s", req.Method, req.URL.RequestURI(), body, req.Header.Get("X-Token")))
	switch req.URL.Path {
	case "/outlet/4":
		r.on = string(body) == "ON" && !r.stuck
	case "/state":
		fmt.Fprintf(w, `{"outlet4": %v, "voltage": 230}`, r.on)
	case "/busy":
		http.Error(w, "try later", http.StatusServiceUnavailable)
	case "/bad":
		http.Error(w, "no such outlet, s3cret", http.StatusBadRequest)
	default:
		http.NotFound(w, req)
	}
}

func requests(base string) (on, off, state httpswitch.Request) {
	h := http.Header{"x-token": {"abc"}}
	return httpswitch.Request{Method: "PUT", URL: base + "/outlet/4", Body: "ON", Header: h},
		httpswitch.Request{Method: "PUT", URL: base + "/outlet/4", Body: "OFF", Header: h},
		httpswitch.Request{URL: base + "/state?verbose=1"}
}

func TestOnOffState(t *testing.T) {
	r := &relay{}
	s := httptest.NewServer(r)
	defer s.Close()
	on, off, state := requests(s.URL)
	c, err := httpswitch.New(on, off, httpswitch.WithState(state, `"outlet4": true`, `"outlet4": false`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		do := c.Off
		if want {
			do = c.On
		}
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := c.State(t.Context()); err != nil || got != want || r.on != want {
			t.Errorf("state %v, %v; the relay is %v; want %v", got, err, r.on, want)
		}
	}
	if want := `PUT /outlet/4 "ON" abc`; r.log[0] != want || r.log[1] != `GET /state?verbose=1 "" ` {
		t.Errorf("sent %q, want first %s and then the question for the state", r.log, want)
	}
	r.stuck = true
	c, err = httpswitch.New(on, off, httpswitch.WithState(state, `"outlet4": true`, `"outlet4": false`),
		httpswitch.WithSwitching(power.Switching{Timeout: 300 * time.Millisecond, Tries: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.On(t.Context()); !errors.Is(err, power.ErrState) {
		t.Errorf("stuck relay: %v", err)
	}
}

func TestFailures(t *testing.T) {
	r := &relay{}
	s := httptest.NewServer(r)
	defer s.Close()
	fast := power.Switching{Tries: 2, Pause: time.Millisecond}
	for _, tc := range []struct {
		name, path, text string
		is               error
		sent             int
	}{
		{"refused", "/bad?key=s3cret", "400 Bad Request: no such outlet", power.ErrRefused, 1},
		{"not there", "/x", "404 Not Found", power.ErrNotFound, 2},
		{"busy", "/busy", "503 Service Unavailable: try later", nil, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.log = nil
			to := httpswitch.Request{URL: s.URL + tc.path}
			c, err := httpswitch.New(to, to, httpswitch.WithSwitching(fast), httpswitch.WithName("rack 2 outlet 4"), httpswitch.WithLogin("me", "s3cret"))
			if err != nil {
				t.Fatal(err)
			}
			err = c.Off(t.Context())
			var typed *power.Error
			if !errors.As(err, &typed) || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), "rack 2 outlet 4") {
				t.Errorf("got %v, want %v with %q", err, tc.is, tc.text)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error tells the password: %v", err)
			}
			if len(r.log) != tc.sent {
				t.Errorf("sent %d requests, want %d", len(r.log), tc.sent)
			}
			if _, err := c.State(t.Context()); !errors.Is(err, power.ErrUnsupported) {
				t.Errorf("state: %v, want ErrUnsupported", err)
			}
		})
	}
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hang.Close()
	to := httpswitch.Request{URL: hang.URL + "/?password=s3cret"}
	c, err := httpswitch.New(to, to, httpswitch.WithSwitching(power.Switching{Tries: 1, Timeout: 50 * time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.On(t.Context()); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a server that hangs: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := c.On(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestLoginAndTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "lab" || p != "pass" {
			http.Error(w, "who are you", http.StatusUnauthorized)
		}
	}))
	s.Config.ErrorLog = nil
	defer s.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	to := httpswitch.Request{URL: s.URL}
	once := httpswitch.WithSwitching(power.Switching{Tries: 1})
	for _, tc := range []struct {
		name string
		opts []httpswitch.Option
		is   string
	}{
		{"all right", []httpswitch.Option{httpswitch.WithLogin("lab", "pass"), httpswitch.WithCA(ca)}, ""},
		{"any certificate", []httpswitch.Option{httpswitch.WithLogin("lab", "pass"), httpswitch.WithInsecureTLS()}, ""},
		{"unknown CA", []httpswitch.Option{httpswitch.WithLogin("lab", "pass")}, "certificate"},
		{"wrong password", []httpswitch.Option{httpswitch.WithLogin("lab", "x"), httpswitch.WithCA(ca)}, power.ErrAuth.Error()},
		{"no login", []httpswitch.Option{httpswitch.WithCA(ca)}, "who are you"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := httpswitch.New(to, to, append(tc.opts, once)...)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.On(t.Context()); (err == nil) != (tc.is == "") || err != nil && !strings.Contains(err.Error(), tc.is) {
				t.Errorf("got %v, want %q", err, tc.is)
			}
		})
	}
}

// TestCurl sends the same requests with curl and compares what arrived.
func TestCurl(t *testing.T) {
	curl := testtool.Need(t, "curl", "apt-get install curl")
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, fmt.Sprint(r.Method, " ", r.URL.RequestURI(), " ", r.Host, " ", r.ContentLength, " ", string(body), " ",
			r.Header["Authorization"], r.Header["X-Key"], r.Header["Content-Type"]))
	}))
	defer s.Close()
	c, err := httpswitch.New(
		httpswitch.Request{
			Method: "POST", URL: s.URL + "/relay?n=4%20a", Body: `{"on":true}`,
			Header: http.Header{"X-Key": {"k"}, "Content-Type": {"application/json"}, "Host": {"pdu.lab"}},
		},
		httpswitch.Request{URL: s.URL + "/off"}, httpswitch.WithLogin("lab", "p:w"))
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []func(context.Context) error{c.On, c.Off} {
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"-d", `{"on":true}`, "-H", "X-Key: k", "-H", "Content-Type: application/json", "-H", "Host: pdu.lab", s.URL + "/relay?n=4%20a"},
		{s.URL + "/off"},
	} {
		if out, err := exec.CommandContext(t.Context(), curl, append([]string{"-sSf", "-u", "lab:p:w"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("curl: %v %s", err, out)
		}
	}
	if len(got) != 4 || got[0] != got[2] || got[1] != got[3] {
		t.Errorf("we and curl sent different requests:\n%s", strings.Join(got, "\n"))
	}
}

func TestNewRefuses(t *testing.T) {
	good := httpswitch.Request{URL: "http://pdu/on"}
	for name, f := range map[string]func() (*httpswitch.Controller, error){
		"no URL": func() (*httpswitch.Controller, error) { return httpswitch.New(good, httpswitch.Request{}) },
		"ftp": func() (*httpswitch.Controller, error) {
			return httpswitch.New(httpswitch.Request{URL: "ftp://a/s3cret"}, good)
		},
		"malformed": func() (*httpswitch.Controller, error) {
			return httpswitch.New(httpswitch.Request{URL: "http://u:s3cret@a:%zz/"}, good)
		},
		"bad method": func() (*httpswitch.Controller, error) {
			return httpswitch.New(httpswitch.Request{Method: "G T", URL: good.URL}, good)
		},
		"bad pattern": func() (*httpswitch.Controller, error) {
			return httpswitch.New(good, good, httpswitch.WithState(good, "(", "off"))
		},
		"no pattern": func() (*httpswitch.Controller, error) {
			return httpswitch.New(good, good, httpswitch.WithState(good, "on", ""))
		},
		"empty CA": func() (*httpswitch.Controller, error) { return httpswitch.New(good, good, httpswitch.WithCA(nil)) },
		"tries": func() (*httpswitch.Controller, error) {
			return httpswitch.New(good, good, httpswitch.WithSwitching(power.Switching{Tries: -1}))
		},
	} {
		if _, err := f(); err == nil || name == "malformed" && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func ExampleNew() {
	pdu := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { fmt.Println(r.Method, r.URL) }))
	defer pdu.Close()
	board, err := httpswitch.New(
		httpswitch.Request{Method: "POST", URL: pdu.URL + "/outlet/4/on"},
		httpswitch.Request{Method: "POST", URL: pdu.URL + "/outlet/4/off"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(board.On(context.Background()))
	// Output:
	// POST /outlet/4/on
	// <nil>
}
