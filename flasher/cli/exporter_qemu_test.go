//go:build linux

package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dutflash/dutflash/flasher/cli"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// exporterFile has the shape of the document that the project was founded on, with a
// console and a switch that QEMU has: its monitor is told by socat, in a Shell driver's
// two forms of a method.
const exporterFile = `apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
export:
  storage:
    type: "jumpstarter_driver_flashers.driver.TIJ784S4Flasher"
    config: {flasher_bundle: %[1]s/bundle, cache_dir: %[1]s/cache, tftp_dir: %[1]s/tftp}
    children:
      serial:
        ref: "serial"
      power:
        ref: "power"
      tftp:
        type: jumpstarter_driver_tftp.driver.Tftp
        config: {host: 127.0.0.1, advertised_host: 10.0.2.2}
  serial:
    type: "jumpstarter_driver_network.driver.UnixNetwork"
    config: {path: %[1]s/console}
  power:
    type: jumpstarter_driver_shell.driver.Shell
    config:
      shell: [sh, -c]
      cwd: %[1]s
      methods:
        "on": 'echo "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"cont\"}" | socat -t1 - UNIX-CONNECT:${QMP:-qmp}'
        "off":
          command: 'echo "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"stop\"}{\"execute\":\"system_reset\"}" | socat -t1 - UNIX-CONNECT:qmp'
          description: off
`

const execFile = `boards:
  virtual:
    flasher_bundle: %[1]s/bundle
    cache_dir: %[1]s/cache
    server_address: 10.0.2.2
    bind_address: 127.0.0.1
    cycle_wait: 100ms
    load: http
    serial: "exec:socat - UNIX-CONNECT:%[1]s/console"
    power: {type: qemu, qmp: "unix:%[1]s/qmp"}
`

// TestFilesOnQEMU flashes a board with real U-Boot and Linux from an exporter file, and
// then, by what is on the disk already, from a board file with a command as its console.
func TestFilesOnQEMU(t *testing.T) {
	emulator := testtool.Need(t, "qemu-system-aarch64", "apt-get install qemu-system-arm")
	testtool.Need(t, "socat", "apt-get install socat")
	uboot := testtool.WgetUBoot(t)
	testtool.Need(t, "apt-get", "a Debian or Ubuntu system")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	software, err := debian.Prepare(ctx, virtboard.ARM64, filepath.Join(cache, "dutflash-virtboard"), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "dutflash-cli-") // short enough for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	image := bytes.Repeat([]byte(fmt.Sprintf("%4096d", 7)), 2048)
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		software.WriteBundle(ctx, file("bundle"), debian.Bundle{}),
		os.WriteFile(file("disk"), make([]byte, 32<<20), 0o600),
		os.WriteFile(file("image.raw"), image, 0o600),
		os.WriteFile(file("exporter.yaml"), fmt.Appendf(nil, exporterFile, dir), 0o600),
		os.WriteFile(file("boards.yaml"), fmt.Appendf(nil, execFile, dir), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	qemu := exec.CommandContext(ctx, emulator, "-S", "-M", "virt", "-cpu", "cortex-a57", "-m", "1024", "-display", "none", "-monitor", "none",
		"-bios", uboot, "-qmp", "unix:"+file("qmp")+",server=on,wait=off", "-chardev", "socket,id=c,path="+file("console")+",server=on,wait=off", "-serial", "chardev:c",
		"-netdev", "user,id=n", "-device", "virtio-net-device,netdev=n",
		"-drive", "if=none,id=d,format=raw,file="+file("disk"), "-device", "virtio-blk-device,drive=d")
	qemu.Stderr = t.Output()
	if err := qemu.Start(); err != nil {
		t.Fatal(err)
	}
	defer qemu.Wait()
	defer qemu.Process.Kill()
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		if _, err := os.Stat(file("qmp")); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	for _, tc := range []struct{ name, boards, says string }{
		{"exporter file", "exporter.yaml", "8388608 bytes, 8388608 written"},
		{"command as console", "boards.yaml", "8388608 bytes, 0 written"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := cli.New()
			cmd.SetArgs([]string{"flash", file("image.raw"), "--load", "http", "--retries", "0", "--config", file(tc.boards)})
			cmd.SetOut(&out)
			cmd.SetErr(t.Output())
			if err := cmd.ExecuteContext(ctx); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), tc.says) {
				t.Errorf("%q is not in %s", tc.says, out.String())
			}
			disk, err := os.ReadFile(file("disk"))
			if err != nil || !bytes.Equal(disk[:len(image)], image) {
				t.Errorf("the disk does not hold the image (%v)", err)
			}
		})
	}
}
