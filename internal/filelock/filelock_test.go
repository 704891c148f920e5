package filelock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/filelock"
)

func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "lock")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := filelock.Wait(ctx, path, true)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = filelock.Try(path, false)
	fmt.Println(err)
	l.Unlock()
	l, err = filelock.Try(path, false)
	fmt.Println(err)
	l.Unlock()
	// Output:
	// locked by somebody else
	// <nil>
}

const childEnv = "DUTFLASH_FILELOCK_TEST"

// TestMain is also the other process, which holds a lock until it is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		l, err := filelock.Try(path, true)
		fmt.Printf("held %v\n", err)
		bufio.NewReader(os.Stdin).ReadString('\n')
		l.Unlock()
		return
	}
	os.Exit(m.Run())
}

func TestLockEndsWithItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+path)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held <nil>\n" {
		t.Errorf("child: %q, %v", line, err)
	}
	for _, exclusive := range []bool{true, false} {
		if _, err := filelock.Try(path, exclusive); !errors.Is(err, filelock.ErrBusy) {
			t.Errorf("exclusive %v: %v", exclusive, err)
		}
	}
	why := errors.New("no patience")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := filelock.Wait(ctx, path, false); !errors.Is(err, why) {
		t.Errorf("waiting: %v", err)
	}
	child.Process.Kill()
	child.Wait()
	l, err := filelock.Wait(t.Context(), path, true)
	if err != nil {
		t.Fatal(err)
	}
	l.Unlock()
}

func TestSharedLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	a, err := filelock.Try(path, false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := filelock.Try(path, false)
	if err != nil {
		t.Fatal(err)
	}
	a.Unlock()
	if _, err := filelock.Try(path, true); !errors.Is(err, filelock.ErrBusy) {
		t.Errorf("exclusive beside a shared one: %v", err)
	}
	b.Unlock()
	c, err := filelock.Try(path, true)
	if err != nil {
		t.Fatal(err)
	}
	c.Unlock()
	if _, err := filelock.Try(filepath.Join(path, "x"), true); err == nil || errors.Is(err, filelock.ErrBusy) {
		t.Errorf("a path that cannot be: %v", err)
	}
	var none *filelock.Lock
	if err := none.Unlock(); err != nil {
		t.Error(err)
	}
}
