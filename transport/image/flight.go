package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// flightKey names what is prepared, so that those who prepare the same at the
// same time find each other; "" where nobody can tell.
func flightKey(info Info, chunk int64) string {
	id := info.Identity
	if id == "" {
		if id = info.SHA256; id == "" {
			return ""
		}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d", id, chunk))
	return hex.EncodeToString(sum[:])
}

// claim starts to prepare what key names, and returns nil where somebody else
// is at it, in this process or another. Without a key, or where the file system
// has no locks, nobody is kept from doing the same.
func (c *cache) claim(ctx context.Context, key string) (*part, error) {
	if key == "" || c.noLocks {
		return c.create(ctx)
	}
	g, err := c.global(ctx, false)
	if err != nil {
		return nil, err
	}
	defer g.unlock()
	p := &part{path: c.path("part-" + key + ".img")}
	p.lock, err = tryLock(p.lockPath(), true)
	switch {
	case errors.Is(err, errBusy):
		return nil, nil
	case errors.Is(err, errNoLocks):
		c.noLocks = true
		return c.create(ctx)
	case err != nil:
		return nil, diskError(err, c.dir)
	case !p.lock.current():
		p.lock.unlock() // whoever had it removed it in between
		return nil, nil
	}
	// What a crash left is not continued, and its followers keep their file.
	if err := os.Remove(p.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		p.lock.unlock()
		return nil, err
	}
	p.file, err = os.OpenFile(p.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		p.remove()
		return nil, diskError(err, c.dir)
	}
	c.sparse(p.file)
	return p, nil
}

// current says whether the lock's file is still the one that its name stands
// for: a lock on one that was removed keeps nobody out.
func (l *fileLock) current() bool {
	a, err := l.f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(l.f.Name())
	return err == nil && os.SameFile(a, b)
}

// underWay says whether somebody prepares what key names.
func (c *cache) underWay(ctx context.Context, key string) (bool, error) {
	g, err := c.global(ctx, false) // so that nobody sweeps at the same time
	if err != nil {
		return false, err
	}
	defer g.unlock()
	f, err := os.OpenFile(c.path("part-"+key+".lock"), os.O_RDWR, 0)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	return errors.Is(lockFile(f, false), errBusy), nil
}

// followInterval is how often a follower looks for more.
const followInterval = 50 * time.Millisecond

// errLeft says that whoever prepared the image gave up.
var errLeft = errors.New("the one who prepared the image has given up")

// follower reads an image from the file that somebody else is writing. The
// bytes before the file's end are there: it is written in order.
type follower struct {
	ctx   context.Context
	cache *cache
	info  Info
	key   string
	chunk int64
	file  *os.File // nil before there is one
	off   int64
	end   int64  // up to which the bytes are there
	entry *entry // once the image is in the cache
}

// Read implements io.Reader.
func (f *follower) Read(p []byte) (int, error) {
	for f.off == f.end {
		if f.entry != nil {
			return 0, io.EOF
		}
		if err := f.wait(); err != nil {
			return 0, err
		}
	}
	n, err := f.file.ReadAt(p[:min(int64(len(p)), f.end-f.off)], f.off)
	f.off += int64(n)
	if n > 0 {
		return n, nil
	}
	// It shrank: whoever wrote it made room for somebody else.
	return 0, errors.Join(errLeft, err)
}

// wait returns when there is more, or the image is complete.
func (f *follower) wait() error {
	for {
		if more, err := f.grown(); more || err != nil {
			return err
		}
		busy, err := f.cache.underWay(f.ctx, f.key)
		if err != nil {
			return err
		}
		// In this order: who has published is no longer under way.
		if f.entry, err = f.cache.find(f.ctx, f.info.Identity, f.info.SHA256, f.chunk); err != nil {
			return err
		}
		switch {
		case f.entry != nil && f.file == nil:
			return errLeft // nothing was followed; the cache has it all
		case f.entry != nil:
			f.end = f.entry.meta.Size
			return nil
		case !busy:
			return errLeft
		}
		t := time.NewTimer(followInterval)
		select {
		case <-t.C:
		case <-f.ctx.Done():
			t.Stop()
			return context.Cause(f.ctx)
		}
	}
}

// grown looks for whole chunks that were not there before. An open file cannot
// be moved on Windows, so there only the end is waited for.
func (f *follower) grown() (bool, error) {
	if f.file == nil {
		if runtime.GOOS == "windows" {
			return false, nil
		}
		var err error
		if f.file, err = os.Open(f.cache.path("part-" + f.key + ".img")); err != nil {
			f.file = nil
			return false, nil
		}
	}
	st, err := f.file.Stat()
	if err != nil {
		return false, err
	}
	end := st.Size() / f.chunk * f.chunk
	if end <= f.end {
		return false, nil
	}
	f.end = end
	return true, nil
}

// follow takes over what somebody else is preparing, chunk by chunk as it comes.
// It returns false where that one has given up.
func (p *Prepared) follow(ctx context.Context, cache *cache, key string, info Info, want string) (bool, error) {
	f := &follower{ctx: ctx, cache: cache, info: info, key: key, chunk: p.c.chunk}
	s := newSink(p, info.Size)
	s.follows = true
	defer s.stop()
	mapped := s.verifyBmap(p.blocks)
	err := f.wait()
	if err == nil {
		p.files.Lock()
		p.file = f.file
		p.files.Unlock()
		p.c.log.Info("somebody else prepares the same image, following", "source", info.Name)
		_, err = s.fill(ctx, f)
	}
	p.files.Lock()
	p.file, p.entry = f.file, f.entry // whoever releases p closes them
	p.files.Unlock()
	if err == nil {
		err = s.compare(f.entry.meta)
	}
	if err == nil {
		err = mapped()
	}
	if errors.Is(err, errLeft) || errors.Is(err, errCached) {
		p.c.log.Info("whoever prepared the same image has given up, or is done", "source", info.Name, "err", err)
		p.reset()
		return false, nil
	}
	if err == nil && want != "" && want != f.entry.meta.SourceSHA256 {
		err = wrongSum(want, f.entry.meta.SourceSHA256)
	}
	if err != nil {
		return false, err
	}
	p.finish(s, f.entry.meta)
	return true, nil
}

// compare says whether what went through s is the image of m.
func (s *sink) compare(m *meta) error {
	if got := hex.EncodeToString(s.raw.Sum(nil)); got != m.SHA256 {
		return fmt.Errorf("%w: its SHA-256 is %s, not %s", errCached, got, m.SHA256)
	}
	return nil
}

// reset forgets what was read so far, for a new start.
func (p *Prepared) reset() {
	p.change(func() { p.avail, p.size, p.formats, p.chunks = 0, -1, nil, nil })
	p.release()
}

// lockPath is the lock of whoever prepares p.
func (p *part) lockPath() string { return strings.TrimSuffix(p.path, ".img") + ".lock" }

// remove ends p. Its file is closed by whoever reads it.
func (p *part) remove() {
	if p.removed {
		return // by now its name may be somebody else's
	}
	p.removed = true
	os.Remove(p.path)
	// A lock that is removed while it is held cannot be taken by somebody who
	// then finds that it is removed, see current. Windows removes no open file.
	if runtime.GOOS != "windows" {
		os.Remove(p.lockPath())
	}
	p.lock.unlock()
	if runtime.GOOS == "windows" {
		os.Remove(p.lockPath())
	}
}

// clean removes what a crash left in the middle of putting something into the
// cache, and images that were found damaged once nobody uses them. The caller
// holds the global lock exclusively, so nobody is at it.
func (c *cache) clean() {
	temporary, _ := filepath.Glob(c.path("tmp-*"))
	for _, path := range temporary {
		os.Remove(path)
	}
	images, _ := filepath.Glob(c.path("*-*.img"))
	for _, path := range images {
		id := strings.TrimSuffix(filepath.Base(path), ".img")
		if strings.HasPrefix(id, "part-") {
			continue
		}
		if _, err := os.Stat(c.path(id + ".json")); errors.Is(err, os.ErrNotExist) && c.drop(id) {
			c.log.Info("removed an image that was never complete, or damaged", "id", id)
		}
	}
}

// sweep removes what crashed processes left, unless somebody is busy.
func (c *cache) sweep() {
	parts, _ := filepath.Glob(c.path("part-*.lock"))
	if len(parts) == 0 || c.noLocks {
		return
	}
	g, err := tryLock(c.path("lock"), true)
	if err != nil {
		return
	}
	defer g.unlock()
	for _, path := range parts {
		l, err := tryLock(path, true)
		if err != nil {
			continue
		}
		(&part{path: strings.TrimSuffix(path, ".lock") + ".img", lock: l}).remove()
		c.log.Info("removed an unfinished image of a process that is gone", "file", path)
	}
}
