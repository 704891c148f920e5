package filelock_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/internal/filelock"
)

// TestFileOfAnotherUser: who may only read a lock's file sees that it is held all
// the same, and can lock it.
func TestFileOfAnotherUser(t *testing.T) {
	dir, err := os.MkdirTemp("", "filelock")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(os.Chmod(dir, 0o755), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(dir, "lock")
	l, err := filelock.Try(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(path, 0o444), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // whom modes do not stop
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Fatal(err)
		}
		defer unix.SetfsuidRetUid(0)
	}
	if f, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
		f.Close()
		t.Fatal("the file can be written")
	}
	if !filelock.Held(path) {
		t.Error("it is held, and nobody can tell")
	}
	if _, err := filelock.Try(path, true); !errors.Is(err, filelock.ErrBusy) {
		t.Errorf("got %v", err)
	}
	l.Unlock()
	if filelock.Held(path) {
		t.Error("it is free")
	}
}
