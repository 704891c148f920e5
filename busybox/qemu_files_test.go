//go:build unix

package busybox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/internal/virtboard"
)

func boardTools(t *testing.T, s *busybox.Shell, arch virtboard.Arch) {
	tools, err := s.Tools(ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	if !tools.DDInput["direct"] || !tools.DDOutput["seek_bytes"] || !tools.DDConv["fsync"] || tools.CPUs != 1 || tools.Memory < 64<<20 {
		t.Errorf("%+v", tools)
	}
	if err := tools.Need("wget", "udhcpc", "blkdiscard", "sha256sum"); err != nil {
		t.Error(err)
	}
	if err := tools.Need("curl"); !errors.Is(err, busybox.ErrNoTool) {
		t.Errorf("curl: %v", err)
	}
	want := map[virtboard.Arch]string{virtboard.ARM64: "aarch64", virtboard.ARM: "armv7l"}[arch]
	if !strings.HasSuffix(tools.Kernel, want) || !strings.HasPrefix(tools.Busybox, "BusyBox v1.") {
		t.Errorf("kernel %q, busybox %q", tools.Kernel, tools.Busybox)
	}
	for _, target := range []string{"/dev/vda", "/sys/class/block#a000000.virtio_mmio"} {
		d, err := s.BlockDevice(ctx(t), target)
		if err != nil || d.Path != "/dev/vda" || d.Size != 64<<20 || d.CheckTarget(64<<20) != nil {
			t.Errorf("%s: %+v, %v", target, d, err)
		}
	}
	if _, err := s.BlockDevice(ctx(t), "/dev/mmcblk1"); !errors.Is(err, busybox.ErrNoDevice) || !strings.Contains(err.Error(), "/dev/vda") {
		t.Errorf("a target that is not there: %v", err)
	}
	run(t, s, "mke2fs -F /dev/vda >/dev/null 2>&1 && mount -t ext4 /dev/vda /mnt")
	if d, err := s.BlockDevice(ctx(t), "/dev/vda"); err != nil || !errors.Is(d.CheckTarget(1), busybox.ErrInUse) {
		t.Errorf("a mounted target: %+v, %v", d, err)
	}
	if _, err := s.Run(ctx(t), "dd if=/dev/zero of=/mnt/full bs=1M count=100"); !errors.Is(err, busybox.ErrNoSpace) {
		t.Errorf("a full disk: %v", err)
	}
	run(t, s, "umount /mnt")
}

func boardFiles(t *testing.T, s *busybox.Shell) {
	data, began := noise(20_000), time.Now()
	long, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	if err := s.Upload(long, "/tmp/a file", data); err != nil {
		t.Fatal(err)
	}
	t.Logf("upload %.1f KB/s", float64(len(data))/1e3/time.Since(began).Seconds())
	got, err := s.Download(long, "/tmp/a file")
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func boardHTTP(t *testing.T, b *board, s *busybox.Shell) {
	l, err := b.Network().Listen(t.Context(), "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	data := noise(1 << 20)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			w.Write(data)
		case "/script":
			io.WriteString(w, "echo \"<$1>\"\nexit 6\n")
		default:
			http.NotFound(w, r)
		}
	})}
	var serving sync.WaitGroup
	serving.Go(func() { srv.Serve(l) })
	defer serving.Wait()
	defer srv.Close()
	a, err := s.Udhcpc(ctx(t), "")
	if err != nil || !a.IP.IsValid() || a.Interface == "" {
		t.Fatalf("udhcpc: %+v, %v", a, err)
	}
	if err := s.SetAddress(ctx(t), a); err != nil {
		t.Errorf("set the same address again: %v", err)
	}
	if err := s.SetClock(ctx(t), time.Now()); err != nil {
		t.Error(err)
	}
	url := "http://" + b.Network().Address().String()
	if err := s.Fetch(ctx(t), url+"/file", "/tmp/fetched"); err != nil {
		t.Fatal(err)
	}
	if sum := run(t, s, "wc -c </tmp/fetched"); strings.TrimSpace(sum) != fmt.Sprint(len(data)) {
		t.Errorf("fetched %s bytes", sum)
	}
	if err := s.Fetch(ctx(t), url+"/none", "/tmp/none"); !errors.Is(err, busybox.ErrFetch) {
		t.Errorf("a file that is not there: %v", err)
	}
	var out bytes.Buffer
	if err := s.Script(ctx(t), url+"/script", func(b []byte) { out.Write(b) }, "a b"); status(err) != 6 || out.String() != "<a b>\n" {
		t.Errorf("script: %q, %v", out.String(), err)
	}
}
