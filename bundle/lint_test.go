package bundle_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/internal/testtool"
)

// arm64Image is the header of an arm64 Image that takes size bytes of RAM.
func arm64Image(size uint64) string {
	b := make([]byte, 4096)
	binary.LittleEndian.PutUint64(b[16:], size)
	copy(b[0x38:], "ARM\x64")
	return string(b)
}

func zImage() string {
	b := make([]byte, 4096)
	binary.LittleEndian.PutUint32(b[0x24:], 0x016f2818)
	return string(b)
}

// run runs a tool that makes a file, and returns that file.
func run(t *testing.T, get, dir, out, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testtool.Need(t, name, get), args...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
	data, err := os.ReadFile(filepath.Join(dir, out))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// realDTB has the device tree compiler make a blob.
func realDTB(t *testing.T) string {
	t.Helper()
	dir := writeDir(t, t.TempDir(), map[string]string{"a.dts": "/dts-v1/;\n/ { compatible = \"example,board\"; chosen { }; };\n"})
	return run(t, "apt-get install device-tree-compiler", dir, "a.dtb", "dtc", "-O", "dtb", "-o", "a.dtb", "a.dts")
}

// realFIT has mkimage make a FIT with two configurations.
func realFIT(t *testing.T) string {
	t.Helper()
	dir := writeDir(t, t.TempDir(), map[string]string{"k": arm64Image(0x10000), "rd": strings.Repeat("initrd", 100000), "a.dtb": realDTB(t), "f.its": `/dts-v1/;
/ { description = "test";
  images {
    kernel { data = /incbin/("k"); type = "kernel"; arch = "arm64"; os = "linux"; compression = "none"; load = <0x80000>; entry = <0x80000>; };
    initrd { data = /incbin/("rd"); type = "ramdisk"; arch = "arm64"; os = "linux"; compression = "none"; };
    fdt-a { data = /incbin/("a.dtb"); type = "flat_dt"; arch = "arm64"; compression = "none"; };
  };
  configurations {
    default = "j784s4";
    j784s4 { kernel = "kernel"; ramdisk = "initrd"; fdt = "fdt-a"; };
    am69 { kernel = "kernel"; ramdisk = "initrd"; fdt = "fdt-a"; };
  };
};
`})
	return run(t, "apt-get install u-boot-tools", dir, "f.itb", "mkimage", "-f", "f.its", "f.itb")
}

// realRamdisk has mkimage put a header in front of an initramfs.
func realRamdisk(t *testing.T) string {
	t.Helper()
	dir := writeDir(t, t.TempDir(), map[string]string{"rd": cpio})
	return run(t, "apt-get install u-boot-tools", dir, "rd.u", "mkimage", "-A", "arm64", "-T", "ramdisk", "-C", "none", "-d", "rd", "rd.u")
}

const cpio = "070701 the rest of a cpio archive"

func TestLint(t *testing.T) {
	dtb, fit, ramdisk := realDTB(t), realFIT(t), realRamdisk(t)
	full := func(change map[string]string, pairs ...string) map[string]string {
		files := fullFiles(t)
		files["data/kernel"], files["data/initramfs"] = arm64Image(0x800000), ramdisk
		files["data/dtbs/plain.dtb"], files["data/dtbs/alternate.dtb"] = dtb, dtb
		text := strings.NewReplacer("0x83000000:0x100", "0x83000000", "      othercmd:\n        bootcmd: \"bootm\"\n", "").Replace(files["manifest.yaml"])
		files["manifest.yaml"] = strings.NewReplacer(pairs...).Replace(text)
		for name, text := range change {
			files[name] = text
		}
		return files
	}
	fitBundle := func(pairs ...string) map[string]string {
		files := fitFiles(t)
		files["manifest.yaml"], files["data/flasher.itb"] = strings.NewReplacer(pairs...).Replace(files["manifest.yaml"]), fit
		return files
	}
	tests := []struct {
		name  string
		files map[string]string
		want  []string // each in one finding; none at all where empty
	}{
		{"good arm64 bundle", full(nil), nil},
		{"good FIT bundle", fitBundle(), nil},
		{"FIT configuration", fitBundle("#am69", "#am68"), []string{`error: manifest.yaml: spec.dtb.variants.am69.bootcmd: data/flasher.itb has no configuration "am68", it has j784s4, am69`}},
		{"FIT image", fitBundle(":initrd", ":ramdisk"), []string{`has no image "ramdisk", it has kernel, initrd, fdt-a`}},
		{"FIT address", fitBundle("bootm 0x90000000#am69", "bootm 0x91000000#am69"), []string{"boots from 0x91000000, but the kernel is loaded to 0x90000000"}},
		{"FIT with booti", fitBundle("bootm 0x90000000#am69", "booti 0x90000000"), []string{"a FIT image, which booti does not boot; bootm does"}},
		{"arm64 Image with bootm", full(nil, "booti ", "bootm "), []string{"an arm64 Image, which bootm does not boot; booti or bootefi does"}},
		{"zImage with booti", full(map[string]string{"data/kernel": zImage()}), []string{"an ARM zImage, which booti does not boot; bootz does"}},
		{"compressed Image", full(map[string]string{"data/kernel": "\x1f\x8b\x08 and so on"}), []string{"kernel_comp_addr_r"}},
		{"pointer in place of the kernel", full(map[string]string{"data/kernel": "version https://example\noid sha256:12\n"}), []string{"large-file storage"}},
		{"raw initramfs without size", full(map[string]string{"data/initramfs": cpio}), []string{"must give its size: 0x83000000:0x21"}},
		{"raw initramfs with size", full(map[string]string{"data/initramfs": cpio}, " 0x83000000 ", " 0x83000000:0x21 "), nil},
		{"raw initramfs cut off", full(map[string]string{"data/initramfs": cpio}, " 0x83000000 ", " 0x83000000:0x20 "), []string{"cuts data/initramfs off after 0x20 bytes, it has 0x21"}},
		{"no initramfs at all", full(map[string]string{"data/initramfs": "something"}), []string{"not a cpio archive"}},
		{"uImage of another type", full(map[string]string{"data/initramfs": ramdisk[:30] + "\x02" + ramdisk[31:]}), []string{`type "kernel", not ramdisk`}},
		{"initramfs not passed on", full(nil, " 0x83000000 ", " - "), []string{"data/initramfs would be loaded in vain"}},
		{"initramfs elsewhere", full(nil, " 0x83000000 ", " 0x83800000 "), []string{"takes the initramfs at 0x83800000, but data/initramfs is loaded to 0x83000000"}},
		{"DTB elsewhere", full(nil, "0x84000000\"\n  default", "0x85000000\"\n  default"), []string{"takes the device tree at 0x85000000"}},
		{"DTB not passed on", full(nil, "0x83000000 0x84000000", "0x83000000"), []string{"takes no device tree"}},
		{"text as DTB", full(map[string]string{"data/dtbs/plain.dtb": "/dts-v1/;\n"}), []string{"a text file, not a device tree blob (magic d00dfeed)"}},
		{"DTB cut off", full(map[string]string{"data/dtbs/plain.dtb": dtb[:len(dtb)-4]}), []string{"is cut off"}},
		{"kernel over the initramfs", full(map[string]string{"data/kernel": arm64Image(0x1800000)}), []string{"the running kernel takes 0x82000000 to 0x837fffff"}},
		{"same base name", full(map[string]string{"data/other/kernel": "x", "data/dtbs/kernel": dtb}, "data/dtbs/alternate.dtb", "data/dtbs/kernel"), []string{"same base name as data/dtbs/kernel", "data/dtbs/alternate.dtb: no manifest uses it", "data/other/kernel: no manifest uses it"}},
		{"file name", full(map[string]string{"data/my initramfs": ramdisk}, "data/initramfs", "data/my initramfs"), []string{"U-Boot's command line would interpret", "data/initramfs: no manifest uses it"}},
		{"command of one's own", full(nil, "booti 0x82000000 0x83000000 0x84000000", "run my_boot"), []string{"not known here"}},
		{"FIT that U-Boot takes apart", map[string]string{"manifest.yaml": readTestdata(t, "manifests/ti-imxtract.yaml"), "data/flasher-fedora.itb": fit}, []string{
			"note: manifest.yaml: spec.dtb.variants.j784s4.bootcmd: \"unlz4 ", "note: manifest.yaml: spec.dtb.variants.custom.bootcmd: \"unlz4 "}},
		{"DTB that the boot command writes over", full(nil, "booti 0x82000000", "cp.b 0x90000000 84000000 1000; booti 0x82000000"), []string{
			"unpacks or moves what was loaded", "error: manifest.yaml: spec.bootcmd: \"cp.b 0x90000000 84000000 1000; booti 0x82000000 0x83000000 0x84000000\" writes over 0x84000000, so data/dtbs/plain.dtb would be loaded in vain",
			"writes over 0x84000000, so data/dtbs/alternate.dtb"}},
		{"kernel on the board already", map[string]string{"manifest.yaml": strings.NewReplacer("booti 0x82000000 - 0x84000000", "run boot_flasher",
			"  kernel:\n    file: data/kernel\n    address: \"0x82000000\"\n", "").Replace(smallManifest), "data/dtbs/a.dtb": dtb},
			[]string{"warning: manifest.yaml: spec.kernel: is missing, so the boot command must take a kernel that is on the board already", "not known here"}},
		{"no manufacturer", full(nil, "  manufacturer: Example Boards\n", ""), []string{"spec.manufacturer: is missing; Jumpstarter requires it"}},
		{"manifest with errors", full(nil, "default: plain", "default: none"), []string{`error: manifest.yaml: spec.dtb.default: line 30: "none" is not in variants`}},
		{"no manifest.yaml", map[string]string{"manifest-a.yaml": fullFiles(t)["manifest.yaml"]}, []string{"there is no manifest.yaml", "no such file", "no such file", "no such file", "no such file"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			found, err := bundle.Lint(t.Context(), writeDir(t, t.TempDir(), tc.files))
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tc.want {
				if !slices.ContainsFunc(found, func(f bundle.Finding) bool { return strings.Contains(f.String(), w) }) {
					t.Errorf("nothing says %q", w)
				}
			}
			unexpected := slices.DeleteFunc(slices.Clone(found), func(f bundle.Finding) bool {
				return slices.ContainsFunc(tc.want, func(w string) bool { return strings.Contains(f.String(), w) })
			})
			if len(unexpected) > 0 && (len(tc.want) == 0 || unexpected[0].Severity == bundle.SeverityError) {
				t.Errorf("unexpected: %v", unexpected)
			}
		})
	}
}

func TestLintOfAPulledBundle(t *testing.T) {
	host := startRegistry(t, nil)
	push(t, host, "b", "v1", append(smallBundle(), testLayer{title: "data/unused", data: []byte("x")})...)
	found, err := bundle.Lint(t.Context(), host+"/b:v1", bundle.WithCacheDir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range found {
		b.WriteString(f.String() + "\n")
	}
	for _, want := range []string{"note: data/unused: no manifest uses it", "data/kernel is a text file, not a kernel", "data/dtbs/a.dtb is a text file, not a device tree blob"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &b)
		}
	}
}

func TestLintWithOverrides(t *testing.T) {
	mine := writeDir(t, t.TempDir(), map[string]string{"Image": arm64Image(0x1000)})
	files := fitFiles(t)
	files["data/flasher.itb"], files["small.yaml"] = realFIT(t), "kind: Other\n"
	base := open(t, writeDir(t, t.TempDir(), files))
	b, err := base.With(t.Context(), bundle.Overrides{Kernel: filepath.Join(mine, "Image"), Variant: "am69"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	found, err := b.Lint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(found, func(f bundle.Finding) bool {
		return strings.Contains(f.String(), "override/kernel/Image is an arm64 Image, which bootm does not boot")
	}) {
		t.Errorf("got %v", found)
	}
}

func readTestdata(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
