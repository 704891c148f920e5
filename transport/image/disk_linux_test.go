package image_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/dutflash/dutflash/transport/image"
)

func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a small tmpfs can be mounted by root only; run the test with sudo or in a container")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("a tmpfs cannot be mounted here: %v; allow CAP_SYS_ADMIN", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	path := writeFile(t, "i.raw.gz", gzipped(rawImage(6*mib)))
	p, err := prepare(t, open(t, path), image.WithCacheDir(dir))
	if !errors.Is(err, image.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	p.Close()
	if left, _ := filepath.Glob(filepath.Join(dir, "images", "part-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPreparedImageIsSparse(t *testing.T) {
	cache := t.TempDir()
	raw := make([]byte, 32*mib)
	copy(raw[10*mib:], rawImage(mib))
	if _, err := prepare(t, open(t, writeFile(t, "i.raw.gz", gzipped(raw))), image.WithCacheDir(cache)); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(cache, "images", "*.img"))
	st, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if used := st.Sys().(*syscall.Stat_t).Blocks * 512; used > 2*mib {
		t.Errorf("%d bytes take %d on the disk", st.Size(), used)
	}
}
