// Package filelock locks files between processes: flock(2) on Unix, LockFileEx
// on Windows. The caches of packages bundle and image use it.
//
// A lock belongs to the open file, not to the process: two locks of one path in
// one process exclude each other as those of two processes do.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

var (
	// ErrBusy: somebody else holds the lock, this process perhaps.
	ErrBusy = errors.New("locked by somebody else")
	// ErrUnsupported: the file system has no locks, as some network ones.
	ErrUnsupported = errors.New("the file system has no file locks")
)

func unsupported(err error) error { return fmt.Errorf("%w: %w", ErrUnsupported, err) }

// Lock is a lock that is held until Unlock. The operating system releases it
// when the process ends in whatever way.
type Lock struct{ f *os.File }

// Path returns the path that the lock was taken with.
func (l *Lock) Path() string { return l.f.Name() }

// Current says whether the lock's file is still the one that its path stands
// for: a lock on a file that was removed keeps nobody out.
func (l *Lock) Current() bool {
	a, err := l.f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(l.f.Name())
	return err == nil && os.SameFile(a, b)
}

// Unlock releases the lock; the file stays. Of a nil Lock it does nothing. It
// must not be called concurrently.
func (l *Lock) Unlock() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}

// Try takes the lock of the file path, which it makes where it is missing: an
// exclusive one, or one that is shared with others who want a shared one. It
// does not wait: [ErrBusy] says that the lock is taken. It may be called
// concurrently.
func Try(path string, exclusive bool) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if errors.Is(err, fs.ErrPermission) {
		// The file of another user of a shared cache: reading is enough to lock.
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	if err := lock(f, exclusive); err != nil {
		f.Close()
		return nil, err
	}
	return &Lock{f}, nil
}

// Held says whether somebody holds the exclusive lock of path. It does not make
// the file.
func Held(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		f, err = os.Open(path) // as in Try
	}
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(lock(f, false), ErrBusy)
}

// Wait takes the lock as [Try] does and waits for it as long as ctx allows. It
// polls, because a blocking lock could not be given up when ctx ends.
func Wait(ctx context.Context, path string, exclusive bool) (*Lock, error) {
	delay := 2 * time.Millisecond
	for {
		l, err := Try(path, exclusive)
		if !errors.Is(err, ErrBusy) {
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
