package flashertest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Where the files of a simulated board's bundle are loaded, and what its disk is.
const (
	kernelAddress  = "0x40400000"
	initramAddress = "0x44000000"
	dtbAddress     = "0x48000000"
	diskName       = "mmcblk0"
	diskBus        = "4fb0000.mmc"
	diskModel      = "SIM064"
	secondBus      = "4f80000.mmc"
)

// WriteBundle writes a flasher bundle for the board into the directory dir, which
// it makes: manifest.yaml, data/kernel, data/initramfs and data/board.dtb. The
// files begin like a kernel, an initramfs and a DTB, as far as U-Boot and
// bundle.Lint look, and hold nothing else. The manifest's targets are "disk" (the
// default, /dev/mmcblk0), "emmc" (the same disk by its address in sysfs) and
// "none", which is on no board.
func (b *Board) WriteBundle(dir string) error {
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return fmt.Errorf("flashertest: %w", err)
	}
	files := map[string][]byte{
		filepath.Join(data, "kernel"):       b.kernel(),
		filepath.Join(data, "initramfs"):    cpio(),
		filepath.Join(data, "board.dtb"):    dtb(),
		filepath.Join(dir, "manifest.yaml"): []byte(b.manifest()),
	}
	for path, content := range files {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return fmt.Errorf("flashertest: %w", err)
		}
	}
	return nil
}

func (b *Board) bootCommand() string {
	if b.cfg.bootloader.ARM {
		return "bootz"
	}
	return "booti"
}

func (b *Board) manifest() string {
	var login strings.Builder
	if u := b.cfg.login.Username; u != "" {
		fmt.Fprintf(&login, "    username: %q\n", u)
	}
	if p := b.cfg.login.Password; p != "" {
		fmt.Fprintf(&login, "    password: %q\n", p)
	}
	return fmt.Sprintf(`apiVersion: jumpstarter.dev/v1alpha1
kind: FlashBundleManifest
metadata:
  name: simulated
spec:
  manufacturer: dutflash
  bootcmd: "setenv bootargs console=ttyS0; %s %s %s:%#x %s"
  shelltype: busybox
  login:
    login_prompt: "login:"
%s    prompt: %q
  default_target: disk
  targets:
    disk: /dev/%s
    emmc: "/sys/class/block#%s"
    none: /dev/nosuchdisk
  kernel:
    file: data/kernel
    address: %q
  initram:
    file: data/initramfs
    address: %q
  dtb:
    default: board
    address: %q
    variants:
      board:
        file: data/board.dtb
`, b.bootCommand(), kernelAddress, initramAddress, len(cpio()), dtbAddress, login.String(), strings.TrimSpace(b.cfg.login.Prompt),
		diskName, diskBus, kernelAddress, initramAddress, dtbAddress)
}

// kernel begins like an arm64 Image or a zImage. It is long enough for a transfer
// of several windows.
func (b *Board) kernel() []byte {
	k := bytes.Repeat([]byte("simulated kernel"), 8<<10)
	if b.cfg.bootloader.ARM {
		copy(k[0x24:], "\x18\x28\x6f\x01\x00\x00\x00\x00\x00\x00\x02\x00")
		return k
	}
	copy(k, "\x4d\x5a\x40\xfa")
	copy(k[8:], make([]byte, 48))
	copy(k[16:], "\x00\x00\x02\x00") // image_size
	copy(k[56:], "ARM\x64")
	return k
}

// cpio is an archive of no files, in the format of the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst.
func cpio() []byte {
	const end = "TRAILER!!!\x00"
	var b bytes.Buffer
	b.WriteString("070701")
	for field := range 13 {
		value := 0
		switch field {
		case 4: // links
			value = 1
		case 11: // length of the name
			value = len(end)
		}
		fmt.Fprintf(&b, "%08x", value)
	}
	b.WriteString(end)
	return append(b.Bytes(), make([]byte, 512-b.Len())...)
}

// dtb is a device tree that has an empty root (Devicetree Specification 0.4,
// chapter 5).
func dtb() []byte {
	be := binary.BigEndian
	const header, reserved, structure = 40, 16, 16
	b := be.AppendUint32(nil, 0xd00dfeed)
	for _, v := range []uint32{
		header + reserved + structure, // size of all
		header + reserved,             // offset of the structure block
		header + reserved + structure, // offset of the strings block, which is empty
		header,                        // offset of the memory reservations
		17, 16, 0, 0, structure,
	} {
		b = be.AppendUint32(b, v)
	}
	b = append(b, make([]byte, reserved)...)
	for _, token := range []uint32{1, 0, 2, 9} { // begin node, name "", end node, end
		b = be.AppendUint32(b, token)
	}
	return b
}
