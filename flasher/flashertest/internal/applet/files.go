package applet

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/ash"
	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

func fileTools() map[string]func(*call, []string) int {
	return map[string]func(*call, []string) int{
		"mkdir": mkdir, "rm": rm, "rmdir": rmdir, "mv": mv, "cp": cp, "ls": ls, "ln": ln, "touch": touch, "chmod": chmod, "mkfifo": mkfifo,
		"mktemp": mktemp, "readlink": readlink, "realpath": realpath, "basename": basename, "dirname": dirname, "stat": stat, "truncate": truncate, "mknod": mknod,
	}
}

func mkdir(c *call, args []string) int {
	o, dirs, ok := c.parse(args, "p", "", nil)
	if !ok || len(dirs) == 0 {
		return usage(c)
	}
	status := 0
	for _, d := range dirs {
		var err error
		if o.has('p') {
			at := ""
			if strings.HasPrefix(d, "/") {
				at = "/"
			}
			for part := range strings.SplitSeq(strings.Trim(path.Clean(d), "/"), "/") {
				at = path.Join(at, part)
				if err = c.K.FS.Make(c.Process, at, fs.ModeDir|0o755); err != nil {
					if n, serr := c.K.FS.Stat(c.Process, at, true); serr == nil && n.Mode().IsDir() {
						err = nil
						continue
					}
					break
				}
			}
		} else {
			err = c.K.FS.Make(c.Process, d, fs.ModeDir|0o755)
		}
		if err != nil {
			status = c.fail("can't create directory '%s': %v", d, err)
		}
	}
	return status
}

func rm(c *call, args []string) int {
	o, names, ok := c.parse(args, "rRf", "", nil)
	if !ok {
		return 1
	}
	recursive := o.has('r') || o.has('R')
	status := 0
	for _, name := range names {
		if err := remove(c, name, recursive); err != nil && !(o.has('f') && err == kernel.ENOENT) {
			if err == kernel.EISDIR {
				status = c.fail("'%s' is a directory", name)
			} else {
				status = c.fail("can't remove '%s': %v", name, err)
			}
		}
	}
	return status
}

func remove(c *call, name string, recursive bool) error {
	if recursive {
		if n, err := c.K.FS.Stat(c.Process, name, false); err == nil && n.Mode().IsDir() {
			for _, child := range n.List(c.Process) {
				if err := remove(c, name+"/"+child, true); err != nil {
					return err
				}
			}
		}
	}
	return c.K.FS.Remove(c.Process, name, recursive)
}

func rmdir(c *call, names []string) int {
	status := 0
	for _, name := range names {
		n, err := c.K.FS.Stat(c.Process, name, false)
		if err == nil && !n.Mode().IsDir() {
			err = kernel.ENOTDIR
		}
		if err == nil {
			err = c.K.FS.Remove(c.Process, name, true)
		}
		if err != nil {
			status = c.fail("'%s': %v", name, err)
		}
	}
	return status
}

// into is the path of name in the directory to, or to itself.
func (c *call) into(name, to string) string {
	if n, err := c.K.FS.Stat(c.Process, to, true); err == nil && n.Mode().IsDir() {
		return strings.TrimRight(to, "/") + "/" + path.Base(name)
	}
	return to
}

func mv(c *call, args []string) int {
	_, names, ok := c.parse(args, "f", "", nil)
	if !ok || len(names) < 2 {
		return usage(c)
	}
	status := 0
	to := names[len(names)-1]
	for _, name := range names[:len(names)-1] {
		if err := c.K.FS.Rename(c.Process, name, c.into(name, to)); err != nil {
			status = c.fail("can't rename '%s': %v", name, err)
		}
	}
	return status
}

