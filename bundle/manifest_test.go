package bundle_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dutflash/dutflash/bundle"
)

func parseFile(tb testing.TB, name string) *bundle.Manifest {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "manifests", name))
	if err != nil {
		tb.Fatal(err)
	}
	m, warnings, err := bundle.ParseManifest(name, data)
	if err != nil {
		tb.Fatal(err)
	}
	if len(warnings) > 0 {
		tb.Errorf("warnings: %v", warnings)
	}
	return m
}

func TestManifestsOfTheField(t *testing.T) {
	login := bundle.Login{Type: "busybox", LoginPrompt: "login:", Username: "root", Prompt: "#"}
	tests := []struct {
		file string
		name string
		want bundle.Spec
	}{
		{"full.yaml", "full", bundle.Spec{
			Manufacturer: "Example Boards", Link: "https://boards.example/full", BootCmd: "booti 0x82000000 - 0x84000000",
			DefaultTarget: "usd", Targets: map[string]string{"usd": "/sys/class/block#4fb0000", "emmc": "/sys/class/block#4f80000"},
			Login:            bundle.Login{Type: "busybox", LoginPrompt: "login:", Username: "root", Password: "secret", Prompt: "#"},
			PreflashCommands: []string{"dd if=/dev/zero of=/dev/mmcblk0 bs=512 count=34", "dd if=/dev/zero of=/dev/mmcblk1 bs=512 count=34"},
			Kernel:           &bundle.Artefact{File: "data/kernel", Address: "0x82000000"},
			Initram:          &bundle.Artefact{File: "data/initramfs", Address: "0x83000000"},
			DTB: &bundle.DTB{Default: "plain", Address: "0x84000000", Variants: map[string]bundle.Variant{
				"plain": {File: "data/dtbs/plain.dtb"}, "alternate": {File: "data/dtbs/alternate.dtb"}, "othercmd": {BootCmd: "bootm"}}},
		}},
		{"ti-fit.yaml", "ti-j784s4", bundle.Spec{
			Manufacturer: "Texas Instruments", Link: "https://www.ti.com/tool/PROCESSOR-SDK-J784S4", BootCmd: "bootm 0x90000000",
			DefaultTarget: "usd", Targets: map[string]string{"usd": "/sys/class/block#4fb0000", "emmc": "/sys/class/block#4f80000"},
			Login: login, Kernel: &bundle.Artefact{File: "data/flasher.itb", Address: "0x90000000"},
			DTB: &bundle.DTB{Default: "j784s4", Address: "0x88000000", Variants: map[string]bundle.Variant{
				"j784s4": {BootCmd: "bootm 0x90000000#j784s4"}, "am69": {BootCmd: "bootm 0x90000000#am69"},
				"custom": {BootCmd: "bootm 0x90000000:kernel 0x90000000:initrd 0x88000000"}}},
		}},
		{"ti-imxtract.yaml", "ti-j784s4", bundle.Spec{
			Manufacturer: "Texas Instruments", Link: "https://www.ti.com/tool/PROCESSOR-SDK-J784S4", BootCmd: "bootm 0x90000000",
			DefaultTarget: "usd", Targets: map[string]string{"usd": "/sys/class/block#4fb0000", "emmc": "/sys/class/block#4f80000"},
			Login: login, Kernel: &bundle.Artefact{File: "data/flasher-fedora.itb", Address: "0x90000000"},
			DTB: &bundle.DTB{Default: "j784s4", Address: "0x88000000", Variants: map[string]bundle.Variant{
				"j784s4": {BootCmd: "unlz4 0x900000d4 0x80000000 0x8000000; imxtract 0x90000000 fdt-j784s4 0x88000000; imxtract 0x90000000 initrd 0x89000000; booti 0x80000000 0x89000000:0x7000000 0x88000000"},
				"custom": {BootCmd: "unlz4 0x900000d4 0x80000000 0x8000000; imxtract 0x90000000 initrd 0x89000000; booti 0x80000000 0x89000000:0x7000000 0x88000000"}}},
		}},
		{"rcar-fit.yaml", "rcar-s4", bundle.Spec{
			Manufacturer: "Renesas", Link: "https://www.renesas.com/en/products/r-car-s4", BootCmd: "bootm 0x58000000",
			DefaultTarget: "emmc", Targets: map[string]string{"emmc": "/dev/mmcblk0"},
			Login: login, Kernel: &bundle.Artefact{File: "data/flasher-automotive.itb", Address: "0x58000000"},
			DTB: &bundle.DTB{Default: "spider", Address: "0x48000000", Variants: map[string]bundle.Variant{
				"spider": {BootCmd: "bootm 0x58000000#spider"}, "s4sk": {BootCmd: "bootm 0x58000000#s4sk"},
				"custom": {BootCmd: "bootm 0x58000000:kernel 0x58000000:initrd 0x48000000"}}},
		}},
		{"nxp-fit.yaml", "nxp-s32g-vnd-rdb3", bundle.Spec{
			Manufacturer: "NXP", Link: "https://www.nxp.com/part/S32G-VNP-RDB3", BootCmd: "bootm 0x90000000#s32g3",
			DefaultTarget: "usd", Targets: map[string]string{"usd": "/dev/mmcblk0"},
			Login: login, Kernel: &bundle.Artefact{File: "data/flasher-buildroot.itb", Address: "0x90000000"},
			DTB: &bundle.DTB{Default: "s32g3", Address: "0x88000000", Variants: map[string]bundle.Variant{
				"s32g3": {BootCmd: "bootm 0x90000000#s32g3"}, "custom": {BootCmd: "bootm 0x90000000:kernel 0x90000000:initrd 0x88000000"}}},
		}},
		{"rcar-nodtb.yaml", "rcar-s4", bundle.Spec{
			Manufacturer: "Renesas", BootCmd: "bootm", DefaultTarget: "emmc", Targets: map[string]string{"emmc": "/dev/mmcblk0"},
			Login:  bundle.Login{Type: "busybox", LoginPrompt: "login:", Prompt: "#"},
			Kernel: &bundle.Artefact{File: "data/flasher.itb", Address: "0x58000000"},
		}},
		{"old-variants.yaml", "old", bundle.Spec{
			Manufacturer: "Texas Instruments", Link: "https://www.ti.com", BootCmd: "booti 0x82000000 - 0x84000000",
			DefaultTarget: "usd", Targets: map[string]string{"usd": "/sys/class/block#4fb0000"},
			Login:  bundle.Login{Type: "busybox", LoginPrompt: "login:", Prompt: "#"},
			Kernel: &bundle.Artefact{File: "data/flasher.img", Address: "0x82000000"},
			DTB:    &bundle.DTB{Default: "evm", Address: "0x84000000", Variants: map[string]bundle.Variant{"evm": {File: "data/dtbs/evm.dtb"}}},
		}},
	}
	for _, tc := range tests {
		t.Run(tc.file, func(t *testing.T) {
			m := parseFile(t, tc.file)
			if m.Name != tc.name {
				t.Errorf("name %q, want %q", m.Name, tc.name)
			}
			if d := cmp.Diff(tc.want, m.Spec); d != "" {
				t.Errorf("spec (-want +got):\n%s", d)
			}
			text, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			again, warnings, err := bundle.ParseManifest("again", text)
			if err != nil || len(warnings) > 0 {
				t.Fatalf("%v %v in\n%s", err, warnings, text)
			}
			if d := cmp.Diff(m.Spec, again.Spec); d != "" || again.Name != m.Name {
				t.Errorf("written and read again (-first +second):\n%s", d)
			}
		})
	}
}

