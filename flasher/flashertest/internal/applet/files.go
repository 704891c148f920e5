package applet

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

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
	o, dirs, ok := c.parse(args, "p", "m", nil)
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
					if n, serr := c.K.FS.Stat(c.Process, at, true); serr == nil && n.Mode.IsDir() {
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
	o, names, ok := c.parse(args, "rRfi", "", nil)
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
		if n, err := c.K.FS.Stat(c.Process, name, false); err == nil && n.Mode.IsDir() {
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
		if err == nil && !n.Mode.IsDir() {
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
	if n, err := c.K.FS.Stat(c.Process, to, true); err == nil && n.Mode.IsDir() {
		return strings.TrimRight(to, "/") + "/" + path.Base(name)
	}
	return to
}

func mv(c *call, args []string) int {
	_, names, ok := c.parse(args, "fin", "", nil)
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
		case n.Mode.IsDir():
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
		out, err := c.K.FS.Open(c.Process, target, kernel.WriteOnly|kernel.Create|kernel.Truncate, n.Mode.Perm())
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
	o, names, ok := c.parse(args, "1aAlhdFi", "", nil)
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
		if n.Mode&fs.ModeSymlink != 0 {
			arrow = " -> " + n.Links(c.Process)
		}
		c.printf("%s    1 root     root     %s %s %s%s\n", mode(n.Mode), length, n.ModTime().UTC().Format("Jan _2 15:04"), shown, arrow)
	}
	var dirs []string
	for _, name := range names {
		n, err := c.K.FS.Stat(c.Process, name, !o.has('l'))
		switch {
		case err != nil:
			status = c.fail("%s: %v", name, err)
		case n.Mode.IsDir() && !o.has('d'):
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
	_, names, ok := c.parse(args, "cam", "", nil)
	if !ok {
		return 1
	}
	status := 0
	for _, name := range names {
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
	o, names, ok := c.parse(args, "c", "s", nil)
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
		perm := n.Mode.Perm()
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
	_, names, ok := c.parse(args, "", "m", nil)
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
	_, a, ok := c.parse(args, "", "m", nil)
	if !ok || len(a) < 2 {
		return usage(c)
	}
	if a[1] == "p" {
		return mkfifo(c, a[:1])
	}
	return c.fail("%s: %v", a[0], kernel.EPERM)
}

func mktemp(c *call, args []string) int {
	o, names, ok := c.parse(args, "dqtu", "p", nil)
	if !ok {
		return 1
	}
	template := "tmp.XXXXXX"
	if len(names) > 0 {
		template = names[0]
	}
	if len(names) == 0 || o.has('p') || o.has('t') {
		dir := c.Env["TMPDIR"]
		if o['p'] != "" {
			dir = o['p']
		}
		if dir == "" {
			dir = "/tmp"
		}
		template = dir + "/" + template
	}
	base := strings.TrimRight(template, "X")
	if len(template)-len(base) < 6 {
		return c.fail("invalid template '%s'", template)
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for {
		name := []byte(template)
		for i := len(base); i < len(name); i++ {
			name[i] = letters[rand.IntN(len(letters))]
		}
		var err error
		if o.has('d') {
			err = c.K.FS.Make(c.Process, string(name), fs.ModeDir|0o700)
		} else {
			var f *kernel.File
			if f, err = c.K.FS.Open(c.Process, string(name), kernel.WriteOnly|kernel.Create|kernel.Exclusive, 0o600); err == nil {
				f.Release()
			}
		}
		switch err {
		case nil:
			c.printf("%s\n", name)
			return 0
		case kernel.EEXIST:
			continue
		}
		return c.fail("can't create temp file '%s': %v", template, err)
	}
}

func readlink(c *call, args []string) int {
	o, names, ok := c.parse(args, "fnvs", "", nil)
	if !ok || len(names) == 0 {
		return usage(c)
	}
	n, err := c.K.FS.Stat(c.Process, names[0], false)
	switch {
	case o.has('f'):
		real, rerr := c.K.FS.Real(c.Process, names[0])
		if rerr != nil || err != nil && !strings.Contains(names[0], "/") {
			return 1
		}
		c.printf("%s\n", real)
		return 0
	case err != nil || n.Mode&fs.ModeSymlink == 0:
		return 1
	}
	c.printf("%s\n", n.Links(c.Process))
	return 0
}

func realpath(c *call, names []string) int {
	status := 0
	for _, name := range names {
		real, err := c.K.FS.Real(c.Process, name)
		if err != nil {
			status = c.fail("%s: %v", name, err)
			continue
		}
		c.printf("%s\n", real)
	}
	return status
}

func basename(c *call, args []string) int {
	if len(args) == 0 {
		return usage(c)
	}
	b := path.Base(args[0])
	if len(args) > 1 && b != args[1] {
		b = strings.TrimSuffix(b, args[1])
	}
	c.printf("%s\n", b)
	return 0
}

func dirname(c *call, args []string) int {
	if len(args) == 0 {
		return usage(c)
	}
	d := strings.TrimRight(args[0], "/")
	if i := strings.LastIndexByte(d, '/'); i > 0 {
		d = strings.TrimRight(d[:i], "/")
	} else if i == 0 || d == "" {
		d = "/"
	} else {
		d = "."
	}
	c.printf("%s\n", d)
	return 0
}

// stat knows -c with %n %s %F %a %Y and -t not at all.
func stat(c *call, args []string) int {
	o, names, ok := c.parse(args, "Lf", "c", nil)
	if !ok || len(names) == 0 {
		return usage(c)
	}
	if !o.has('c') {
		return c.fail("only -c is known to the simulated board")
	}
	status := 0
	for _, name := range names {
		n, err := c.K.FS.Stat(c.Process, name, o.has('L'))
		if err != nil {
			status = c.fail("can't stat '%s': %v", name, err)
			continue
		}
		kinds := map[fs.FileMode]string{fs.ModeDir: "directory", 0: "regular file", fs.ModeSymlink: "symbolic link", fs.ModeDevice: "block special file",
			fs.ModeDevice | fs.ModeCharDevice: "character special file", fs.ModeNamedPipe: "fifo"}
		kind := kinds[n.Mode.Type()]
		if kind == "regular file" && n.Size() == 0 {
			kind = "regular empty file"
		}
		words := []string{"%n", name, "%s", fmt.Sprint(n.Size()), "%F", kind, "%a", fmt.Sprintf("%o", n.Mode.Perm()), "%A", mode(n.Mode), "%Y", fmt.Sprint(n.ModTime().Unix()), "%u", "0", "%g", "0", "%U", "root", "%G", "root", "%i", fmt.Sprint(n.Ino), "%t", fmt.Sprintf("%x", n.Dev[0]), "%T", fmt.Sprintf("%x", n.Dev[1]), "%y", n.ModTime().UTC().Format(time.DateTime)}
		for f := range strings.SplitSeq(o['c'], "%") {
			if f != "" && f != o['c'] && !slices.Contains(words, "%"+f[:1]) && strings.HasPrefix(o['c'], "%"+f) {
				return c.fail("format %%%s is not known to the simulated board", f[:1])
			}
		}
		c.printf("%s\n", strings.NewReplacer(words...).Replace(o['c']))
	}
	return status
}
