package flasher_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/uboot"
)

// withMarker adds /etc/marker to an initramfs, by the real cpio and mkimage: the
// kernel unpacks archives that stand behind each other.
func withMarker(t *testing.T, arch virtboard.Arch, initramfs, to, text string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc", "marker"), []byte(text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), testtool.Need(t, "cpio", "apt-get install cpio"), "-o", "-H", "newc", "--quiet")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("etc\netc/marker\n")
	archive, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(initramfs)
	if err != nil {
		t.Fatal(err)
	}
	var both bytes.Buffer
	both.Write(packed[64:]) // without U-Boot's legacy header
	z := gzip.NewWriter(&both)
	z.Write(archive)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	payload := filepath.Join(dir, "payload")
	if err := os.WriteFile(payload, both.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "mkimage", "apt-get install u-boot-tools", "-A", string(arch), "-O", "linux", "-T", "ramdisk", "-C", "none", "-d", payload, to)
}

// overrideCase is one override and what proves it.
type overrideCase struct {
	name string
	opt  flasher.Option
	want string // in the evidence
	dir  string // of another bundle than that of the test
	// What the bootloader shell serves in place of the bundle's: the place in
	// Files, the file's content, and the address to load it to; or, where
	// files stay, what the boot command has.
	file    int
	from    string
	address string
	bootCmd string
}

// TestOverrides uses a kernel, an initramfs, a device tree, a variant and a
// manifest in place of those that the bundle would boot with, each alone, in a
// flash and in both shells. Linux itself says which of them it was booted with.
func TestOverrides(t *testing.T) {
	t.Parallel()
	eachArch(t, func(t *testing.T, arch virtboard.Arch) {
		testtool.Need(t, "mkimage", "apt-get install u-boot-tools")
		r := newRig(t, arch, 16*mib)
		dir := dtbBundle(t, r, arch, debian.Bundle{Preflash: []string{evidence}})
		data, own, at := filepath.Join(dir, "data"), t.TempDir(), debian.LoadAddresses(arch)

		dtb := filepath.Join(data, "qemu-virt.dtb")
		otherModel(t, dtb, filepath.Join(data, "second.dtb"), "model of the variant")
		editManifest(t, dir, "manifest.yaml", func(m *bundle.Manifest) {
			m.Spec.DTB.Variants["second"] = bundle.Variant{File: "data/second.dtb"}
		})
		editManifest(t, dir, "other.yaml", func(m *bundle.Manifest) {
			m.Spec.BootCmd = strings.Replace(m.Spec.BootCmd, "console=", "from=the-other-manifest console=", 1)
		})
		otherModel(t, dtb, filepath.Join(own, "own.dtb"), "model of the file")
		withMarker(t, arch, filepath.Join(data, "initramfs"), filepath.Join(own, "own-initramfs"), "marker of the initramfs")
		srv := httptest.NewServer(http.FileServer(http.Dir(own)))
		defer srv.Close()

		cases := []overrideCase{
			{name: "UseInitram", opt: flasher.UseInitram(srv.URL + "/own-initramfs"), want: "marker of the initramfs", file: 1, from: filepath.Join(own, "own-initramfs"), address: at.Initramfs},
			{name: "UseDTB", opt: flasher.UseDTB(filepath.Join(own, "own.dtb")), want: "model of the file", file: 2, from: filepath.Join(own, "own.dtb"), address: at.DTB},
			{name: "UseDTBVariant", opt: flasher.UseDTBVariant("second"), want: "model of the variant", file: 2, from: filepath.Join(data, "second.dtb"), address: at.DTB},
			{name: "UseManifest", opt: flasher.UseManifest("other.yaml"), want: "from=the-other-manifest", bootCmd: "from=the-other-manifest"},
		}
		cases = append(cases, useKernel(t, arch, dir, own))
		plain := proved(t, r.flasher(t, dir))
		for _, tc := range cases {
			if tc.dir == "" && strings.Contains(plain, tc.want) {
				t.Fatalf("%s: %q would prove nothing: it is there without the override\n%s", tc.name, tc.want, plain)
			}
			if arch != virtboard.ARM64 && tc.name != "UseKernel" && tc.name != "UseDTB" {
				continue // each boot takes half a minute, and the rest is the same
			}
			t.Run(tc.name, func(t *testing.T) {
				f := r.flasher(t, cmp.Or(tc.dir, dir), tc.opt)
				// Each boot takes ten seconds: what concerns the boot command is
				// flashed with, the rest is looked at from the shell, and the
				// kernel goes both ways.
				flashes := tc.name == "UseManifest" || tc.name == "UseDTB" || tc.name == "UseKernel"
				if arch != virtboard.ARM64 || !flashes || tc.name == "UseKernel" {
					t.Run("busybox shell", func(t *testing.T) {
						if out := proved(t, f); !strings.Contains(out, tc.want) {
							t.Errorf("no %q in\n%s", tc.want, out)
						}
					})
				}
				if arch != virtboard.ARM64 {
					return
				}
				t.Run("bootloader shell", func(t *testing.T) { tc.bootloader(t, r, f) })
				if !flashes {
					return
				}
				t.Run("flash", func(t *testing.T) {
					raw := testImage(2*mib + 1)
					before := len(r.console.String())
					if _, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw)); err != nil {
						t.Fatal(err)
					}
					r.holds(t, raw)
					if !strings.Contains(r.console.String()[before:], tc.want) {
						t.Errorf("the flash ran without it: no %q on the console", tc.want)
					}
				})
			})
		}
		if arch != virtboard.ARM64 {
			return
		}
		t.Run("another bundle for one flash", func(t *testing.T) {
			other := filepath.Join(t.TempDir(), "other.tar")
			otherDir := bundleDir(t, arch, debian.Bundle{Preflash: []string{evidence}})
			editManifest(t, otherDir, "manifest.yaml", func(m *bundle.Manifest) {
				m.Spec.BootCmd = strings.Replace(m.Spec.BootCmd, "console=", "from=the-other-bundle console=", 1)
			})
			digest, err := bundle.Create(t.Context(), otherDir, other)
			if err != nil {
				t.Fatal(err)
			}
			f, raw, before := r.flasher(t, dir), testImage(2*mib+2), len(r.console.String())
			res, err := f.Flash(t.Context(), imageFile(t, "image.raw", raw), flasher.WithBundle(other))
			if err != nil {
				t.Fatal(err)
			}
			r.holds(t, raw)
			if !strings.Contains(r.console.String()[before:], "from=the-other-bundle") || res.BundleDigest != digest || res.Bundle != other {
				t.Errorf("the flash did not use it: %+v", res)
			}
			s, err := f.BootloaderShell(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if strings.Contains(s.BootCommand(), "from=the-other-bundle") {
				t.Errorf("it is still used after the flash: %q", s.BootCommand())
			}
		})
	})
}

