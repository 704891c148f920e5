package redfish_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// service is a Redfish service in the shape of DMTF's published mockup of a rack
// server (DSP2043, public-rackmount1: its paths, names and reset types), with the
// behaviour of DSP0266: authentication, sessions, 204 for an action, and a
// PowerState that takes a while to follow.
type service struct {
	t *testing.T
	*httptest.Server

	mu       sync.Mutex
	state    string
	next     []string // what PowerState is behind this, one for each question
	resets   []string
	sessions int // that were opened
	open     map[string]bool
	types    []string // that Reset takes
	stubborn bool     // the operating system does not shut down
	metrics  string   // of the chassis
	members  []string
}

const (
	user, password = "admin", "s3cret"
	systemPath     = "/redfish/v1/Systems/437XR1138R2"
	sessionsPath   = "/redfish/v1/SessionService/Sessions"
)

func newService(t *testing.T) *service {
	s := &service{t: t, state: "On", open: map[string]bool{}, members: []string{systemPath},
		types:   []string{"On", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "Nmi", "ForceOn", "PushPowerButton", "PowerCycle"},
		metrics: `"EnvironmentMetrics": {"@odata.id": "/redfish/v1/Chassis/1U/EnvironmentMetrics"}`}
	s.Server = httptest.NewUnstartedServer(s) // a command's requests are not behind this in the eyes of the race detector
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet && r.URL.Path == "/redfish/v1/" { // for everybody
		fmt.Fprint(w, `{"@odata.id": "/redfish/v1/", "RedfishVersion": "1.15.0", "Systems": {"@odata.id": "/redfish/v1/Systems"},
			"Links": {"Sessions": {"@odata.id": "`+sessionsPath+`"}}}`)
		return
	}
	if r.Method == http.MethodPost && r.URL.Path == sessionsPath {
		s.login(w, r)
		return
	}
	name, pass, _ := r.BasicAuth()
	if !s.open[r.Header.Get("X-Auth-Token")] && (name != user || pass != password) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error": {"code": "Base.1.8.NoValidSession", "message": "no session, and %s is no login"}}`, pass)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "DELETE " + sessionsPath + "/1":
		clear(s.open)
		w.WriteHeader(http.StatusNoContent)
	case "GET /redfish/v1/Systems":
		var links []map[string]string
		for _, m := range s.members {
			links = append(links, map[string]string{"@odata.id": m})
		}
		json.NewEncoder(w).Encode(map[string]any{"Members@odata.count": len(links), "Members": links})
	case "GET " + systemPath, "GET /redfish/v1/Systems/other":
		s.system(w, r.URL.Path)
	case "POST " + systemPath + "/Actions/ComputerSystem.Reset":
		s.reset(w, r)
	case "GET /redfish/v1/Chassis/1U":
		fmt.Fprintf(w, `{"Id": "1U", %s}`, s.metrics)
	case "GET /redfish/v1/Chassis/1U/EnvironmentMetrics":
		fmt.Fprint(w, `{"Id": "EnvironmentMetrics", "PowerWatts": {"DataSourceUri": "/redfish/v1/Chassis/1U/Sensors/TotalPower", "Reading": 374.5}}`)
	case "GET /redfish/v1/Chassis/1U/Power":
		fmt.Fprint(w, `{"Id": "Power", "PowerControl": [{"MemberId": "0", "PowerConsumedWatts": 344}]}`)
	default:
		http.NotFound(w, r)
	}
}

func (s *service) login(w http.ResponseWriter, r *http.Request) {
	var body struct{ UserName, Password string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.UserName != user || body.Password != password {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.sessions++
	s.open["token"] = true
	w.Header().Set("X-Auth-Token", "token")
	w.Header().Set("Location", s.URL+sessionsPath+"/1")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, `{"Id": "1"}`)
}

func (s *service) system(w http.ResponseWriter, path string) {
	if len(s.next) > 0 {
		s.state, s.next = s.next[0], s.next[1:]
	}
	types, err := json.Marshal(s.types)
	if err != nil {
		s.t.Error(err)
	}
	fmt.Fprintf(w, `{"Id": %q, "SystemType": "Physical", "PowerState": %q,
		"Actions": {"#ComputerSystem.Reset": {"target": "`+systemPath+`/Actions/ComputerSystem.Reset", "ResetType@Redfish.AllowableValues": %s}},
		"Links": {"Chassis": [{"@odata.id": "/redfish/v1/Chassis/1U"}]}}`, path[strings.LastIndex(path, "/")+1:], s.state, types)
}

func (s *service) reset(w http.ResponseWriter, r *http.Request) {
	var body struct{ ResetType string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || !slices.Contains(s.types, body.ResetType) ||
		body.ResetType == "On" && s.state == "On" || body.ResetType == "PowerCycle" && s.state == "Off" {
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"error": {"code": "Base.1.8.ActionNotSupported", "message": "not now"}}`)
		return
	}
	s.resets = append(s.resets, body.ResetType)
	switch body.ResetType {
	case "On", "ForceOn":
		s.next = []string{"PoweringOn", "On"}
	case "ForceOff":
		s.next = []string{"PoweringOff", "Off"}
	case "GracefulShutdown":
		if !s.stubborn {
			s.next = []string{"On", "PoweringOff", "Off"}
		}
	}
	w.WriteHeader(http.StatusNoContent)
}
