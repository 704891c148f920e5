package gpt_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/dutflash/dutflash/internal/gpt"
	"github.com/dutflash/dutflash/internal/testtool"
)

// TestFileSystemsOfRealTools looks at what mkfs makes. The files in testdata
// are the first gpt.ProbeSize bytes of what these made from Debian 12: btrfs-progs
// 6.2, erofs-utils 1.5, f2fs-tools 1.15.0, genisoimage 1.1.11, squashfs-tools
// 4.5.1, xfsprogs 6.1.0.
func TestFileSystemsOfRealTools(t *testing.T) {
	for _, name := range []string{"btrfs", "erofs", "f2fs", "iso9660", "squashfs", "xfs"} {
		t.Run(name, func(t *testing.T) {
			packed, err := os.ReadFile(filepath.Join("testdata", name+".gz"))
			if err != nil {
				t.Fatal(err)
			}
			r, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil || len(b) > gpt.ProbeSize {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			if got := gpt.FileSystem(b); got != name {
				t.Errorf("taken for %q", got)
			}
		})
	}
	for _, tc := range []struct {
		want, tool, how string
		size            int64
		args            []string
	}{
		{"ext4", "mkfs.ext4", "apt-get install e2fsprogs", 4 << 20, []string{"-q", "-F"}},
		{"ext4", "mkfs.ext4", "apt-get install e2fsprogs", 4 << 20, []string{"-q", "-F", "-b", "4096", "-O", "^has_journal"}},
		{"ext3", "mkfs.ext3", "apt-get install e2fsprogs", 8 << 20, []string{"-q", "-F"}},
		{"ext2", "mkfs.ext2", "apt-get install e2fsprogs", 4 << 20, []string{"-q", "-F"}},
		{"vfat", "mkfs.vfat", "apt-get install dosfstools", 1 << 20, []string{"-F", "12"}},
		{"vfat", "mkfs.vfat", "apt-get install dosfstools", 16 << 20, []string{"-F", "16"}},
		{"vfat", "mkfs.vfat", "apt-get install dosfstools", 64 << 20, []string{"-F", "32"}},
		{"swap", "mkswap", "apt-get install util-linux", 1 << 20, nil},
		{"swap", "mkswap", "apt-get install util-linux", 1 << 20, []string{"--pagesize", "16384"}},
		{"swap", "mkswap", "apt-get install util-linux", 1 << 20, []string{"--pagesize", "65536"}},
	} {
		t.Run(tc.tool+" "+filepath.Join(tc.args...), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "fs")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(tc.size); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(testtool.Need(t, tc.tool, tc.how), append(tc.args, path)...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", tc.tool, err, out)
			}
			b := make([]byte, gpt.ProbeSize)
			if _, err := io.ReadFull(f, b); err != nil {
				t.Fatal(err)
			}
			if got := gpt.FileSystem(b); got != tc.want {
				t.Errorf("taken for %q", got)
			}
			if table, err := gpt.Parse(b); table != nil || err != nil {
				t.Errorf("taken for a partition table: %+v, %v", table, err)
			}
		})
	}
}
