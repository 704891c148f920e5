package applet

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

func mktemp(c *call, args []string) int {
	o, names, ok := c.parse(args, "dt", "p", nil)
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
	o, names, ok := c.parse(args, "f", "", nil)
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
	case err != nil || n.Mode()&fs.ModeSymlink == 0:
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
	o, names, ok := c.parse(args, "L", "c", nil)
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
		kind := kinds[n.Mode().Type()]
		if kind == "regular file" && n.Size() == 0 {
			kind = "regular empty file"
		}
		words := []string{"%n", name, "%s", fmt.Sprint(n.Size()), "%F", kind, "%a", fmt.Sprintf("%o", n.Mode().Perm()), "%A", mode(n.Mode()), "%Y", fmt.Sprint(n.ModTime().Unix()), "%u", "0", "%g", "0", "%U", "root", "%G", "root", "%i", fmt.Sprint(n.Ino), "%t", fmt.Sprintf("%x", n.Dev[0]), "%T", fmt.Sprintf("%x", n.Dev[1]), "%y", n.ModTime().UTC().Format(time.DateTime)}
		for f := range strings.SplitSeq(o['c'], "%") {
			if f != "" && f != o['c'] && !slices.Contains(words, "%"+f[:1]) && strings.HasPrefix(o['c'], "%"+f) {
				return c.fail("format %%%s is not known to the simulated board", f[:1])
			}
		}
		c.printf("%s\n", strings.NewReplacer(words...).Replace(o['c']))
	}
	return status
}
