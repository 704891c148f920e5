package bundle

import (
	"context"
	"time"
)

// Cache is a directory of pulled bundles. Several processes may use one at
// once. Every blob is filed under its digest, verified on the way in, and
// appears in one step, so that nothing half is ever found there.
type Cache struct{ c *config }

// OpenCache opens a cache directory, "" being [DefaultCacheDir], and makes it
// where it is missing.
func OpenCache(dir string) (*Cache, error) {
	c, err := newConfig(nil)
	if err != nil {
		return nil, err
	}
	if dir == "" {
		if dir, err = DefaultCacheDir(); err != nil {
			return nil, fail("open cache of", dir, "", err)
		}
	}
	c.cacheDir = dir
	if _, err := c.store(); err != nil {
		return nil, fail("open cache of", dir, "", err)
	}
	return &Cache{c}, nil
}

// Dir returns the cache directory.
func (c *Cache) Dir() string { return c.c.cacheDir }

// PruneOptions say what to keep.
type PruneOptions struct {
	// MaxAge drops bundles that were not opened for longer; 0 sets no limit.
	MaxAge time.Duration
	// MaxSize drops the bundles opened longest ago until the rest has at most
	// so many bytes. 0 sets no limit; use 1 to drop all that is not in use.
	MaxSize int64
}

// PruneResult says what was done.
type PruneResult struct {
	Dropped int   // bundles
	InUse   int   // bundles that should have gone, but are open in some process
	Freed   int64 // bytes
	Kept    int64 // bytes
}

// Prune drops old bundles, and whatever no bundle needs, such as what a crash
// left. Bundles that are open, in any process, stay. It waits while somebody
// pulls into the cache, until ctx ends.
func (c *Cache) Prune(ctx context.Context, o PruneOptions) (PruneResult, error) {
	store, err := c.c.store()
	if err != nil {
		return PruneResult{}, fail("prune", c.Dir(), "", err)
	}
	var oldest time.Time
	if o.MaxAge > 0 {
		oldest = time.Now().Add(-o.MaxAge)
	}
	size := int64(-1)
	if o.MaxSize > 0 {
		size = o.MaxSize
	}
	p, err := store.Prune(ctx, oldest, size)
	return PruneResult{Dropped: p.Bundles, InUse: p.InUse, Freed: p.Freed, Kept: p.Kept}, fail("prune", c.Dir(), "", err)
}

// CachedBundle is one bundle in a cache.
type CachedBundle struct {
	Digest     string    // of the OCI manifest
	References []string  // that meant it when they were last looked up, sorted
	Size       int64     // bytes of its blobs, those shared with other bundles included
	LastUsed   time.Time // when it was last opened
}

// List returns what is in the cache, the bundle used last first.
func (c *Cache) List() ([]CachedBundle, error) {
	store, err := c.c.store()
	if err != nil {
		return nil, fail("list", c.Dir(), "", err)
	}
	held, err := store.List()
	if err != nil {
		return nil, fail("list", c.Dir(), "", err)
	}
	var out []CachedBundle
	for _, h := range held {
		out = append(out, CachedBundle{string(h.Digest), h.References, h.Size, h.Used})
	}
	return out, nil
}
