// Package imports_test holds the arrows between packages and each package's
// third-party imports in place.
package imports_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/dutflash/dutflash/"

// rules lists, for each public package (and what is below it, unless that has a
// rule of its own), the packages of ours and the third-party modules that its
// non-test code may import. An internal package may be imported where it is
// named.
var rules = map[string]struct{ ours, modules []string }{
	"uboot":   {ours: []string{"transport/console"}, modules: []string{"github.com/Netflix/go-expect"}},
	"busybox": {ours: []string{"transport/console"}, modules: []string{"github.com/Netflix/go-expect"}},
	"bundle": {
		ours: []string{"internal/registryauth", "internal/filelock"},
		modules: []string{
			"oras.land/oras-go/v2", "github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec",
			"go.yaml.in/yaml/v3", "github.com/klauspost/compress", "golang.org/x/sync",
		},
	},
	"power":                  {},
	"power/tasmota":          {ours: []string{"power", "power/internal/web"}, modules: []string{"github.com/eclipse/paho.mqtt.golang"}},
	"power/relay":            {ours: []string{"power"}, modules: []string{"go.bug.st/serial"}},
	"power/gpio":             {ours: []string{"power"}, modules: []string{"github.com/warthog618/go-gpiocdev"}},
	"power/snmp":             {ours: []string{"power"}, modules: []string{"github.com/gosnmp/gosnmp"}},
	"power/ipmi":             {ours: []string{"power", "power/internal/process"}},
	"power/redfish":          {ours: []string{"power", "power/internal/web"}},
	"power/usbhub":           {ours: []string{"power"}, modules: []string{"golang.org/x/sys"}},
	"power/command":          {ours: []string{"power", "power/internal/process"}},
	"power/internal/process": {},
	"power/internal/web":     {ours: []string{"power"}, modules: []string{"github.com/icholy/digest"}},
	"transport/console": {modules: []string{
		"github.com/Netflix/go-expect", "github.com/creack/pty", "golang.org/x/term", "golang.org/x/sys",
	}},
	"transport/serial": {modules: []string{"go.bug.st/serial", "github.com/creack/pty", "golang.org/x/sys", "golang.org/x/term"}},
	"transport/tftp":   {modules: []string{"github.com/pin/tftp/v3"}},
	"transport/httpd":  {},
	"transport/image": {
		ours: []string{"internal/xz", "internal/gpt", "internal/registryauth", "internal/filelock"},
		modules: []string{
			"github.com/klauspost/compress", "github.com/pierrec/lz4/v4", "github.com/ulikunitz/xz",
			"oras.land/oras-go/v2", "github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec", "golang.org/x/sys",
		},
	},
	"internal/registryauth": {modules: []string{"oras.land/oras-go/v2"}},
	"internal/filelock":     {modules: []string{"golang.org/x/sys"}},
	"flasher": {
		ours: []string{"internal/filelock",
			"uboot", "busybox", "bundle", "power",
			"transport/console", "transport/tftp", "transport/httpd", "transport/image", "internal/extents", "internal/workers", "internal/gpt",
		},
		modules: []string{
			"github.com/Netflix/go-expect",
			"github.com/klauspost/compress", "github.com/pierrec/lz4/v4", // what a dump was compressed with on the board
		},
	},
	"flasher/flashertest": {modules: []string{"mvdan.cc/sh/v3", "github.com/klauspost/compress", "github.com/ulikunitz/xz"}},
	"flasher/config": {
		ours: []string{"flasher", "bundle", "power", "power/command", "power/gpio", "power/httpswitch", "power/ipmi", "power/manual", "power/qemu",
			"power/redfish", "power/relay", "power/shelly", "power/snmp", "power/tasmota", "power/usbhub", "power/ykush", "transport/console", "transport/image",
			"transport/serial", "uboot", "internal/closest"},
		modules: []string{"go.yaml.in/yaml/v3"},
	},
	"flasher/cli": {
		ours: []string{"flasher", "flasher/config", "bundle", "power", "transport/console", "transport/image", "internal/closest"},
		modules: []string{
			"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/schollz/progressbar/v3", "github.com/Netflix/go-expect", "golang.org/x/term",
		},
	},
}

func TestPackagesImportOnlyWhatTheirRuleAllows(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		key := ruleFor(pkg)
		if key == "" {
			if public(pkg) {
				t.Errorf("%s has no rule here", pkg)
			}
			continue
		}
		seen[key] = true
		for _, imp := range fields[1:] {
			if !allowed(key, imp) {
				t.Errorf("%s imports %s, which its rule does not allow", pkg, imp)
			}
		}
	}
	for key := range rules {
		if !seen[key] {
			t.Errorf("the rule for %s is about no package", key)
		}
	}
}

// ruleFor returns the longest key of rules that pkg is or lies below.
func ruleFor(pkg string) string {
	for pkg != "" {
		if _, ok := rules[pkg]; ok {
			return pkg
		}
		i := max(strings.LastIndexByte(pkg, '/'), 0)
		pkg = pkg[:i]
	}
	return ""
}

func public(pkg string) bool {
	return !strings.HasPrefix(pkg, "internal/") && !strings.HasPrefix(pkg, "examples/") && pkg != strings.TrimSuffix(module, "/")
}

func allowed(key, imp string) bool {
	if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") {
		return true // standard library
	}
	if ours, ok := strings.CutPrefix(imp, module); ok {
		return ours == key || strings.HasPrefix(ours, key+"/") || slices.Contains(rules[key].ours, ours)
	}
	return slices.ContainsFunc(rules[key].modules, func(m string) bool {
		return imp == m || strings.HasPrefix(imp, m+"/")
	})
}
