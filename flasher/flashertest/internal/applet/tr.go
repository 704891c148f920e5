package applet

import (
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/ash"
)

// trSet expands ranges, classes and escapes.
func trSet(s string) []byte {
	var out []byte
	for i := 0; i < len(s); i++ {
		b := s[i]
		if b == '[' && i+1 < len(s) && s[i+1] == ':' {
			// busybox's tr has no print and no graph, and takes the letters.
			if name, rest, ok := strings.Cut(s[i+2:], ":]"); ok && name != "print" && name != "graph" {
				for ch := range 256 {
					if ash.Class(name, byte(ch)) {
						out = append(out, byte(ch))
					}
				}
				i = len(s) - len(rest) - 1
				continue
			}
		}
		if b == '\\' && i+1 < len(s) {
			i++
			if j := strings.IndexByte(`abfnrtv\`, s[i]); j >= 0 {
				b = "\a\b\f\n\r\t\v\\"[j]
			} else if s[i] >= '0' && s[i] <= '7' {
				n := 1
				for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
					n++
				}
				v, _ := strconv.ParseUint(s[i:i+n], 8, 16)
				b = byte(v)
				i += n - 1
			} else {
				b = s[i]
			}
		}
		if i+2 < len(s) && s[i+1] == '-' && s[i+2] >= b {
			for ch := int(b); ch <= int(s[i+2]); ch++ {
				out = append(out, byte(ch))
			}
			i += 2
			continue
		}
		out = append(out, b)
	}
	return out
}

func tr(c *call, args []string) int {
	o, sets, ok := c.parse(args, "cdsC", "", nil)
	if !ok || len(sets) == 0 || len(sets) == 1 && !o.has('d') && !o.has('s') {
		return usage(c)
	}
	from := trSet(sets[0])
	var member, squeeze [256]bool
	for _, b := range from {
		member[b] = true
	}
	if o.has('c') || o.has('C') {
		from = nil
		for i := range member {
			if member[i] = !member[i]; member[i] {
				from = append(from, byte(i))
			}
		}
	}
	var to [256]byte
	for i := range to {
		to[i] = byte(i)
	}
	last := from
	if len(sets) > 1 {
		last = trSet(sets[1])
		for i, b := range from {
			if len(last) > 0 && !o.has('d') {
				to[b] = last[min(i, len(last)-1)]
			}
		}
	}
	if o.has('s') {
		for _, b := range last {
			squeeze[b] = true
		}
	}
	buf := make([]byte, copySize)
	before := -1
	for {
		n, err := c.in.Read(buf)
		out := buf[:0]
		for _, b := range buf[:n] {
			if o.has('d') && member[b] {
				continue
			}
			if b = to[b]; squeeze[b] && before == int(b) {
				continue
			}
			before = int(b)
			out = append(out, b)
		}
		if _, werr := c.out.Write(out); werr != nil {
			return 1
		}
		if err != nil {
			return 0
		}
	}
}
