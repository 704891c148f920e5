package flasher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher"
)

// stageEnv has this program stage the files of a bundle in a directory, and wait to be
// killed: the directory, the bundle, an image and a cache, in a list of paths.
const stageEnv = "DUTFLASH_TEST_STAGE"

func TestMain(m *testing.M) {
	if paths := filepath.SplitList(os.Getenv(stageEnv)); len(paths) == 4 {
		fmt.Println(stage(paths[0], paths[1], paths[2], paths[3]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// stage flashes a board whose console does not open.
func stage(dir, bundle, image, cache string) error {
	open := func(ctx context.Context) (io.ReadWriteCloser, error) { <-ctx.Done(); return nil, ctx.Err() }
	f, err := flasher.New(open, untouched{}, bundle, flasher.WithTFTPDir(dir), flasher.WithTimeouts(flasher.Timeouts{Power: time.Hour}), flasher.WithCacheDir(cache))
	if err != nil {
		return err
	}
	_, err = f.Flash(context.Background(), image)
	return err
}

func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestKilledWhileStaged: the next operation takes out what a killed process has left
// for the TFTP daemon, and leaves alone what others put there, that of a process
// which is still at work among them.
func TestKilledWhileStaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	foreign := []string{"dutflash-notes.txt", "dutflash-AAAABBBB-kernel", ".dutflash-lock", "vmlinuz"}
	for _, name := range foreign {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("theirs"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func() (*exec.Cmd, []string) {
		before := map[string]bool{}
		for _, name := range listing(t, dir) {
			before[name] = true
		}
		cmd := exec.Command(os.Args[0])
		paths := []string{dir, tinyBundle(t), imageFile(t, "image.raw", make([]byte, 4096)), t.TempDir()}
		cmd.Env = append(os.Environ(), stageEnv+"="+strings.Join(paths, string(filepath.ListSeparator)), "TMPDIR="+t.TempDir())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		for range 600 {
			var own []string
			staged := false
			for _, name := range listing(t, dir) {
				if !before[name] {
					own = append(own, name)
					staged = staged || strings.HasPrefix(name, "dutflash-")
				}
			}
			if staged {
				return cmd, own
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Fatalf("nothing was staged: %v", listing(t, dir))
		return nil, nil
	}
	killed, left := start()
	killed.Process.Kill()
	killed.Wait()
	if len(left) < 2 { // the lock and a file
		t.Fatalf("%v is not what a killed process should have left", left)
	}
	_, working := start() // sweeps
	found := listing(t, dir)
	has := func(name string) bool { return slices.Contains(found, name) }
	for _, name := range left {
		if has(name) {
			t.Errorf("%s of the killed process is still there", name)
		}
	}
	// A third operation, while the second is at work.
	broken := errors.New("no console here")
	f, err := flasher.New(func(context.Context) (io.ReadWriteCloser, error) { return nil, broken }, untouched{t}, tinyBundle(t), flasher.WithTFTPDir(dir),
		flasher.WithCacheDir(t.TempDir()), flasher.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Flash(t.Context(), imageFile(t, "image.raw", make([]byte, 4096))); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	found = listing(t, dir)
	for _, name := range append(foreign, working...) {
		if !has(name) {
			t.Errorf("%s, of somebody else, is gone; there is %v", name, found)
		}
	}
	if len(found) != len(foreign)+len(working) {
		t.Errorf("there is %v, want %v and %v", found, foreign, working)
	}
}
