package virtboard_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// TestLogin boots with U-Boot's own device tree to a login prompt with a
// password, and finds partitions by label.
func TestLogin(t *testing.T) {
	need(t)
	disk, other := newDisk(t, 64<<20), newDisk(t, 64<<20)
	partition(t, disk, "first")
	partition(t, other, "second")
	b := newBoard(t, virtboard.Config{Arch: virtboard.ARM, Disk: disk, ExtraDrives: []virtboard.Drive{{Path: other}}})
	dir := writeBundle(t, b, virtboard.ARM, debian.Login{Username: "root", Password: "it's $HOME"})
	serveTFTP(t, b.Network(), dir)
	term := boot(t, b, virtboard.ARM, dir, "${fdtcontroladdr}")
	term.expect("qemu-arm login: ")
	term.send("root\n")
	term.expect("Password: ")
	term.send("wrong\n")
	term.expect("Login incorrect")
	term.expect("login: ")
	term.send("root\n")
	term.expect("Password: ")
	term.send("it's $HOME\n")
	term.expect("# ")
	if out := term.must("id -un; tty; pwd"); !strings.Contains(out, "root\r\n/dev/ttyAMA0\r\n/root") {
		t.Errorf("shell: %q", out)
	}
	// A table that is written while Linux runs, as a flash does.
	out := term.must("ls -l /dev/disk/by-partlabel")
	if !strings.Contains(out, "first -> /dev/vda1\r\n") || !strings.Contains(out, "second -> /dev/vdb1\r\n") {
		t.Errorf("links by label: %q", out)
	}
	term.must("dd if=/dev/vdb of=/dev/vda bs=1M && partprobe /dev/vda")
	term.must("for i in $(seq 100); do [ -e /dev/disk/by-partlabel/first ] || break; sleep 0.1; done; [ $i != 100 ]")
	term.must("mke2fs -F /dev/vda1 && mount -t ext4 /dev/vda1 /mnt && umount /mnt")
	term.must("mkdosfs /dev/vda1 && mount -t vfat /dev/vda1 /mnt && umount /mnt")
}

// partition writes a table with one partition of that name.
func partition(t *testing.T, disk, name string) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd := exec.Command(testtool.Need(t, "sfdisk", "apt-get install fdisk"), "--quiet", disk)
	cmd.Stdin = strings.NewReader("label: gpt\nname=" + name + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
}
