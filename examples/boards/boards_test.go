package boards

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher/config"
)

// TestEveryDriverHasAnExample loads the file, each of its boards, and looks for
// the drivers that are missing.
func TestEveryDriverHasAnExample(t *testing.T) {
	text, err := os.ReadFile("boards.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(string(text), -1) {
		t.Setenv(v[1], "a secret of "+v[1])
	}
	f, err := config.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range f.Names() {
		b, err := f.Board(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := b.Power(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.OpenConsole(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name := range config.DefaultDrivers().Power {
		if !strings.HasPrefix(name, "jumpstarter_") && !strings.Contains(string(text), "type: "+name) {
			t.Errorf("the power driver %s has no example", name)
		}
	}
	for _, scheme := range []string{"/dev/serial/by-id/", "tcp:", "telnet:", "rfc2217:", "unix:", "exec:", "pty:"} {
		if !strings.Contains(string(text), scheme) {
			t.Errorf("the console %s has no example", scheme)
		}
	}
}