func cp(c *call, args []string) int {
	o, names, ok := c.parse(args, "afprRd", "", nil)
	if !ok || len(names) < 2 {
		return usage(c)
	}
	to := names[len(names)-1]
	status := 0
	for _, name := range names[:len(names)-1] {
		n, err := c.K.FS.Stat(c.Process, name, true)
		switch {
		case err != nil:
			status = c.fail("can't stat '%s': %v", name, err)
			continue
		case n.Mode().IsDir():
			if !o.has('r') && !o.has('R') && !o.has('a') {
				status = c.fail("omitting directory '%s'", name)
				continue
			}
			status = c.fail("recursive copies are not known to the simulated board")
			continue
		}
		in, err := c.K.FS.Open(c.Process, name, kernel.ReadOnly, 0)
		if err != nil {
			status = c.fail(cannotOpen, name, err)
			continue
		}
		target := c.into(name, to)
		out, err := c.K.FS.Open(c.Process, target, kernel.WriteOnly|kernel.Create|kernel.Truncate, n.Mode().Perm())
		if err != nil {
			in.Release()
			status = c.fail("can't create '%s': %v", target, err)
			continue
		}
		if _, rerr, werr := c.copy(writer{c.Process, out}, reader{c.Process, in}); rerr != nil || werr != nil {
			status = c.fail("write error: %v", cmpErr(rerr, werr))
		}
		in.Release()
		out.Release()
	}
	return status
}

// mode writes permissions as ls does.
func mode(m fs.FileMode) string {
	kind := byte('-')
	switch m.Type() {
	case fs.ModeDir:
		kind = 'd'
	case fs.ModeSymlink:
		kind = 'l'
	case fs.ModeDevice:
		kind = 'b'
	case fs.ModeDevice | fs.ModeCharDevice:
		kind = 'c'
	case fs.ModeNamedPipe:
		kind = 'p'
	}
	return string(kind) + m.Perm().String()[1:]
}

func ls(c *call, args []string) int {
	o, names, ok := c.parse(args, "1aAld", "", nil)
	if !ok {
		return 1
	}
	if len(names) == 0 {
		names = []string{"."}
	}
	status := 0
	show := func(name, shown string) {
		n, err := c.K.FS.Stat(c.Process, name, false)
		if err != nil {
			status = c.fail("%s: %v", name, err)
			return
		}
		if !o.has('l') {
			c.printf("%s\n", shown)
			return
		}
		length := fmt.Sprintf("%9d", n.Size())
		if n.Dev != [2]int{} {
			length = fmt.Sprintf("%4d, %3d", n.Dev[0], n.Dev[1])
		}
		arrow := ""
		if n.Mode()&fs.ModeSymlink != 0 {
			arrow = " -> " + n.Links(c.Process)
		}
		c.printf("%s    1 root     root     %s %s %s%s\n", mode(n.Mode()), length, n.ModTime().UTC().Format("Jan _2 15:04"), shown, arrow)
	}
	var dirs []string
	for _, name := range names {
		n, err := c.K.FS.Stat(c.Process, name, !o.has('l'))
		switch {
		case err != nil:
			status = c.fail("%s: %v", name, err)
		case n.Mode().IsDir() && !o.has('d'):
			dirs = append(dirs, name)
		default:
			show(name, name)
		}
	}
	for i, dir := range dirs {
		if len(names) > 1 {
			if i > 0 || len(dirs) < len(names) {
				c.printf("\n")
			}
			c.printf("%s:\n", dir)
		}
		n, err := c.K.FS.Stat(c.Process, dir, true)
		if err != nil {
			continue
		}
		if o.has('l') {
			c.printf("total 0\n")
		}
		shown := slices.DeleteFunc(n.List(c.Process), func(name string) bool {
			return strings.HasPrefix(name, ".") && !o.has('a') && !o.has('A')
		})
		if !o.has('l') && !o.has('1') && ash.IsTerminal(c.FDs.Get(1)) {
			columns(c, shown)
			continue
		}
		for _, name := range shown {
			show(dir+"/"+name, name)
		}
	}
	return status
}