func TestVariantAndTarget(t *testing.T) {
	full := parseFile(t, "full.yaml")
	for name, want := range map[string]bundle.Variant{
		"":         {Name: "plain", File: "data/dtbs/plain.dtb", BootCmd: "booti 0x82000000 - 0x84000000"},
		"othercmd": {Name: "othercmd", BootCmd: "bootm"},
	} {
		if got, err := full.Variant(name); err != nil || got != want {
			t.Errorf("Variant(%q) = %+v, %v", name, got, err)
		}
	}
	if _, err := full.Variant("nope"); !errors.Is(err, bundle.ErrUnknownVariant) || !strings.Contains(err.Error(), "alternate, othercmd, plain") {
		t.Errorf("got %v", err)
	}
	rcar := parseFile(t, "rcar-nodtb.yaml")
	if got, err := rcar.Variant(""); err != nil || got != (bundle.Variant{BootCmd: "bootm"}) {
		t.Errorf("Variant without dtb = %+v, %v", got, err)
	}
	if _, err := rcar.Variant("spider"); !errors.Is(err, bundle.ErrUnknownVariant) {
		t.Errorf("got %v", err)
	}
	if got, err := full.Target(""); err != nil || got != "/sys/class/block#4fb0000" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := full.Target("emmc"); err != nil || got != "/sys/class/block#4f80000" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := full.Target("nvme"); !errors.Is(err, bundle.ErrUnknownTarget) || !strings.Contains(err.Error(), "emmc, usd") {
		t.Errorf("got %v", err)
	}
	rcar.Spec.DefaultTarget = ""
	if got, err := rcar.Target(""); err != nil || got != "/dev/mmcblk0" {
		t.Errorf("the only target: %q, %v", got, err)
	}
	full.Spec.DefaultTarget = ""
	if _, err := full.Target(""); !errors.Is(err, bundle.ErrUnknownTarget) {
		t.Errorf("two targets and no default: %v", err)
	}
}

