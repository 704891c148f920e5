package flasher_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
)

// dtbBundle is a bundle directory whose device tree is loaded over the network.
func dtbBundle(t *testing.T, r *rig, arch virtboard.Arch, b debian.Bundle) string {
	t.Helper()
	b.DTB = filepath.Join(t.TempDir(), "board.dtb")
	if err := r.board.DumpDTB(t.Context(), b.DTB); err != nil {
		t.Fatal(err)
	}
	return bundleDir(t, arch, b)
}

// editManifest reads the manifest of a bundle directory, has it changed, and
// writes it under a name of its own.
func editManifest(t *testing.T, dir, name string, edit func(m *bundle.Manifest)) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "manifest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := bundle.ParseManifest("manifest.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	edit(m)
	if data, err = m.Encode(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// otherModel writes a device tree that differs in the board's model, with the
// device tree compiler's own tool.
func otherModel(t *testing.T, dtb, to, model string) {
	t.Helper()
	fdtput := testtool.Need(t, "fdtput", "apt-get install device-tree-compiler")
	data, err := os.ReadFile(dtb)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), fdtput, "-t", "s", to, "/", "model", model).CombinedOutput(); err != nil {
		t.Fatalf("fdtput: %v\n%s", err, out)
	}
}

// run runs a tool for its output.
func run(t *testing.T, name, get string, args ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), testtool.Need(t, name, get), args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out
}

// evidence prints what tells one boot from another: the kernel's build, the
// boot command, the device tree, the initramfs.
const evidence = "uname -v; cat /proc/cmdline; tr '\\0' '\\n' </proc/device-tree/model; cat /etc/marker 2>/dev/null || true"

