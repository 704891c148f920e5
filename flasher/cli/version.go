package cli

import (
	"runtime/debug"
	"strings"
)

// module is the one that this package is in.
const module = "github.com/dutflash/dutflash"

// version is that of dutflash as the program was built with it: of the module, and
// where that is none, as in a checkout, of the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	words := []string{"unknown"}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module && m.Version != "" {
			words[0] = m.Version
		}
	}
	if info.Main.Path == module && words[0] == "(devel)" {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				words = append(words, s.Value)
			case s.Key == "vcs.modified" && s.Value == "true":
				words = append(words, "modified")
			}
		}
	}
	return strings.Join(append(words, info.GoVersion), " ")
}