func TestAddress(t *testing.T) {
	for a, want := range map[bundle.Address]uint64{"0x82000000": 0x82000000, "82000000": 0x82000000, "0X10": 16, "ffffffffffffffff": 1<<64 - 1} {
		if got, ok := a.Uint64(); !ok || got != want || a.Variable() {
			t.Errorf("%q: %#x, %v", a, got, ok)
		}
	}
	for _, a := range []bundle.Address{"$loadaddr", "${kernel_addr_r}"} {
		if _, ok := a.Uint64(); ok || !a.Variable() {
			t.Errorf("%q is a variable", a)
		}
	}
	for _, a := range []bundle.Address{"", "0x", "ram", "0x1 0x2", "-1", "$", "${", "${}", "${a", "$a b", "0x10000000000000000"} {
		if _, ok := a.Uint64(); ok || a.Variable() {
			t.Errorf("%q is no address", a)
		}
	}
}

// bad replaces parts of the small manifest.
func bad(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(smallManifest) }

func TestManifestProblems(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // each the text of one problem, in order
		is         error
	}{
		{"empty", "", []string{"1:1: the manifest is empty"}, nil},
		{"null", "~\n", []string{"1:1: the manifest is empty"}, nil},
		{"only a comment", "# nothing\n", []string{"1:1: the manifest is empty"}, nil},
		{"list", "- a\n", []string{"1:1: must be a mapping, is a list"}, nil},
		{"no YAML", "a: b: c\n", []string{"1:1: no YAML: mapping values are not allowed in this context"}, nil},
		{"two documents", smallManifest + "---\na: b\n", []string{"20:1: more than one YAML document"}, nil},
		{"kind", bad("FlashBundleManifest", "Pod"), []string{`2:7: kind: "Pod" is not supported, only "FlashBundleManifest"`}, nil},
		{"version", bad("v1alpha1", "v9"), []string{`1:13: apiVersion: "jumpstarter.dev/v9" is not supported, only "jumpstarter.dev/v1alpha1"`}, nil},
		{"default target", bad("default_target: emmc", "default_target: usd"),
			[]string{`8:19: spec.default_target: "usd" is not in targets, which has emmc`}, bundle.ErrUnknownTarget},
		{"default variant", bad("default: a", "default: b"), []string{`15:14: spec.dtb.default: "b" is not in variants, which has a`}, bundle.ErrUnknownVariant},
		{"absolute path", bad("data/kernel", "/etc/shadow"),
			[]string{`12:11: spec.kernel.file: unsafe path: "/etc/shadow" is absolute; paths are relative to the bundle`}, bundle.ErrUnsafePath},
		{"escaping path", bad("data/dtbs/a.dtb", "data/../../a.dtb"),
			[]string{`19:15: spec.dtb.variants.a.file: unsafe path: "data/../../a.dtb" contains ".."; paths are relative to the bundle`}, bundle.ErrUnsafePath},
		{"address", bad(`"0x82000000"`, "ram"),
			[]string{`13:14: spec.kernel.address: "ram" is no address: want a hexadecimal number such as 0x82000000, or a U-Boot variable such as ${loadaddr}`}, nil},
		{"decimal address", bad(`"0x82000000"`, "2181038080"),
			[]string{`13:14: spec.kernel.address: 2181038080 is a decimal number; U-Boot takes addresses as hexadecimal, write it as "0x..."`}, nil},
		{"device", bad("/dev/mmcblk0", "mmcblk0"),
			[]string{`10:11: spec.targets.emmc: "mmcblk0" is no device path: want /dev/NAME or /sys/class/block#ADDRESS`}, nil},
		{"device with shell", bad("/dev/mmcblk0", `"/dev/mmcblk0;reboot"`),
			[]string{`10:11: spec.targets.emmc: "/dev/mmcblk0;reboot" is no device path: it contains characters that a shell would interpret`}, nil},
		{"device elsewhere", bad("/dev/mmcblk0", "/dev/../etc/passwd"),
			[]string{`10:11: spec.targets.emmc: "/dev/../etc/passwd" is no device path: nothing sensible stands after /dev/`}, nil},
		{"shell type", bad("spec:\n", "spec:\n  shelltype: zsh\n"), []string{`6:14: spec.login.type: "zsh" is not supported, only "busybox"`}, nil},
		{"two shell types", bad("spec:\n", "spec:\n  shelltype: busybox\n  login: {type: ash}\n"),
			[]string{`6:14: spec.shelltype: is "busybox", but spec.login.type is "ash"`, `7:17: spec.login.type: "ash" is not supported, only "busybox"`}, nil},
		{"colon forgotten", bad("        file: data/dtbs/a.dtb", `        bootcmd "bootm 0x82000000#a"`),
			[]string{`19:9: spec.dtb.variants.a: is the text "bootcmd \"bootm 0x82000000#a\""; a colon is missing after "bootcmd"`}, nil},
		{"line break in a command", bad(`"booti 0x82000000 - 0x84000000"`, `"booti\nreset"`),
			[]string{"7:12: spec.bootcmd: contains a control character or a line break"}, nil},
		{"all at once", "metadata: {}\nspec:\n  kernel: {file: ../k}\n  targets: [a]\n", []string{
			"1:1: metadata.name: is missing",
			"2:1: spec.bootcmd: is missing",
			"3:3: spec.kernel.address: is missing",
			`3:18: spec.kernel.file: unsafe path: "../k" contains ".."; paths are relative to the bundle`,
			"4:12: spec.targets: must be a mapping, is a list",
		}, bundle.ErrUnsafePath},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := bundle.ParseManifest("m.yaml", []byte(tc.text))
			var me *bundle.ManifestError
			if !errors.As(err, &me) {
				t.Fatalf("got %v", err)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v is no %v", err, tc.is)
			}
			var got []string
			for _, p := range me.Problems {
				got = append(got, p.Error())
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("problems (-want +got):\n%s", d)
			}
		})
	}
}

