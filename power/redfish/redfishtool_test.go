package redfish_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
)

// TestServiceIsRedfish has DMTF's own command switch the service that the driver is
// tested with: what it takes for Redfish is no invention of ours.
func TestServiceIsRedfish(t *testing.T) {
	t.Parallel()
	tool := testtool.Need(t, "redfishtool", "apt-get install redfishtool")
	for _, auth := range []string{"Basic", "Session"} {
		t.Run(auth, func(t *testing.T) {
			t.Parallel()
			s := newService(t)
			run := func(args ...string) string {
				t.Helper()
				all := append([]string{"-r", strings.TrimPrefix(s.URL, "https://"), "-S", "Always", "-n", "-A", auth, "-u", user, "-p", password, "Systems", "-1"}, args...)
				out, err := exec.CommandContext(t.Context(), tool, all...).CombinedOutput()
				if err != nil {
					t.Fatalf("redfishtool %v: %v: %s", args, err, out)
				}
				return string(out)
			}
			run("reset", "ForceOff")
			run("get") // on its way
			if out := run("-P", "PowerState", "get"); !strings.Contains(out, `"Off"`) {
				t.Errorf("PowerState is %s", out)
			}
			on, err := s.controller(basic).State(t.Context())
			if err != nil || on {
				t.Errorf("the driver sees %v, %v", on, err)
			}
			run("reset", "On")
			s.mu.Lock()
			defer s.mu.Unlock()
			if got := strings.Join(s.resets, " "); got != "ForceOff On" {
				t.Errorf("resets %q", got)
			}
			if len(s.open) > 0 || (s.sessions > 0) != (auth == "Session") {
				t.Errorf("%d sessions, open: %v", s.sessions, s.open)
			}
		})
	}
}
