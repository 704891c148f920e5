package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
)

// Lock is a lock on a file, held by this process until Unlock. The operating
// system releases it when the process ends in whatever way.
type Lock struct{ f *os.File }

// Unlock releases the lock.
func (l *Lock) Unlock() error { return l.f.Close() }

var errBusy = errors.New("locked by somebody else")

// Shared takes the lock that everybody holds who adds to the store.
func (s *Store) Shared(ctx context.Context) (*Lock, error) {
	return wait(ctx, filepath.Join(s.root, "lock"), false)
}

func (s *Store) exclusive(ctx context.Context) (*Lock, error) {
	return wait(ctx, filepath.Join(s.root, "lock"), true)
}

// Lease keeps what belongs to d from being pruned. The caller holds the shared
// lock of the store while it takes the lease, not afterwards.
func (s *Store) Lease(ctx context.Context, d digest.Digest) (*Lock, error) {
	p, err := s.path("leases", d, "")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		return nil, err
	}
	return wait(ctx, p, false)
}

// wait polls, because a blocking lock could not be given up when ctx ends.
func wait(ctx context.Context, path string, exclusive bool) (*Lock, error) {
	delay := 2 * time.Millisecond
	for {
		l, err := try(path, exclusive)
		if err == nil || !errors.Is(err, errBusy) {
			return l, err
		}
		t := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("waiting for the lock %s: %w", path, context.Cause(ctx))
		case <-t.C:
		}
		delay = min(2*delay, 100*time.Millisecond)
	}
}

func try(path string, exclusive bool) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if errors.Is(err, fs.ErrPermission) {
		// The file of another user of a shared cache: reading is enough to lock.
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	if err := lockFile(f, exclusive); err != nil {
		f.Close()
		return nil, err
	}
	return &Lock{f}, nil
}
