package image

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	// The mark before a name is one character, and spaces after it are the
	// name's own. Other programs put one space, or a tab.
	sumLine = regexp.MustCompile(`^(\\?)([0-9A-Fa-f]{64})(?: [ *](.+)|[ \t]+(.+))?$`)
	tagLine = regexp.MustCompile(`^(\\?)SHA256 \((.+)\) = ([0-9A-Fa-f]{64})$`)
)

// findSum looks for name in a file as sha256sum writes it.
func findSum(text, file, name string) (string, error) {
	var bare, found string
	var others []string
	lines := 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		lines++
		var escaped, sum, who string
		if m := tagLine.FindStringSubmatch(line); m != nil {
			escaped, who, sum = m[1], m[2], m[3]
		} else if m := sumLine.FindStringSubmatch(line); m != nil {
			escaped, sum, who = m[1], m[2], m[3]+m[4]
		} else {
			return "", fmt.Errorf("%w: line %d of checksum file %s is not as sha256sum writes it", ErrInvalid, lines, file)
		}
		sum = strings.ToLower(sum)
		if who == "" {
			bare = sum
			continue
		}
		if escaped != "" {
			who = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(who)
		}
		base := who[strings.LastIndexByte(who, '/')+1:]
		if base != name {
			others = append(others, base)
			continue
		}
		if found != "" && found != sum {
			return "", fmt.Errorf("%w: checksum file %s has two digests for %s", ErrInvalid, file, name)
		}
		found = sum
	}
	switch {
	case found != "":
		return found, nil
	case bare != "" && lines == 1:
		return bare, nil
	}
	return "", fmt.Errorf("%w: checksum file %s has no line for %s, only for: %s", ErrChecksum, file, name, strings.Join(others[:min(len(others), 10)], ", "))
}
