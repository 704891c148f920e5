package bundle

import (
	"iter"
	"slices"
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

// commands splits a line of U-Boot commands into the words of each.
func commands(line string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for cmd := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ';' || r == '&' || r == '|' || r == '\n' }) {
			if words := strings.Fields(cmd); len(words) > 0 && !yield(words) {
				return
			}
		}
	}
}

// parseBoot finds the command that boots in a line of U-Boot commands. ok is
// false where there is none that is known, as in "run bootcmd_mmc".
func parseBoot(line string) (bootCommand, bool) {
	for words := range commands(line) {
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

// writesTo says which argument of a U-Boot command is the address in RAM that
// it writes to: those that take a FIT apart, unpack, copy or load.
var writesTo = map[string]int{
	"imxtract": 3, "unlz4": 2, "unzip": 2, "zstd": 2, "lzmadec": 2, "cp": 2, "cp.b": 2, "cp.w": 2, "cp.l": 2, "cp.q": 2,
	"tftpboot": 1, "tftp": 1, "wget": 1, "nfs": 1, "load": 3, "fatload": 3, "ext2load": 3, "ext4load": 3,
}

// written returns the addresses that a line of commands writes to itself, over
// what was loaded there or into other places.
func written(line string) []Address {
	var to []Address
	for words := range commands(line) {
		if i, ok := writesTo[words[0]]; ok && i < len(words) {
			to = append(to, Address(words[i]))
		}
	}
	return to
}

// overwrites reports whether a line of commands writes to addr.
func overwrites(line string, addr Address) bool {
	want, known := addr.Uint64()
	return slices.ContainsFunc(written(line), func(to Address) bool {
		got, ok := to.Uint64()
		return to == addr || ok && known && got == want
	})
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
