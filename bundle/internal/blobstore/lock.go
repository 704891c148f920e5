package blobstore

import (
	"context"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/dutflash/dutflash/internal/filelock"
)

// Shared takes the lock that everybody holds who adds to the store.
func (s *Store) Shared(ctx context.Context) (*filelock.Lock, error) {
	return filelock.Wait(ctx, filepath.Join(s.root, "lock"), false)
}

func (s *Store) exclusive(ctx context.Context) (*filelock.Lock, error) {
	return filelock.Wait(ctx, filepath.Join(s.root, "lock"), true)
}

// Lease keeps what belongs to d from being pruned. The caller holds the shared
// lock of the store while it takes the lease, not afterwards.
func (s *Store) Lease(ctx context.Context, d digest.Digest) (*filelock.Lock, error) {
	p, err := s.path("leases", d, "")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		return nil, err
	}
	return filelock.Wait(ctx, p, false)
}
