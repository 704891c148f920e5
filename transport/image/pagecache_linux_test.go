package image_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dutflash/dutflash/transport/image"
)

// TestLargeFileLeavesThePageCache: who reads a file that is larger than half of the
// memory does not fill the memory with it.
func TestLargeFileLeavesThePageCache(t *testing.T) {
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC { // is nothing but page cache
		var err error
		if dir, err = os.MkdirTemp("/var/tmp", "dutflash-test"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	data := make([]byte, 32<<20)
	rand.NewChaCha8([32]byte{3}).Read(data)
	f, err := os.Create(filepath.Join(dir, "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil { // pages that are not written back yet stay
		t.Fatal(err)
	}
	resident := func() (n int) {
		t.Helper()
		m, err := unix.Mmap(int(f.Fd()), 0, len(data), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(m)
		pages := make([]byte, len(data)/os.Getpagesize())
		if err := mincore(m, pages); err != nil {
			t.Fatal(err)
		}
		for _, p := range pages {
			n += int(p & 1)
		}
		return n * os.Getpagesize()
	}
	for _, tc := range []struct {
		drop bool
		most int
	}{{true, 16 << 20}, {false, len(data)}} {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(image.SequentialWith(f, 0, tc.drop))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("drop %v: read %d bytes of %d, %v", tc.drop, len(got), len(data), err)
		}
		n := resident()
		t.Logf("drop %v: %d of %d bytes are in memory", tc.drop, n, len(data))
		if n > tc.most || !tc.drop && n < len(data)/2 {
			t.Errorf("drop %v: %d of %d bytes are in memory", tc.drop, n, len(data))
		}
	}
}

// mincore tells of each page of a mapping whether it is in memory.
func mincore(m, pages []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		return errno
	}
	return nil
}
