package hardware

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// TestMain gives CI a board where there is none on the desk: QEMU with real U-Boot,
// behind a unix socket as its serial line, with its monitor as the power switch,
// and with QEMU's own TFTP server as the daemon that runs already.
func TestMain(m *testing.M) {
	if os.Getenv("DUTFLASH_REQUIRE_TOOLS") == "" || os.Getenv("DUTFLASH_BOARDS") != "" {
		os.Exit(m.Run())
	}
	code, err := withVirtualBoard(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "virtual board:", err)
		code = 1
	}
	os.Exit(code)
}

const boards = `boards:
  virtual:
    flasher_bundle: %[1]s/bundle
    cache_dir: %[1]s/cache
    tftp_dir: %[1]s/tftp
    server_address: 10.0.2.2
    bind_address: 127.0.0.1
    cycle_wait: 100ms
    serial: unix://%[1]s/console
    power: {type: qemu, qmp: "unix:%[1]s/qmp"}
`

func withVirtualBoard(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "dutflash-hardware-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cache, err := os.UserCacheDir()
	if err != nil {
		return 0, err
	}
	software, err := debian.Prepare(ctx, virtboard.ARM64, filepath.Join(cache, "dutflash-virtboard"), nil)
	if err != nil {
		return 0, err
	}
	disk, image, file := filepath.Join(dir, "disk.img"), filepath.Join(dir, "image.raw"), filepath.Join(dir, "boards.yaml")
	if err := errors.Join(
		software.WriteBundle(ctx, filepath.Join(dir, "bundle"), debian.Bundle{}),
		os.Mkdir(filepath.Join(dir, "tftp"), 0o755),
		os.WriteFile(disk, make([]byte, 32<<20), 0o600),
		os.WriteFile(image, []byte(fmt.Sprintf("%8388608d", 1)), 0o600),
		os.WriteFile(file, fmt.Appendf(nil, boards, dir), 0o600),
		os.Setenv("DUTFLASH_BOARDS", file), os.Setenv("DUTFLASH_IMAGE", image),
	); err != nil {
		return 0, err
	}
	qemu := exec.CommandContext(ctx, "qemu-system-aarch64", "-S", "-M", "virt", "-cpu", "cortex-a57", "-m", "1024", "-display", "none", "-monitor", "none",
		"-bios", "/usr/lib/u-boot/qemu_arm64/u-boot.bin", "-qmp", "unix:"+dir+"/qmp,server=on,wait=off",
		"-chardev", "socket,id=c,path="+dir+"/console,server=on,wait=off", "-serial", "chardev:c",
		"-netdev", "user,id=n,tftp="+dir+"/tftp", "-device", "virtio-net-device,netdev=n",
		"-drive", "if=none,id=d,format=raw,file="+disk, "-device", "virtio-blk-device,drive=d")
	qemu.Stderr = os.Stderr
	if err := qemu.Start(); err != nil {
		return 0, err
	}
	defer qemu.Wait()
	defer qemu.Process.Kill()
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		if _, err := os.Stat(dir + "/qmp"); err == nil {
			return run(), nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
}
