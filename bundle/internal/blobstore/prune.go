package blobstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/dutflash/dutflash/internal/filelock"
)

// Pruned says what [Store.Prune] did.
type Pruned struct {
	Bundles int   // bundles that were dropped
	InUse   int   // bundles that should have gone, but are open somewhere
	Freed   int64 // bytes
	Kept    int64 // bytes of blobs that remain
}

type candidate struct {
	Record
	used time.Time
	busy bool
}

// Prune drops the bundles that were last used before oldest, then those used
// longest ago until at most maxSize bytes of blobs remain, and everything that
// no bundle needs. A zero oldest or a negative maxSize sets no such limit.
// What is leased stays. It waits until nobody adds to the store.
func (s *Store) Prune(ctx context.Context, oldest time.Time, maxSize int64) (Pruned, error) {
	var res Pruned
	lock, err := s.exclusive(ctx)
	if err != nil {
		return res, err
	}
	defer lock.Unlock()
	bundles, broken, err := s.candidates()
	if err != nil {
		return res, err
	}
	for _, p := range broken {
		if err := os.Remove(p); err != nil {
			return res, err
		}
	}
	leased, free, err := s.leases()
	if err != nil {
		return res, err
	}
	// A lease is taken under the shared lock only, so nobody waits for these.
	defer func() {
		for _, l := range free {
			l.Unlock()
			os.Remove(l.Path())
		}
	}()
	sizes, err := s.blobSizes()
	if err != nil {
		return res, err
	}

	// Newest first: what is kept counts towards the size, busy ones anyway.
	slices.SortFunc(bundles, func(a, b candidate) int { return b.used.Compare(a.used) })
	keep := map[digest.Digest]bool{}
	var total int64
	hold := func(ds ...digest.Digest) {
		for _, d := range ds {
			if !keep[d] {
				keep[d] = true
				total += sizes[d]
			}
		}
	}
	for d := range leased {
		hold(d)
	}
	for i := range bundles {
		if b := &bundles[i]; leased[b.Digest] {
			b.busy = true
			hold(b.Blobs...)
		}
	}
	full := false
	for _, b := range bundles {
		var more int64
		for _, d := range b.Blobs {
			if !keep[d] {
				more += sizes[d]
			}
		}
		old := !oldest.IsZero() && b.used.Before(oldest)
		full = full || !b.busy && !old && maxSize >= 0 && total+more > maxSize
		switch {
		case b.busy && (old || full || maxSize >= 0 && total > maxSize):
			res.InUse++
		case b.busy:
		case old || full:
			if err := s.drop(b.Digest); err != nil {
				return res, err
			}
			res.Bundles++
		default:
			hold(b.Blobs...)
		}
	}
	for d, n := range sizes {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		if keep[d] {
			res.Kept += n
			continue
		}
		if err := s.Remove(d); err != nil {
			return res, err
		}
		if p, err := s.path("trees", d, ".json"); err == nil {
			os.Remove(p)
		}
		res.Freed += n
	}
	return res, errors.Join(s.sweep("tmp"), s.dropRefs())
}

// candidates lists the bundles, and the records that cannot be read.
func (s *Store) candidates() (out []candidate, broken []string, err error) {
	err = s.each("bundles", func(d digest.Digest, path string, fi fs.FileInfo) error {
		r, ok := s.HasRecord(d)
		if !ok {
			broken = append(broken, path)
			return nil
		}
		out = append(out, candidate{Record: r, used: fi.ModTime()})
		return nil
	})
	return out, broken, err
}

// leases tells which digests are in use, and holds the locks of all others.
func (s *Store) leases() (map[digest.Digest]bool, []*filelock.Lock, error) {
	leased := map[digest.Digest]bool{}
	var free []*filelock.Lock
	err := s.each("leases", func(d digest.Digest, path string, _ fs.FileInfo) error {
		l, err := filelock.Try(path, true)
		if errors.Is(err, filelock.ErrBusy) {
			leased[d] = true
			return nil
		}
		if err != nil {
			return err
		}
		free = append(free, l)
		return nil
	})
	return leased, free, err
}

func (s *Store) blobSizes() (map[digest.Digest]int64, error) {
	sizes := map[digest.Digest]int64{}
	err := s.each("blobs", func(d digest.Digest, _ string, fi fs.FileInfo) error {
		sizes[d] = fi.Size()
		return nil
	})
	return sizes, err
}

// each calls fn for every file that is named by a digest.
func (s *Store) each(kind string, fn func(digest.Digest, string, fs.FileInfo) error) error {
	algs, err := os.ReadDir(filepath.Join(s.root, kind))
	if err != nil {
		return err
	}
	for _, alg := range algs {
		files, err := os.ReadDir(filepath.Join(s.root, kind, alg.Name()))
		if err != nil {
			return err
		}
		for _, f := range files {
			d := digest.Digest(alg.Name() + ":" + strings.TrimSuffix(f.Name(), ".json"))
			fi, err := f.Info()
			if err != nil || d.Validate() != nil {
				continue
			}
			if err := fn(d, filepath.Join(s.root, kind, alg.Name(), f.Name()), fi); err != nil {
				return fmt.Errorf("%s %s: %w", kind, d, err)
			}
		}
	}
	return nil
}

func (s *Store) drop(d digest.Digest) error {
	p, err := s.path("bundles", d, ".json")
	if err != nil {
		return err
	}
	return os.Remove(p)
}

// sweep removes what crashed processes left: nobody else adds to the store now.
func (s *Store) sweep(sub string) error {
	files, err := os.ReadDir(filepath.Join(s.root, sub))
	for _, f := range files {
		err = cmp.Or(err, os.Remove(filepath.Join(s.root, sub, f.Name())))
	}
	return err
}

// dropRefs forgets references to bundles that are gone.
func (s *Store) dropRefs() error {
	files, err := os.ReadDir(filepath.Join(s.root, "refs"))
	if err != nil {
		return err
	}
	for _, f := range files {
		p := filepath.Join(s.root, "refs", f.Name())
		var r Ref
		if getJSON(p, &r) == nil {
			if _, ok := s.HasRecord(r.Digest); ok {
				continue
			}
		}
		if err := os.Remove(p); err != nil {
			return err
		}
	}
	return nil
}