func TestUnknownFieldsAreWarnings(t *testing.T) {
	text := bad("  name: small\n", "  name: small\n  labels: {a: b}\n", "spec:\n", "spec:\n  colour: red\n  bootcmd: old\n") + "extra: 1\n"
	_, warnings, err := bundle.ParseManifest("m.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.Error())
	}
	if d := cmp.Diff([]string{"5:3: metadata.labels: unknown field", "7:3: spec.colour: unknown field",
		"10:3: spec.bootcmd: field is given twice, also in line 8; the last one counts", "23:1: extra: unknown field"}, got); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
}

func TestMergeKeysAndAliases(t *testing.T) {
	text := bad("spec:\n", "spec:\n  <<: {link: \"https://example\", bootcmd: overridden}\n", "file: data/kernel", "file: &k data/kernel", "file: data/dtbs/a.dtb", "file: *k")
	m, _, err := bundle.ParseManifest("m.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if m.Spec.Link != "https://example" || m.Spec.DTB.Variants["a"].File != "data/kernel" || !strings.HasPrefix(m.Spec.BootCmd, "booti") {
		t.Errorf("got %+v", m.Spec)
	}
}

func TestManifestBombs(t *testing.T) {
	if _, _, err := bundle.ParseManifest("big", []byte(smallManifest+"#"+strings.Repeat("x", 1<<20))); !errors.Is(err, bundle.ErrTooLarge) {
		t.Errorf("1 MiB of text: %v", err)
	}
	var b strings.Builder
	b.WriteString("a0: &a0 {x: y}\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&b, "a%d: &a%d {<<: [*a%d, *a%d]}\n", i, i, i-1, i-1)
	}
	b.WriteString("spec: *a39\n")
	if _, _, err := bundle.ParseManifest("bomb", []byte(b.String())); err == nil || !strings.Contains(err.Error(), "YAML nodes") {
		t.Errorf("doubling merge keys: %v", err)
	}
}

