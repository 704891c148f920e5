package bundle_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dutflash/dutflash/bundle"
)

// fitFiles is a FIT bundle: its variants only change the boot command.
func fitFiles(tb testing.TB) map[string]string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "manifests", "ti-fit.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]string{"manifest.yaml": string(text), "data/flasher.itb": "fit"}
}

func fullFiles(tb testing.TB) map[string]string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "manifests", "full.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]string{"manifest.yaml": strings.Replace(string(text), "0x82000000 - 0x84000000", "0x82000000 0x83000000:0x100 0x84000000", 1),
		"data/kernel": "kernel", "data/initramfs": "initramfs", "data/dtbs/plain.dtb": "plain", "data/dtbs/alternate.dtb": "alternate"}
}

func TestOverrides(t *testing.T) {
	mine := writeDir(t, t.TempDir(), map[string]string{"my Image": "my kernel", "rd.img": "my initramfs", "my.dtb": "my dtb",
		"m.yaml": strings.Replace(smallManifest, "name: small", "name: mine", 1)})
	local := func(name string) string { return filepath.Join(mine, name) }
	srv := httptest.NewServer(http.StripPrefix("/f", http.FileServer(http.Dir(mine))))
	defer srv.Close()
	full, fit, small := fullFiles(t), fitFiles(t), smallFiles()
	taken := map[string]string{"manifest.yaml": readTestdata(t, "manifests/ti-imxtract.yaml"), "data/flasher-fedora.itb": "a FIT"}
	const fitAddr, ownDTB = "0x88000000", "bootm 0x90000000:kernel 0x90000000:initrd 0x88000000"
	tests := []struct {
		name  string
		files map[string]string
		o     bundle.Overrides
		check func(t *testing.T, b *bundle.Bundle, m *bundle.Manifest, v bundle.Variant)
		want  error
		text  string
	}{
		{"kernel", full, bundle.Overrides{Kernel: local("my Image")}, func(t *testing.T, b *bundle.Bundle, m *bundle.Manifest, v bundle.Variant) {
			if m.Spec.Kernel.File != "override/kernel/my_Image" || m.Spec.Kernel.Address != "0x82000000" || read(t, b, m.Spec.Kernel.File) != "my kernel" {
				t.Errorf("%+v", m.Spec.Kernel)
			}
		}, nil, ""},
		{"everything by URL", full, bundle.Overrides{Kernel: srv.URL + "/f/my%20Image?token=x", Initram: srv.URL + "/f/rd.img", DTB: srv.URL + "/f/my.dtb", Variant: "alternate"},
			func(t *testing.T, b *bundle.Bundle, m *bundle.Manifest, v bundle.Variant) {
				if v.Name != "alternate" || v.File != "override/dtb/my.dtb" || read(t, b, v.File) != "my dtb" ||
					read(t, b, m.Spec.Initram.File) != "my initramfs" || read(t, b, m.Spec.Kernel.File) != "my kernel" {
					t.Errorf("%+v %+v", m.Spec, v)
				}
			}, nil, ""},
		{"variant", full, bundle.Overrides{Variant: "othercmd"}, func(t *testing.T, b *bundle.Bundle, m *bundle.Manifest, v bundle.Variant) {
			if v.Name != "othercmd" || v.BootCmd != "bootm" || v.File != "" {
				t.Errorf("%+v", v)
			}
		}, nil, ""},
		{"variant of a FIT", fit, bundle.Overrides{Variant: "am69"}, func(t *testing.T, b *bundle.Bundle, m *bundle.Manifest, v bundle.Variant) {
			if v.BootCmd != "bootm 0x90000000#am69" {
				t.Errorf("%+v", v)
			}
		}, nil, ""},
		{"DTB of a FIT, variant that takes it", fit, bundle.Overrides{DTB: local("my.dtb"), Variant: "custom"}, func(t *testing.T, b *bundle.Bundle, m *bundle.Manifest, v bundle.Variant) {
			if v.BootCmd != ownDTB || m.Spec.DTB.Address != fitAddr || read(t, b, v.File) != "my dtb" {
				t.Errorf("%+v", v)
			}
		}, nil, ""},
		{"DTB of a FIT, boot command of one's own", fit, bundle.Overrides{DTB: local("my.dtb"), DTBAddress: "0x89000000", BootCmd: "bootm 0x90000000:kernel 0x90000000:initrd 0x89000000"},
			func(t *testing.T, b *bundle.Bundle, m *bundle.Manifest, v bundle.Variant) {
				if v.Name != "j784s4" || m.Spec.DTB.Address != "0x89000000" || v.File != "override/dtb/my.dtb" {
					t.Errorf("%+v", v)
				}
			}, nil, ""},
		{"DTB of a FIT that U-Boot takes apart", taken, bundle.Overrides{DTB: local("my.dtb"), Variant: "custom"}, func(t *testing.T, b *bundle.Bundle, m *bundle.Manifest, v bundle.Variant) {
			if read(t, b, v.File) != "my dtb" || m.Spec.DTB.Address != fitAddr {
				t.Errorf("%+v", v)
			}
		}, nil, ""},
		{"manifest from outside", small, bundle.Overrides{ManifestFile: local("m.yaml")}, func(t *testing.T, b *bundle.Bundle, m *bundle.Manifest, v bundle.Variant) {
			if m.Name != "mine" {
				t.Errorf("%+v", m)
			}
		}, nil, ""},
		{"initramfs where there was none", small, bundle.Overrides{Initram: local("rd.img"), InitramAddress: "0x88000000", BootCmd: "booti 0x82000000 0x88000000:${filesize} 0x84000000"},
			func(t *testing.T, b *bundle.Bundle, m *bundle.Manifest, v bundle.Variant) {
				if read(t, b, m.Spec.Initram.File) != "my initramfs" || !strings.Contains(v.BootCmd, "filesize") {
					t.Errorf("%+v %+v", m.Spec.Initram, v)
				}
			}, nil, ""},

		{"DTB of a FIT that boots its own", fit, bundle.Overrides{DTB: local("my.dtb")}, nil, bundle.ErrOverride, "variants does: custom"},
		{"DTB that the boot command writes over", taken, bundle.Overrides{DTB: local("my.dtb")}, nil, bundle.ErrOverride, "variants does: custom"},
		{"initramfs that is not passed on", small, bundle.Overrides{Initram: local("rd.img"), InitramAddress: "0x88000000"}, nil, bundle.ErrOverride, "does not take an initramfs"},
		{"DTB where U-Boot passes its own", map[string]string{"manifest.yaml": strings.NewReplacer("- 0x84000000", "- ${fdtcontroladdr}", "\n  dtb:\n    default: a\n    address: \"0x84000000\"\n    variants:\n      a:\n        file: data/dtbs/a.dtb", "").Replace(smallManifest), "data/kernel": "k"},
			bundle.Overrides{DTB: local("my.dtb"), DTBAddress: "0x84000000"}, nil, bundle.ErrOverride, "does not take a DTB at 0x84000000"},
		{"initramfs without address", small, bundle.Overrides{Initram: local("rd.img")}, nil, bundle.ErrOverride, "both a file and an address"},
		{"kernel address that is not booted", full, bundle.Overrides{KernelAddress: "0x90000000"}, nil, bundle.ErrOverride, "does not take a kernel at 0x90000000; set a boot command"},
		{"overlap", full, bundle.Overrides{KernelAddress: "0x82fffffe", BootCmd: "booti 0x82fffffe 0x83000000:0x100 0x84000000"}, nil, nil, "would be loaded to 0x83000000, into data/kernel"},
		{"unknown variant", fit, bundle.Overrides{Variant: "nope"}, nil, bundle.ErrUnknownVariant, "am69, custom, j784s4"},
		{"no such file", full, bundle.Overrides{Kernel: local("none")}, nil, bundle.ErrNotFound, "none"},
		{"directory", full, bundle.Overrides{Kernel: mine}, nil, nil, "no regular file"},
		{"no such URL", full, bundle.Overrides{Kernel: srv.URL + "/f/none?token=hidden"}, nil, bundle.ErrNotFound, "404"},
		{"no such manifest", full, bundle.Overrides{Manifest: "other.yaml"}, nil, bundle.ErrNoManifest, "manifest.yaml"},
		{"two manifests", full, bundle.Overrides{Manifest: "manifest.yaml", ManifestFile: local("m.yaml")}, nil, bundle.ErrOverride, "exclude"},
		{"manifest from outside for another bundle", fit, bundle.Overrides{ManifestFile: local("m.yaml")}, nil, bundle.ErrNoFile, "data/kernel"},
		{"address", full, bundle.Overrides{KernelAddress: "somewhere"}, nil, nil, "is no address"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			cache := t.TempDir()
			base := open(t, writeDir(t, t.TempDir(), tc.files), bundle.WithCacheDir(cache), bundle.WithRetries(1))
			before, err := base.Manifest("")
			if err != nil {
				t.Fatal(err)
			}
			b, err := base.With(t.Context(), tc.o)
			if tc.check == nil {
				if err == nil {
					b.Close()
				}
				if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "hidden") {
					t.Errorf("got %v, want %v with %q", err, tc.want, tc.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m, err := b.Manifest("")
			if err != nil {
				t.Fatal(err)
			}
			v, err := m.Variant("")
			if err != nil {
				t.Fatal(err)
			}
			if err := base.Close(); err != nil { // in any order
				t.Error(err)
			}
			tc.check(t, b, m, v)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if before.Spec.Kernel.File == m.Spec.Kernel.File && tc.o.Kernel != "" {
				t.Error("the original changed too")
			}
		})
	}
}

func TestOverridesAddUp(t *testing.T) {
	mine := writeDir(t, t.TempDir(), map[string]string{"k": "my kernel", "d": "my dtb"})
	base := open(t, writeDir(t, t.TempDir(), fullFiles(t)))
	one, err := base.With(t.Context(), bundle.Overrides{Kernel: filepath.Join(mine, "k")})
	if err != nil {
		t.Fatal(err)
	}
	two, err := one.With(t.Context(), bundle.Overrides{DTB: filepath.Join(mine, "d")})
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	m, err := two.Manifest("")
	if err != nil {
		t.Fatal(err)
	}
	if read(t, two, m.Spec.Kernel.File) != "my kernel" || read(t, two, m.Spec.DTB.Variants["plain"].File) != "my dtb" {
		t.Errorf("%+v", m.Spec)
	}
}

func TestOverrideThatChanges(t *testing.T) {
	mine := writeDir(t, t.TempDir(), map[string]string{"k": "my kernel"})
	base := open(t, writeDir(t, t.TempDir(), fullFiles(t)))
	b, err := base.With(t.Context(), bundle.Overrides{Kernel: filepath.Join(mine, "k")})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	writeDir(t, mine, map[string]string{"k": "another kernel"})
	if _, err := b.Open("override/kernel/k"); !errors.Is(err, bundle.ErrDigest) {
		t.Errorf("got %v", err)
	}
}

// TestOverrideOutlivesPrune: what came from a URL stays while it is in use.
func TestOverrideOutlivesPrune(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("from the web")) }))
	defer srv.Close()
	host := startRegistry(t, nil)
	push(t, host, "b", "v1", smallBundle()...)
	cache := t.TempDir()
	base := open(t, host+"/b:v1", bundle.WithCacheDir(cache))
	b, err := base.With(t.Context(), bundle.Overrides{Kernel: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	c, err := bundle.OpenCache(cache)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Prune(t.Context(), bundle.PruneOptions{MaxSize: 1}); err != nil {
		t.Fatal(err)
	}
	m, err := b.Manifest("")
	if err != nil || read(t, b, m.Spec.Kernel.File) != "from the web" || read(t, b, "data/dtbs/a.dtb") != "dtb" {
		t.Errorf("%+v, %v", m, err)
	}
	if err := errors.Join(b.Close(), base.Close()); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Prune(t.Context(), bundle.PruneOptions{MaxSize: 1}); err != nil || r.Kept != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestOverrideGivesUp(t *testing.T) {
	var asked atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(true)
		w.Write([]byte("begin"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer srv.Close()
	dir, cache := writeDir(t, t.TempDir(), fullFiles(t)), t.TempDir()
	slow := open(t, dir, bundle.WithCacheDir(cache), bundle.WithRetries(1), bundle.WithStallTimeout(100*time.Millisecond))
	if _, err := slow.With(t.Context(), bundle.Overrides{Kernel: srv.URL}); !errors.Is(err, bundle.ErrUnreachable) {
		t.Errorf("stalled: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := open(t, dir, bundle.WithCacheDir(cache)).With(ctx, bundle.Overrides{Kernel: srv.URL}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	if !asked.Load() {
		t.Error("nobody was asked")
	}
	if left, err := os.ReadDir(filepath.Join(cache, "dutflash-v1", "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