// proved boots the board's shell and returns its evidence.
func proved(t *testing.T, f *flasher.Flasher) string {
	t.Helper()
	s, err := f.BusyboxShell(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if out, err := s.Run(t.Context(), "echo $((6 * 7))"); err != nil || strings.TrimSpace(out) != "42" {
		t.Errorf("the shell computes %q, %v", out, err)
	}
	out, err := s.Run(t.Context(), evidence)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestBundleOfCreate boots both boards from what Create and Push make: from the
// layout as it is, and from the same bundle in the CNCF distribution registry.
func TestBundleOfCreate(t *testing.T) {
	t.Parallel()
	eachArch(t, func(t *testing.T, arch virtboard.Arch) {
		r := newRig(t, arch, 16*mib)
		dir := dtbBundle(t, r, arch, debian.Bundle{Login: debian.Login{Username: "root", Password: "let me in"}})
		layout := filepath.Join(t.TempDir(), "bundle.tar")
		digest, err := bundle.Create(t.Context(), dir, layout)
		if err != nil {
			t.Fatal(err)
		}
		if arch == virtboard.ARM64 { // the other board boots the same once, below
			if out := proved(t, r.flasher(t, layout)); !strings.Contains(out, "console="+debian.Console) {
				t.Errorf("the shell is another one:\n%s", out)
			}
		}
		ref := startDockerRegistry(t) + "/boards/virt:v1"
		if pushed, err := bundle.Push(t.Context(), dir, ref); err != nil || pushed != digest {
			t.Fatalf("pushed %s, %v; the layout is %s", pushed, err, digest)
		}
		raw := testImage(8*mib + 77)
		res, err := r.flasher(t, ref).Flash(t.Context(), imageFile(t, "image.raw", raw))
		if err != nil {
			t.Fatal(err)
		}
		r.holds(t, raw)
		if res.BundleDigest != digest || res.SHA256 != sha256Hex(raw) {
			t.Errorf("result %+v; the bundle is %s", res, digest)
		}
		if len(res.Warnings) > 0 {
			t.Errorf("warnings: %q", res.Warnings)
		}
	})
}

// fitSource describes a FIT with a kernel, an initramfs and two configurations
// that differ in their device tree.
const fitSource = `/dts-v1/;
/ {
	description = "dutflash test";
	#address-cells = <1>;
	images {
		kernel {
			data = /incbin/("%[1]s/kernel"); type = "kernel"; arch = "%[2]s"; os = "linux"; compression = "none";
			load = <%[3]s>; entry = <%[3]s>; hash-1 { algo = "crc32"; };
		};
		initrd {
			data = /incbin/("%[1]s/initramfs.cpio.gz"); type = "ramdisk"; arch = "%[2]s"; os = "linux"; compression = "none";
			hash-1 { algo = "sha256"; };
		};
		fdt-first {
			data = /incbin/("%[1]s/first.dtb"); type = "flat_dt"; arch = "%[2]s"; compression = "none"; load = <%[4]s>;
			hash-1 { algo = "crc32"; };
		};
		fdt-second {
			data = /incbin/("%[1]s/second.dtb"); type = "flat_dt"; arch = "%[2]s"; compression = "none"; load = <%[4]s>;
			hash-1 { algo = "crc32"; };
		};
	};
	configurations {
		default = "conf-first";
		conf-first { kernel = "kernel"; ramdisk = "initrd"; fdt = "fdt-first"; };
		conf-second { kernel = "kernel"; ramdisk = "initrd"; fdt = "fdt-second"; };
	};
};
`

// fitBundle turns a bundle of single files into one with a FIT of the real
// mkimage, whose manifest has variants that only change the boot command.
func fitBundle(t *testing.T, arch virtboard.Arch, from string) string {
	t.Helper()
	parts, dir := t.TempDir(), t.TempDir()
	data := filepath.Join(from, "data")
	initramfs, err := os.ReadFile(filepath.Join(data, "initramfs"))
	if err != nil {
		t.Fatal(err)
	}
	at := debian.LoadAddresses(arch)
	source := fmt.Sprintf(fitSource, parts, arch, at.Kernel, at.DTB)
	for name, content := range map[string][]byte{
		"initramfs.cpio.gz": initramfs[64:], // without U-Boot's legacy header
		"flasher.its":       []byte(source),
	} {
		if err := os.WriteFile(filepath.Join(parts, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(data, "kernel"), filepath.Join(parts, "kernel")); err != nil {
		t.Fatal(err)
	}
	dtb := filepath.Join(data, "qemu-virt.dtb")
	otherModel(t, dtb, filepath.Join(parts, "first.dtb"), "model of conf-first")
	otherModel(t, dtb, filepath.Join(parts, "second.dtb"), "model of conf-second")
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "mkimage", "apt-get install u-boot-tools", "-f", filepath.Join(parts, "flasher.its"), filepath.Join(dir, "data", "flasher.itb"))

	const fit = "0x50000000"
	args := "setenv bootargs console=" + debian.Console + "; bootm "
	manifest := &bundle.Manifest{Name: "qemu-fit", Spec: bundle.Spec{
		BootCmd: args + fit, DefaultTarget: "disk", Targets: map[string]string{"disk": "/dev/vda"},
		Login:            bundle.Login{Type: "busybox", LoginPrompt: "login:", Prompt: "#"},
		PreflashCommands: []string{evidence},
		Kernel:           &bundle.Artefact{File: "data/flasher.itb", Address: fit},
		DTB: &bundle.DTB{Default: "first", Address: bundle.Address(at.DTB), Variants: map[string]bundle.Variant{
			"first":  {BootCmd: args + fit + "#conf-first"},
			"second": {BootCmd: "setenv loadaddr " + fit + "; " + args + "${loadaddr}#conf-second"},
			// For a device tree of one's own, as Jumpstarter's bundles have it.
			"custom": {BootCmd: args + fit + ":kernel " + fit + ":initrd " + at.DTB},
			"uboot":  {BootCmd: args + fit + ":kernel " + fit + ":initrd ${fdtcontroladdr}"},
		}},
	}}
	text, err := manifest.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestFITBundle boots each configuration of a FIT: the bundle has no device tree
// of its own, and its variants only change the boot command.
func TestFITBundle(t *testing.T) {
	t.Parallel()
	eachArch(t, func(t *testing.T, arch virtboard.Arch) {
		testtool.Need(t, "mkimage", "apt-get install u-boot-tools")
		r := newRig(t, arch, 16*mib)
		dir := fitBundle(t, arch, dtbBundle(t, r, arch, debian.Bundle{}))
		layout := filepath.Join(t.TempDir(), "layout")
		if _, err := bundle.Create(t.Context(), dir, layout); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct{ variant, model string }{
			{"", "model of conf-first"}, {"uboot", "linux,dummy-virt"},
		} {
			if arch != virtboard.ARM64 {
				continue // the flash below boots one of them
			}
			t.Run("variant "+cmp.Or(tc.variant, "default"), func(t *testing.T) {
				out := proved(t, r.flasher(t, layout, flasher.UseDTBVariant(tc.variant)))
				if !strings.Contains(out, tc.model+"\n") {
					t.Errorf("no %q in\n%s", tc.model, out)
				}
			})
		}
		t.Run("flash with a variant", func(t *testing.T) {
			raw := testImage(4*mib + 1)
			before := len(r.console.String())
			if _, err := r.flasher(t, layout, flasher.UseDTBVariant("second")).Flash(t.Context(), imageFile(t, "image.raw", raw)); err != nil {
				t.Fatal(err)
			}
			r.holds(t, raw)
			if !strings.Contains(r.console.String()[before:], "model of conf-second") {
				t.Error("the flash ran under another device tree")
			}
		})
		if arch != virtboard.ARM64 {
			return
		}
		t.Run("device tree of one's own", func(t *testing.T) {
			own := filepath.Join(t.TempDir(), "own.dtb")
			if err := r.board.DumpDTB(t.Context(), own+".dump"); err != nil {
				t.Fatal(err)
			}
			otherModel(t, own+".dump", own, "model of one's own")
			out := proved(t, r.flasher(t, layout, flasher.UseDTBVariant("custom"), flasher.UseDTB(own)))
			if !strings.Contains(out, "model of one's own\n") {
				t.Errorf("not in\n%s", out)
			}
		})
	})
}
