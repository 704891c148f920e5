package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

var (
	errBusy    = errors.New("locked by somebody else")
	errNoLocks = errors.New("the file system of the cache has no file locks")
)

// fileLock is a lock on a file of its own. The operating system releases it
// when the process ends in whatever way.
type fileLock struct{ f *os.File }

func (l *fileLock) unlock() {
	if l != nil && l.f != nil {
		l.f.Close()
	}
}

// tryLock takes the lock of path or returns errBusy.
func tryLock(path string, exclusive bool) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f, exclusive); err != nil {
		f.Close()
		return nil, err
	}
	return &fileLock{f}, nil
}

// waitLock polls, because a blocking lock could not be given up when ctx ends.
func waitLock(ctx context.Context, path string, exclusive bool) (*fileLock, error) {
	delay := 2 * time.Millisecond
	for {
		l, err := tryLock(path, exclusive)
		if !errors.Is(err, errBusy) {
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
