package blobstore

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Held is a bundle that the store has.
type Held struct {
	Digest     digest.Digest
	References []string
	Size       int64
	Used       time.Time
}

// List returns the bundles of the store, the one used last first. What others
// add or prune meanwhile may be missing or may be gone.
func (s *Store) List() ([]Held, error) {
	bundles, _, err := s.candidates()
	if err != nil {
		return nil, err
	}
	sizes, err := s.blobSizes()
	if err != nil {
		return nil, err
	}
	refs, err := s.references()
	if err != nil {
		return nil, err
	}
	out := make([]Held, 0, len(bundles))
	for _, b := range bundles {
		h := Held{Digest: b.Digest, References: refs[b.Digest], Used: b.used}
		seen := map[digest.Digest]bool{}
		for _, d := range b.Blobs {
			if !seen[d] {
				seen[d] = true
				h.Size += sizes[d]
			}
		}
		slices.Sort(h.References)
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Held) int { return b.Used.Compare(a.Used) })
	return out, nil
}

func (s *Store) references() (map[digest.Digest][]string, error) {
	files, err := os.ReadDir(filepath.Join(s.root, "refs"))
	if err != nil {
		return nil, err
	}
	refs := map[digest.Digest][]string{}
	for _, f := range files {
		var r Ref
		if getJSON(filepath.Join(s.root, "refs", f.Name()), &r) == nil {
			refs[r.Digest] = append(refs[r.Digest], r.Reference)
		}
	}
	return refs, nil
}
