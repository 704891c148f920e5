package virtboard_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/transport/tftp"
)

// software returns Debian's kernel and busybox, from the user's cache where they
// are there.
func software(tb testing.TB, arch virtboard.Arch) *debian.Software {
	tb.Helper()
	testtool.Need(tb, "apt-get", "a Debian system")
	cache, err := os.UserCacheDir()
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), 5*time.Minute)
	defer cancel()
	s, err := debian.Prepare(ctx, arch, filepath.Join(cache, "dutflash-virtboard"), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// serveTFTP serves the files of a bundle on port 69 of the board's network.
func serveTFTP(tb testing.TB, n *virtboard.Network, dir string) {
	tb.Helper()
	conn, err := n.ListenPacket(tb.Context(), "udp", ":69")
	if err != nil {
		tb.Fatal(err)
	}
	server, err := tftp.New()
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range []string{"kernel", "initramfs", "qemu-virt.dtb"} {
		f, err := tftp.FromPath(filepath.Join(dir, "data", name))
		if err == nil {
			err = server.Add("data/"+name, f)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(conn) })
	tb.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
}

// serveHTTP serves on port 80 of the board's network.
func serveHTTP(tb testing.TB, n *virtboard.Network, handler http.Handler) {
	tb.Helper()
	l, err := n.Listen(tb.Context(), "tcp", ":80")
	if err != nil {
		tb.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(l) })
	tb.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
}

// bundle writes a bundle for b into a new directory.
func writeBundle(tb testing.TB, b *virtboard.Board, arch virtboard.Arch, login debian.Login) string {
	tb.Helper()
	s := software(tb, arch)
	dir := tb.TempDir()
	dtb := filepath.Join(dir, "whole.dtb")
	if err := b.DumpDTB(tb.Context(), dtb); err != nil {
		tb.Fatal(err)
	}
	if err := s.WriteBundle(tb.Context(), dir, debian.Bundle{Login: login, DTB: dtb}); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// load has U-Boot fetch one file of the bundle and checks that all of it came.
func (term *terminal) load(address, dir, name string) {
	term.tb.Helper()
	st, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		term.tb.Fatal(err)
	}
	began := time.Now()
	out := term.run("tftpboot " + address + " " + name)
	if want := fmt.Sprintf("Bytes transferred = %d ", st.Size()); !strings.Contains(out, want) {
		term.tb.Fatalf("no %q from tftpboot:\n%s", want, out)
	}
	term.tb.Logf("tftp %s: %d bytes, %.2f s", name, st.Size(), time.Since(began).Seconds())
}

// boot goes from power on to the kernel's start.
func boot(tb testing.TB, b *virtboard.Board, arch virtboard.Arch, dir, dtb string) *terminal {
	tb.Helper()
	term := openTerminal(tb, b)
	began := time.Now()
	powerOn(tb, b)
	term.uboot()
	tb.Logf("u-boot prompt: %.2f s after power on", time.Since(began).Seconds())
	if out := term.run("setenv autoload no; setenv tftpwindowsize 8; dhcp; setenv serverip " + b.Network().Address().String()); !strings.Contains(out, "DHCP client bound") {
		tb.Fatalf("dhcp: %s", out)
	}
	at := debian.LoadAddresses(arch)
	term.load(at.Kernel, dir, "data/kernel")
	term.load(at.Initramfs, dir, "data/initramfs")
	if dtb == at.DTB {
		term.load(at.DTB, dir, "data/qemu-virt.dtb")
	}
	term.send(debian.BootCommand(arch, dtb) + "\n")
	return term
}

// sh runs a command in the board's shell and returns its output and exit status.
func (term *terminal) sh(command string) (string, string) {
	term.tb.Helper()
	term.send(command + "; echo MARK\"\"ER-$?-\n")
	out := term.expect("MARKER-")
	return out, term.expect("-")
}

// must runs a command in the board's shell that has to succeed.
func (term *terminal) must(command string) string {
	term.tb.Helper()
	out, status := term.sh(command)
	if status != "0" {
		term.tb.Fatalf("%s: exit status %s:\n%s", command, status, out)
	}
	return out
}

func TestLinuxToShell(t *testing.T) {
	arches(t, func(t *testing.T, arch virtboard.Arch) {
		need(t)
		disk, extra := newDisk(t, 64<<20), newDisk(t, 8<<20)
		b := newBoard(t, virtboard.Config{Arch: arch, Disk: disk, ExtraDrives: []virtboard.Drive{{Path: extra}}})
		dir := writeBundle(t, b, arch, debian.Login{})
		serveTFTP(t, b.Network(), dir)
		const size = 48 << 20
		serveHTTP(t, b.Network(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			io.CopyN(w, zeros{}, size)
		}))
		began := time.Now()
		term := boot(t, b, arch, dir, debian.LoadAddresses(arch).DTB)
		term.expect("Starting kernel")
		kernel := time.Now()
		term.expect("/ # ")
		t.Logf("kernel to shell: %.2f s; power on to shell: %.2f s", time.Since(kernel).Seconds(), time.Since(began).Seconds())

		if out := term.must("cat /sys/class/block/vda/size /sys/class/block/vdb/size"); !strings.Contains(out, "131072\r\n16384\r\n") {
			t.Errorf("sizes of vda and vdb: %q", out)
		}
		if out := term.must("ls -l /sys/class/block"); !strings.Contains(out, "a000000.virtio_mmio/virtio0/block/vda") {
			t.Errorf("address of vda: %q", out)
		}
		term.must("udhcpc -n -q -i eth0")
		if out := term.must("ip route; ip addr show eth0"); !strings.Contains(out, "default via 192.168.127.1") || !strings.Contains(out, "192.168.127.10/24") {
			t.Errorf("network: %q", out)
		}
		began = time.Now()
		out := term.must("wget -q -O - http://192.168.127.1/ | wc -c")
		if !strings.Contains(out, fmt.Sprint(size)) {
			t.Errorf("wget: %q", out)
		}
		t.Logf("http: %.1f MB/s", size/1e6/time.Since(began).Seconds())
		// What the board writes is in the disk file.
		term.must("echo written by the board | dd of=/dev/vda conv=sync,fsync")
		if err := b.Off(t.Context()); err != nil {
			t.Fatal(err)
		}
		written := make([]byte, 20)
		f, err := os.Open(disk)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := io.ReadFull(f, written); err != nil || string(written) != "written by the board" {
			t.Errorf("the disk begins with %q, %v", written, err)
		}
	})
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
