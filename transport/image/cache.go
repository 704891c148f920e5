package image

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cache is a directory of prepared images:
//
//	lock             whoever adds or takes holds it shared, whoever removes, exclusively
//	ID.img ID.json   raw bytes, sparse, and what is known about them; ID is
//	                 the digest of the source and the chunk size
//	ID.lock          held shared by everybody who uses ID.img
//	refs/HASH        ID of the source whose identity has this hash
//	ID.map           what is known about a raw local file, whose bytes stay in it
//	part-KEY.img     being prepared, by whoever holds part-KEY.lock; KEY is a
//	                 hash of the source's identity, or random where it has none
//
// A .json appears last and goes first, so that nothing half is ever found.
type cache struct {
	dir     string
	log     *slog.Logger
	noLocks bool
}

// meta is what a .json file says.
type meta struct {
	Version      int      `json:"version"`
	SourceSHA256 string   `json:"source_sha256"`
	SourceSize   int64    `json:"source_size"`
	SHA256       string   `json:"sha256"`
	Size         int64    `json:"size"`
	Data         int64    `json:"data"` // bytes in chunks that are not zero
	ChunkSize    int64    `json:"chunk_size"`
	Formats      []Format `json:"formats"`
	Chunks       []string `json:"chunks"` // SHA-256, "" for zeros
}

const metaVersion = 1

// entry is an image in the cache that is kept by a lock.
type entry struct {
	meta *meta
	path string
	lock *fileLock
}

func openCache(ctx context.Context, dir string, log *slog.Logger) (*cache, error) {
	c := &cache{dir: dir, log: log}
	if err := os.MkdirAll(filepath.Join(dir, "refs"), 0o755); err != nil {
		return nil, fmt.Errorf("cache directory: %w", diskError(err, dir))
	}
	l, err := c.global(ctx, false)
	if err != nil {
		return nil, err
	}
	l.unlock()
	if c.noLocks {
		log.Warn("the cache's file system has no file locks: nothing will be evicted", "dir", dir)
	}
	c.sweep()
	return c, nil
}

func (c *cache) path(name string) string { return filepath.Join(c.dir, name) }

func (c *cache) global(ctx context.Context, exclusive bool) (*fileLock, error) {
	return c.lenient(waitLock(ctx, c.path("lock"), exclusive))
}

// lenient makes do without locks where there are none.
func (c *cache) lenient(l *fileLock, err error) (*fileLock, error) {
	if errors.Is(err, errNoLocks) {
		c.noLocks = true
		return nil, nil
	}
	return l, err
}

// part is an image that is being prepared.
type part struct {
	file    *os.File
	path    string
	lock    *fileLock
	removed bool
}

func (c *cache) create(ctx context.Context) (*part, error) {
	g, err := c.global(ctx, false)
	if err != nil {
		return nil, err
	}
	defer g.unlock()
	f, err := os.CreateTemp(c.dir, "part-*.img")
	if err != nil {
		return nil, diskError(err, c.dir)
	}
	p := &part{file: f, path: f.Name()}
	if p.lock, err = c.lenient(tryLock(p.lockPath(), true)); err != nil {
		f.Close()
		os.Remove(p.path)
		return nil, err
	}
	c.sparse(f)
	return p, nil
}

func (c *cache) sparse(f *os.File) {
	if err := makeSparse(f); err != nil {
		c.log.Warn("the cache's file system has no sparse files: zeros take room", "dir", c.dir, "err", err)
	}
}

func refName(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return filepath.Join("refs", hex.EncodeToString(sum[:]))
}

func entryID(sourceSHA string, chunk int64) string { return fmt.Sprintf("%s-%d", sourceSHA, chunk) }

// find returns the entry of a source, or nil.
func (c *cache) find(ctx context.Context, identity, sourceSHA string, chunk int64) (*entry, error) {
	if identity != "" {
		b, err := os.ReadFile(c.path(refName(identity)))
		if err != nil {
			return nil, nil
		}
		sourceSHA = strings.TrimSpace(string(b))
	}
	if b, err := hex.DecodeString(sourceSHA); err != nil || len(b) != sha256.Size {
		return nil, nil
	}
	g, err := c.global(ctx, false)
	if err != nil {
		return nil, err
	}
	defer g.unlock()
	return c.take(sourceSHA, chunk)
}

// take locks an entry; the caller holds the global lock.
func (c *cache) take(sourceSHA string, chunk int64) (*entry, error) {
	id := entryID(sourceSHA, chunk)
	m, err := readMeta(c.path(id + ".json"))
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			c.log.Warn("a cached image is not usable", "id", id, "err", err)
		}
		return nil, nil
	}
	if m.SourceSHA256 != sourceSHA || m.ChunkSize != chunk {
		return nil, nil
	}
	l, err := c.lenient(tryLock(c.path(id+".lock"), false))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	os.Chtimes(c.path(id+".json"), now, now) // for least recently used
	return &entry{meta: m, path: c.path(id + ".img"), lock: l}, nil
}

