package demoimage_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard/demoimage"
)

// TestMake has the programs of others look at the image.
func TestMake(t *testing.T) {
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	for program, pkg := range map[string]string{
		"sfdisk": "fdisk", "mkfs.vfat": "dosfstools", "mcopy": "mtools", "mkfs.ext4": "e2fsprogs", "xz": "xz-utils",
	} {
		testtool.Need(t, program, "apt-get install "+pkg)
	}
	dir := t.TempDir()
	image, err := demoimage.Make(t.Context(), dir, demoimage.Options{SizeMiB: 192})
	if err != nil {
		t.Fatal(err)
	}
	tool := func(program string, args ...string) string {
		t.Helper()
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", program, args, err, out)
		}
		return string(out)
	}
	if out := tool("sfdisk", "--verify", image.Raw); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk --verify: %s", out)
	}
	table := tool("sfdisk", "--dump", image.Raw)
	if !strings.Contains(table, `name="boot"`) || !strings.Contains(table, `name="root"`) {
		t.Errorf("sfdisk --dump: %s", table)
	}
	if out := tool("mdir", "-b", "-i", image.Raw+"@@1M", "::/files"); strings.Count(out, ".bin") < 10 {
		t.Errorf("files on the FAT partition: %s", out)
	}
	// The ext4 partition, cut out, passes a check.
	root := filepath.Join(t.TempDir(), "root")
	tool("dd", "if="+image.Raw, "of="+root, "bs=1M", "skip=65", "count=126", "status=none")
	boot := filepath.Join(t.TempDir(), "boot")
	tool("dd", "if="+image.Raw, "of="+boot, "bs=1M", "skip=1", "count=64", "status=none")
	tool("fsck.vfat", "-n", boot)
	tool("e2fsck", "-f", "-n", root)
	// What xz unpacks is the raw image.
	xz := exec.Command("xz", "-dc", image.XZ)
	out, err := xz.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := xz.Start(); err != nil {
		t.Fatal(err)
	}
	digest := sha256.New()
	n, err := io.Copy(digest, out)
	if err := errors.Join(err, xz.Wait()); err != nil {
		t.Fatal(err)
	}
	if sum := hex.EncodeToString(digest.Sum(nil)); n != image.Size || sum != image.SHA256 {
		t.Errorf("xz unpacks %d bytes, %s; want %d, %s", n, sum, image.Size, image.SHA256)
	}
	if list := tool("ls", dir); list != "disk.img\ndisk.img.xz\n" {
		t.Errorf("left in the directory: %q", list)
	}
}

func TestMakeFails(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx  context.Context
		opt  demoimage.Options
		want string
	}{
		"too small": {t.Context(), demoimage.Options{SizeMiB: 100}, "less than 128 MiB"},
		"cancelled": {cancelled, demoimage.Options{}, context.Canceled.Error()},
		"no files":  {t.Context(), demoimage.Options{From: t.TempDir()}, "too few readable files"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
			testtool.Need(t, "sfdisk", "apt-get install fdisk")
			dir := t.TempDir()
			_, err := demoimage.Make(tc.ctx, dir, tc.opt)
			var typed *demoimage.Error
			if !errors.As(err, &typed) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v; want one with %q", err, tc.want)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