// columns lists names side by side, as on a terminal of 80 characters.
func columns(c *call, names []string) {
	width := 0
	for _, n := range names {
		width = max(width, len(n)+2)
	}
	across := max(80/max(width, 1), 1)
	rows := (len(names) + across - 1) / across
	for r := range rows {
		for i := r; i < len(names); i += rows {
			if i+rows < len(names) {
				c.printf("%-*s", width, names[i])
			} else {
				c.printf("%s", names[i])
			}
		}
		c.printf("\n")
	}
}

func ln(c *call, args []string) int {
	o, names, ok := c.parse(args, "sfn", "", nil)
	if !ok || len(names) != 2 {
		return usage(c)
	}
	if !o.has('s') {
		return c.fail("hard links are not known to the simulated board")
	}
	to := c.into(names[0], names[1])
	if o.has('f') {
		c.K.FS.Remove(c.Process, to, false)
	}
	if err := c.K.FS.Symlink(c.Process, names[0], to); err != nil {
		return c.fail("%s: %v", to, err)
	}
	return 0
}

func touch(c *call, args []string) int {
	o, names, ok := c.parse(args, "c", "", nil)
	if !ok {
		return 1
	}
	status := 0
	for _, name := range names {
		if n, err := c.K.FS.Stat(c.Process, name, true); err == nil || o.has('c') {
			if err == nil {
				n.Touch()
			}
			continue
		}
		f, err := c.K.FS.Open(c.Process, name, kernel.WriteOnly|kernel.Create, 0o644)
		if err != nil {
			status = c.fail("%s: %v", name, err)
			continue
		}
		f.Release()
	}
	return status
}

func truncate(c *call, args []string) int {
	o, names, ok := c.parse(args, "", "s", nil)
	n, err := size(o['s'], 0, 1<<40, kilo)
	if !ok || err != nil || len(names) == 0 {
		return usage(c)
	}
	status := 0
	for _, name := range names {
		f, err := c.K.FS.Open(c.Process, name, kernel.WriteOnly|kernel.Create, 0o644)
		if err != nil {
			status = c.fail("%s: open: %v", name, err)
			continue
		}
		f.Truncate(n)
		f.Release()
	}
	return status
}

func chmod(c *call, args []string) int {
	if len(args) < 2 {
		return usage(c)
	}
	status := 0
	for _, name := range args[1:] {
		n, err := c.K.FS.Stat(c.Process, name, true)
		if err != nil {
			status = c.fail("%s: %v", name, err)
			continue
		}
		perm := n.Mode().Perm()
		if v, err := strconv.ParseUint(args[0], 8, 12); err == nil {
			perm = fs.FileMode(v) & 0o777
		} else {
			bits := map[byte]fs.FileMode{'r': 0o444, 'w': 0o222, 'x': 0o111}
			i := strings.IndexAny(args[0], "+-")
			if i < 0 {
				return c.fail("invalid mode '%s'", args[0])
			}
			for _, b := range []byte(args[0][i+1:]) {
				if args[0][i] == '+' {
					perm |= bits[b]
				} else {
					perm &^= bits[b]
				}
			}
		}
		c.K.FS.Chmod(c.Process, name, perm)
	}
	return status
}

func mkfifo(c *call, args []string) int {
	_, names, ok := c.parse(args, "", "", nil)
	if !ok || len(names) == 0 {
		return usage(c)
	}
	status := 0
	for _, name := range names {
		if err := c.K.FS.Make(c.Process, name, fs.ModeNamedPipe|0o644); err != nil {
			status = c.fail("%s: %v", name, err)
		}
	}
	return status
}

// mknod makes nodes for devices that the board has.
func mknod(c *call, args []string) int {
	_, a, ok := c.parse(args, "", "", nil)
	if !ok || len(a) < 2 {
		return usage(c)
	}
	if a[1] == "p" {
		return mkfifo(c, a[:1])
	}
	return unknown(c, args)
}
