// Package applet holds the programs of the simulated board: what busybox has
// under these names, as far as a flash and its preparations use it, with
// busybox's output, messages and exit statuses. What an applet does not know it
// refuses like busybox does.
package applet

import (
	"fmt"
	"io"
	"strings"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// Program is the main function of a program.
type Program = func(p *kernel.Process) int

// call is a running program.
type call struct {
	*kernel.Process
	in       io.Reader
	out, err io.Writer
}

// program makes a Program of a function that gets the arguments behind the name.
func program(f func(c *call, args []string) int) Program {
	return func(p *kernel.Process) int {
		return f(&call{Process: p, in: p.Stream(0), out: p.Stream(1), err: p.Stream(2)}, p.Args[1:])
	}
}

func (c *call) name() string { return c.Args[0][strings.LastIndexByte(c.Args[0], '/')+1:] }

// fail prints a message with the program's name before it and returns 1.
func (c *call) fail(format string, args ...any) int {
	fmt.Fprintf(c.err, "%s: %s\n", c.name(), fmt.Sprintf(format, args...))
	return 1
}

func (c *call) printf(format string, args ...any) { fmt.Fprintf(c.out, format, args...) }

// options are the single-letter options that were given, with their values.
type options map[byte]string

func (o options) has(b byte) bool { _, ok := o[b]; return ok }

// parse takes the options off the arguments as getopt does: letters of flags
// stand alone, those of values take one. Words of the form --name are looked up
// in long, which gives the letter.
func (c *call) parse(args []string, flags, values string, long map[string]byte) (options, []string, bool) {
	o := options{}
	var rest []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return o, append(rest, args[i+1:]...), true
		case strings.HasPrefix(a, "--"):
			name, value, has := strings.Cut(a[2:], "=")
			b, ok := long[name]
			if !ok {
				c.fail("unrecognized option '%s'", a)
				return nil, nil, false
			}
			if strings.IndexByte(values, b) >= 0 && !has {
				if i++; i == len(args) {
					c.fail("option '%s' requires an argument", a)
					return nil, nil, false
				}
				value = args[i]
			}
			o.add(b, value)
		case len(a) < 2 || a[0] != '-':
			rest = append(rest, a)
		default:
			for j := 1; j < len(a); j++ {
				switch b := a[j]; {
				case strings.IndexByte(flags, b) >= 0:
					o.add(b, "")
				case strings.IndexByte(values, b) >= 0:
					value := a[j+1:]
					if value == "" {
						if i++; i == len(args) {
							c.fail("option requires an argument -- '%c'", b)
							return nil, nil, false
						}
						value = args[i]
					}
					o.add(b, value)
					j = len(a)
				default:
					c.fail("invalid option -- '%c'", b)
					return nil, nil, false
				}
			}
		}
	}
	return o, rest, true
}

// add notes an option; several values of one are joined by line feeds.
func (o options) add(b byte, value string) {
	if old, ok := o[b]; ok && value != "" && old != "" {
		value = old + "\n" + value
	}
	o[b] = value
}

// open opens a file for reading, "-" is standard input.
func (c *call) open(name string) (io.Reader, func(), error) {
	if name == "-" {
		return c.in, func() {}, nil
	}
	f, err := c.K.FS.Open(c.Process, name, kernel.ReadOnly, 0)
	if err != nil {
		return nil, nil, err
	}
	return reader{c.Process, f}, f.Release, nil
}

// reader and writer are an open file for one process.
type reader struct {
	p *kernel.Process
	f *kernel.File
}

func (r reader) Read(b []byte) (int, error) { return r.f.Read(r.p, b) }

type writer struct {
	p *kernel.Process
	f *kernel.File
}

func (w writer) Write(b []byte) (int, error) { return w.f.Write(w.p, b) }

const copySize = 64 << 10

// copy copies until the end; read errors and write errors are told apart.
func (c *call) copy(w io.Writer, r io.Reader) (n int64, readErr, writeErr error) {
	buf := make([]byte, copySize)
	for {
		m, err := r.Read(buf)
		if m > 0 {
			if _, werr := w.Write(buf[:m]); werr != nil {
				return n, nil, werr
			}
			n += int64(m)
		}
		switch {
		case err == io.EOF:
			return n, nil, nil
		case err != nil:
			return n, err, nil
		}
	}
}

// each calls f for every file, standard input where there is none.
func (c *call) each(files []string, cannot string, f func(name string, r io.Reader) int) int {
	if len(files) == 0 {
		files = []string{"-"}
	}
	status := 0
	for _, name := range files {
		r, done, err := c.open(name)
		if err != nil {
			status = c.fail(cannot, name, err)
			continue
		}
		if st := f(name, r); st != 0 {
			status = st
		}
		done()
	}
	return status
}

const cannotOpen = "can't open '%s': %v"

// Table returns all programs by their names.
func (m *Machine) Table() map[string]Program {
	t := map[string]Program{}
	for _, group := range []map[string]func(*call, []string) int{m.textTools(), fileTools(), sumTools(), m.systemTools(), m.netTools(), codeTools(), packTools()} {
		for name, f := range group {
			t[name] = program(f)
		}
	}
	return t
}