func FuzzParseManifest(f *testing.F) {
	files, err := filepath.Glob("testdata/manifests/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("spec: &s\n  <<: *s\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, _, err := bundle.ParseManifest("fuzz", data)
		if err != nil {
			var me *bundle.ManifestError
			if !errors.As(err, &me) || len(me.Problems) == 0 {
				t.Fatalf("not a list of problems: %v", err)
			}
			return
		}
		text, err := m.Encode()
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		again, _, err := bundle.ParseManifest("again", text)
		if err != nil {
			t.Fatalf("read again: %v\n%s", err, text)
		}
		if d := cmp.Diff(m.Spec, again.Spec); d != "" || m.Name != again.Name {
			t.Fatalf("changed:\n%s\n%s", d, text)
		}
		for _, name := range m.VariantNames() {
			if _, err := m.Variant(name); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestValidate checks a manifest that was made in code: every problem, always
// in the same order.
func TestValidate(t *testing.T) {
	m := &bundle.Manifest{Name: "made", Spec: bundle.Spec{
		DefaultTarget: "usd", Targets: map[string]string{"b": "b", "a": "a", "c": "/dev/c"},
		Kernel: &bundle.Artefact{File: "/k", Address: "0x1"},
		DTB:    &bundle.DTB{Default: "x", Variants: map[string]bundle.Variant{"z": {}, "y": {File: "../y"}}},
	}}
	want := ""
	for range 20 {
		err := m.Validate()
		var me *bundle.ManifestError
		if !errors.As(err, &me) || len(me.Problems) != 10 || !errors.Is(err, bundle.ErrUnsafePath) || !errors.Is(err, bundle.ErrUnknownTarget) {
			t.Fatalf("got %v", err)
		}
		if want == "" {
			want = err.Error()
		}
		if err.Error() != want {
			t.Fatalf("first %s\nthen  %s", want, err)
		}
	}
	if _, err := m.Encode(); err == nil || err.Error() != want {
		t.Errorf("Encode: %v", err)
	}
}
