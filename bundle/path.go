package bundle

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode"
)

// checkPath refuses every path that could mean something outside of the
// bundle, on any operating system.
func checkPath(p string) error {
	why := ""
	switch {
	case p == "" || p == ".":
		why = "is empty"
	case len(p) > 1024:
		why = "is longer than 1024 bytes"
		p = p[:64] + "..."
	case strings.HasPrefix(p, "/"):
		why = "is absolute"
	case len(p) >= 2 && p[1] == ':':
		why = "starts with a drive letter"
	case strings.Contains(p, `\`):
		why = "contains a backslash"
	case strings.ContainsFunc(p, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }):
		why = "contains a control character"
	case hasDotDot(p):
		why = `contains ".."`
	case !fs.ValidPath(p):
		why = `contains "." or an empty element`
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("%w: %q %s", ErrUnsafePath, p, why)
}

func hasDotDot(p string) bool {
	for elem := range strings.SplitSeq(p, "/") {
		if elem == ".." {
			return true
		}
	}
	return false
}