func readMeta(path string) (*meta, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &meta{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, err
	}
	count := int64(-1)
	if m.ChunkSize > 0 && m.Size > 0 {
		count = (m.Size-1)/m.ChunkSize + 1
	}
	if m.Version != metaVersion || int64(len(m.Chunks)) != count {
		return nil, fmt.Errorf("%s is of version %d and has %d chunks", path, m.Version, len(m.Chunks))
	}
	for _, sum := range m.Chunks {
		if b, err := hex.DecodeString(sum); err != nil || len(b) != 0 && len(b) != sha256.Size {
			return nil, fmt.Errorf("%s has the malformed digest %q", path, sum)
		}
	}
	return m, nil
}

// publish moves a part, whose file is closed, to its place. Where somebody else
// was first, theirs is taken.
func (c *cache) publish(ctx context.Context, p *part, m *meta, identity string) (*entry, error) {
	g, err := c.global(ctx, false)
	if err != nil {
		return nil, err
	}
	defer g.unlock()
	defer p.remove()
	e, err := c.take(m.SourceSHA256, m.ChunkSize)
	if err != nil {
		return nil, err
	}
	if e == nil {
		id := entryID(m.SourceSHA256, m.ChunkSize)
		b, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		if err := os.Rename(p.path, c.path(id+".img")); err != nil {
			return nil, diskError(err, c.dir)
		}
		if err := c.write(id+".json", b); err != nil {
			return nil, err
		}
		if e, err = c.take(m.SourceSHA256, m.ChunkSize); err != nil || e == nil {
			return nil, fmt.Errorf("the image that was just put into the cache %s is gone (%v)", c.dir, err)
		}
	}
	if identity != "" {
		if err := c.write(refName(identity), []byte(m.SourceSHA256)); err != nil {
			e.lock.unlock()
			return nil, err
		}
	}
	return e, nil
}

// write puts a small file in place in one step.
func (c *cache) write(name string, b []byte) error {
	f, err := os.CreateTemp(c.dir, "tmp-*")
	if err != nil {
		return diskError(err, c.dir)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.path(name))
	}
	if err != nil {
		os.Remove(f.Name())
		return diskError(err, c.dir)
	}
	return nil
}

// evict removes the least recently used images above the limit, and refs that
// lead nowhere. It gives up where somebody else is at it.
func (c *cache) evict(limit int64) {
	if c.noLocks {
		return
	}
	g, err := tryLock(c.path("lock"), true)
	if err != nil {
		return
	}
	defer g.unlock()
	c.clean()
	c.evictMaps()
	type item struct {
		id   string
		used time.Time
		size int64
	}
	var items []item
	var sum int64
	files, _ := filepath.Glob(c.path("*.json"))
	for _, p := range files {
		st, err := os.Stat(p)
		if err != nil {
			continue
		}
		it := item{id: strings.TrimSuffix(filepath.Base(p), ".json"), used: st.ModTime()}
		if m, err := readMeta(p); err == nil {
			it.size = m.Data
		} else {
			it.used = time.Time{} // of no use to anybody
		}
		sum += it.size
		items = append(items, it)
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Or(a.used.Compare(b.used), strings.Compare(a.id, b.id)) })
	for _, it := range items {
		if sum <= limit {
			return
		}
		if c.drop(it.id) {
			c.log.Info("evicted a prepared image", "id", it.id, "bytes", it.size)
			sum -= it.size
		}
	}
}

// drop removes an entry that nobody uses; the caller holds the global lock
// exclusively.
func (c *cache) drop(id string) bool {
	l, err := tryLock(c.path(id+".lock"), true)
	if err != nil {
		return false
	}
	os.Remove(c.path(id + ".json"))
	os.Remove(c.path(id + ".img"))
	l.unlock()
	os.Remove(c.path(id + ".lock"))
	sha, _, _ := strings.Cut(id, "-")
	c.dropRefs(sha)
	return true
}

// dropRefs removes the refs that lead to something that is gone.
func (c *cache) dropRefs(to string) {
	refs, _ := filepath.Glob(c.path(filepath.Join("refs", "*")))
	for _, r := range refs {
		if b, err := os.ReadFile(r); err == nil && string(b) == to {
			os.Remove(r)
		}
	}
}

// forget removes the .json of an entry that turned out to be damaged.
func (c *cache) forget(e *entry) {
	os.Remove(strings.TrimSuffix(e.path, ".img") + ".json")
}
