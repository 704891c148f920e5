package ash

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/pattern"
	"mvdan.cc/sh/v3/syntax"

	"github.com/dutflash/dutflash/flasher/flashertest/internal/kernel"
)

// config is how words are expanded.
func (s *Shell) config() *expand.Config {
	c := &expand.Config{Env: environ{s}, CmdSubst: s.substitute, NoUnset: s.noUnset}
	if !s.noGlob {
		c.ReadDir2 = s.readDir
	}
	return c
}

// fields expands the words of a command.
func (s *Shell) fields(words []*syntax.Word) ([]string, bool) {
	f, err := expand.Fields(s.config(), words...)
	if err == nil && filepath.Separator != '/' {
		// The module globs with the host's separator.
		for i := range f {
			if strings.HasPrefix(f[i], `\`) {
				f[i] = filepath.ToSlash(f[i])
			}
		}
	}
	return f, s.expanded(err)
}

// literal expands one word to one string.
func (s *Shell) literal(w *syntax.Word) (string, bool) {
	v, err := expand.Literal(s.config(), w)
	return v, s.expanded(err)
}

// expanded complains about a word that cannot be expanded.
func (s *Shell) expanded(err error) bool {
	var unset expand.UnsetParameterError
	switch {
	case err == nil:
		return !s.stopped()
	case s.stopped():
	case errors.As(err, &unset):
		message := unset.Message
		if message == "unbound variable" {
			message = "parameter not set"
		}
		s.fail(2, "%s: %s", unset.Node.Param.Value, message)
	case strings.Contains(err.Error(), "division by zero"):
		s.fail(2, "divide by zero")
	default:
		s.fail(2, "%v", err)
	}
	return false
}

// substitute runs $(...) in a subshell.
func (s *Shell) substitute(w io.Writer, cs *syntax.CmdSubst) error {
	r, pw := kernel.Pipe()
	child := s.p.Fork()
	child.FDs.Set(1, pw)
	c := s.subshell(child)
	s.p.K.Go(func() {
		c.stmts(cs.Stmts)
		child.Exit(c.finish())
	})
	defer r.Release()
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(s.p, buf)
		w.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			break // killed
		}
	}
	s.subst = s.await(child)
	s.status = s.subst
	return nil
}

// match reports whether a string fits a shell pattern.
func match(pat, str string) bool {
	expr, err := pattern.Regexp(pat, pattern.EntireString)
	if err != nil {
		return pat == str
	}
	re, err := regexp.Compile(expr)
	return err == nil && re.MatchString(str)
}

// readDir lists a directory of the board for globbing.
func (s *Shell) readDir(dir string) ([]fs.DirEntry, error) {
	dir = filepath.ToSlash(dir)
	n, err := s.p.K.FS.Stat(s.p, dir, true)
	if err != nil || !n.Mode.IsDir() {
		return nil, fs.ErrNotExist
	}
	var out []fs.DirEntry
	for _, name := range n.List(s.p) {
		if c, err := s.p.K.FS.Stat(s.p, path.Join(dir, name), false); err == nil {
			out = append(out, entry{name, c})
		}
	}
	return out, nil
}

type entry struct {
	name string
	n    *kernel.Inode
}

func (e entry) Name() string               { return e.name }
func (e entry) IsDir() bool                { return e.n.Mode.IsDir() }
func (e entry) Type() fs.FileMode          { return e.n.Mode.Type() }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }
func (e entry) Size() int64                { return e.n.Size() }
func (e entry) Mode() fs.FileMode          { return e.n.Mode }
func (e entry) ModTime() time.Time         { return e.n.ModTime() }
func (e entry) Sys() any                   { return nil }
