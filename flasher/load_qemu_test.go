package flasher_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// TestRealKernelOnTheBoard: kernel and initramfs are on the board, in QEMU's
// firmware device, from where the boot command takes them by qfw. What is left to
// load, the DTB, goes over the serial line.
func TestRealKernelOnTheBoard(t *testing.T) {
	t.Parallel()
	scratch := newRig(t, virtboard.ARM64, mib)
	dtb := filepath.Join(t.TempDir(), "board.dtb")
	if err := scratch.board.DumpDTB(t.Context(), dtb); err != nil {
		t.Fatal(err)
	}
	dir := bundleDir(t, virtboard.ARM64, debian.Bundle{DTB: dtb})
	onBoard := t.TempDir()
	for _, name := range []string{"kernel", "initramfs"} {
		if err := os.Rename(filepath.Join(dir, "data", name), filepath.Join(onBoard, name)); err != nil {
			t.Fatal(err)
		}
	}
	manifest := filepath.Join(dir, "manifest.yaml")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	at := debian.LoadAddresses(virtboard.ARM64)
	changed := regexp.MustCompile(`(?s)\n  kernel:.*\n  dtb:`).ReplaceAllString(string(text), "\n  dtb:")
	changed = strings.Replace(changed, `bootcmd: "`, `bootcmd: "qfw load `+at.Kernel+" "+at.Initramfs+"; ", 1)
	if err := os.WriteFile(manifest, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRigWith(t, 16*mib, virtboard.Config{Arch: virtboard.ARM64,
		QEMUArgs: []string{"-kernel", filepath.Join(onBoard, "kernel"), "-initrd", filepath.Join(onBoard, "initramfs")}})
	var log syncBuffer
	raw := testImage(2*mib + 77)
	res, err := r.flasher(t, dir, flasher.WithLoad(flasher.LoadYModem), flasher.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))).
		Flash(t.Context(), imageFile(t, "image.raw", raw))
	if err != nil {
		t.Fatal(err)
	}
	r.holds(t, raw)
	r.isOff(t)
	if res.SHA256 != sha256Hex(raw) || res.Board == "" || len(res.Attempts) > 0 {
		t.Errorf("result %+v", res)
	}
	if !strings.Contains(log.String(), "Loading into RAM over the console") || strings.Contains(r.console.String(), "tftpboot") || strings.Contains(r.console.String(), "BOOTP") {
		t.Errorf("U-Boot used its network; log:\n%s", log.String())
	}
}

// TestRealLoadByHTTP: a U-Boot with wget loads all 30 MB by it.
func TestRealLoadByHTTP(t *testing.T) {
	t.Parallel()
	image := testtool.WgetUBoot(t)
	r := newRigWith(t, 16*mib, virtboard.Config{Arch: virtboard.ARM64, UBoot: image})
	raw := testImage(2*mib + 77)
	res, err := r.flasher(t, bundleDir(t, virtboard.ARM64, debian.Bundle{}), flasher.WithLoad(flasher.LoadHTTP)).
		Flash(t.Context(), imageFile(t, "image.raw", raw))
	if err != nil {
		t.Fatal(err)
	}
	r.holds(t, raw)
	r.isOff(t)
	if console := r.console.String(); res.SHA256 != sha256Hex(raw) || strings.Contains(console, "tftpboot") || !strings.Contains(console, "Transfer Successful") {
		t.Errorf("result %+v", res)
	}
}
