package serial

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// holder says which program has a port open, as far as this user may see it: ""
// if none is found.
func holder(path string) string {
	device, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != device {
			continue
		}
		process := filepath.Dir(filepath.Dir(link))
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if err != nil {
			continue
		}
		return fmt.Sprintf(" (held by %s, process %s)", strings.TrimSpace(string(name)), filepath.Base(process))
	}
	return ""
}
