package bundle

import (
	"strings"
)

// bootCommand is what a U-Boot boot command says about what it boots.
type bootCommand struct {
	verb string // booti, bootz, bootm, ...
	args []bootArg
}

// bootArg is "ADDRESS", "ADDRESS:SIZE", "ADDRESS:IMAGE", "ADDRESS#CONF" or "-".
type bootArg struct {
	addr   Address
	suffix string // what stands behind the separator
	sep    byte   // ':', '#' or 0
}

// parseBoot finds the command that boots in a line of U-Boot commands. ok is
// false where there is none that is known, as in "run bootcmd_mmc".
func parseBoot(line string) (bootCommand, bool) {
	for cmd := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ';' || r == '&' || r == '|' || r == '\n' }) {
		words := strings.Fields(cmd)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "booti", "bootz", "bootm", "bootelf", "bootefi", "zboot":
		default:
			continue
		}
		c := bootCommand{verb: words[0]}
		for _, w := range words[1:] {
			a := bootArg{addr: Address(w)}
			if i := strings.IndexAny(w, ":#"); i >= 0 {
				a = bootArg{addr: Address(w[:i]), sep: w[i], suffix: w[i+1:]}
			}
			c.args = append(c.args, a)
		}
		return c, true
	}
	return bootCommand{}, false
}

// uses reports whether argument i of the command is at addr. It says yes where
// that cannot be known because a U-Boot variable is involved.
func (c bootCommand) uses(i int, addr Address) bool {
	if i >= len(c.args) {
		return false
	}
	got := c.args[i].addr
	if strings.Contains(string(got), "fdtcontroladdr") && !strings.Contains(string(addr), "fdtcontroladdr") {
		return false // U-Boot's own device tree, wherever that is
	}
	if strings.Contains(string(got), "$") || addr.Variable() {
		return true
	}
	a, ok1 := got.Uint64()
	b, ok2 := addr.Uint64()
	if !ok2 {
		return true // no address at all: the check of the manifest says so
	}
	return ok1 && a == b
}