// useKernel has a kernel that says another build than the bundle's. A zImage is
// packed, so that its text cannot be changed: there the bundle's would not start.
func useKernel(t *testing.T, arch virtboard.Arch, dir, own string) overrideCase {
	t.Helper()
	kernel, err := os.ReadFile(filepath.Join(dir, "data", "kernel"))
	if err != nil {
		t.Fatal(err)
	}
	tc := overrideCase{name: "UseKernel", from: filepath.Join(own, "own-kernel"), address: debian.LoadAddresses(arch).Kernel, want: "#9 SMP"}
	build := []byte("#1 SMP")
	if arch == virtboard.ARM {
		tc.want, tc.dir = string(build), t.TempDir()
		if err := os.CopyFS(tc.dir, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tc.dir, "data", "kernel"), []byte("not a kernel"), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Contains(kernel, build) {
		t.Fatalf("the kernel does not say %q, so UseKernel would not be tested", build)
	} else {
		kernel = bytes.ReplaceAll(kernel, build, []byte(tc.want))
	}
	if err := os.WriteFile(tc.from, kernel, 0o600); err != nil {
		t.Fatal(err)
	}
	tc.opt = flasher.UseKernel(tc.from)
	return tc
}

// bootloader looks at what is served at U-Boot's prompt, and loads it.
func (tc overrideCase) bootloader(t *testing.T, r *rig, f *flasher.Flasher) {
	s, err := f.BootloaderShell(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if !strings.Contains(s.BootCommand(), tc.bootCmd) {
		t.Errorf("boot command %q, want %q in it", s.BootCommand(), tc.bootCmd)
	}
	if tc.from == "" {
		return
	}
	content, err := os.ReadFile(tc.from)
	if err != nil {
		t.Fatal(err)
	}
	if name := s.Files()[tc.file]; name != filepath.Base(tc.from) {
		t.Errorf("%q is served, want %q", name, filepath.Base(tc.from))
	}
	n, err := s.DHCP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n.Server = r.board.Network().Address()
	if err := s.SetNetwork(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TFTPWindow(t.Context(), 16, 1468); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TFTPBoot(t.Context(), uboot.File{Name: s.Files()[tc.file], Address: tc.address,
		Size: int64(len(content)), CRC32: crc32.ChecksumIEEE(content), CheckCRC: true}); err != nil {
		t.Error(err)
	}
}

// TestOverridesThatCannotWork are refused before the board's power is touched.
func TestOverridesThatCannotWork(t *testing.T) {
	t.Parallel()
	r := newRig(t, virtboard.ARM64, 16*mib)
	dir := dtbBundle(t, r, virtboard.ARM64, debian.Bundle{})
	own := imageFile(t, "own", []byte("content"))
	for _, tc := range []struct {
		name string
		opts []flasher.Option
		is   error
	}{
		{"kernel that is not there", []flasher.Option{flasher.UseKernel(own + "x")}, bundle.ErrNotFound},
		{"unknown variant", []flasher.Option{flasher.UseDTBVariant("none")}, bundle.ErrUnknownVariant},
		{"unknown manifest", []flasher.Option{flasher.UseManifest("none.yaml")}, bundle.ErrNoManifest},
		{"DTB that the boot command does not take", []flasher.Option{flasher.UseDTBVariant("uboot"), flasher.UseDTB(own)}, bundle.ErrOverride},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.events = nil
			f := r.flasher(t, dir, tc.opts...)
			_, flashErr := f.Flash(t.Context(), own)
			_, busyboxErr := f.BusyboxShell(t.Context())
			_, bootloaderErr := f.BootloaderShell(t.Context())
			for _, err := range []error{flashErr, busyboxErr, bootloaderErr} {
				var typed *flasher.Error
				if !errors.Is(err, tc.is) || !errors.As(err, &typed) || typed.Step != flasher.StepBundle {
					t.Errorf("got %v, want one of the step bundle that is %q", err, tc.is)
				}
			}
			if slices.ContainsFunc(r.events, func(ev flasher.Event) bool { return ev.Step == flasher.StepPower }) {
				t.Error("the board's power was touched")
			}
		})
	}
}
