package artefact_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/bundle/internal/artefact"
	"github.com/dutflash/dutflash/internal/testtool"
)

// made runs a foreign tool, in a directory with the file in, and returns out.
func made(tb testing.TB, get, in, out string, argv ...string) []byte {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte(in), 0o644); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), testtool.Need(tb, argv[0], get), argv[1:]...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%q: %v\n%s", argv, err, text)
	}
	data, err := os.ReadFile(filepath.Join(dir, out))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// TestRealTools identifies what the real tools make.
func TestRealTools(t *testing.T) {
	const uboot = "apt-get install u-boot-tools"
	dts := "/dts-v1/;\n/ { a = [00 01 02]; soc { uart@1000 { reg = <1>; }; }; };\n"
	for _, tc := range []struct {
		name, get, in, out string
		argv               []string
		want               artefact.Info
	}{
		{"gzip", "apt-get install gzip", "x", "in.gz", []string{"gzip", "in"}, artefact.Info{Kind: artefact.Gzip}},
		{"xz", "apt-get install xz-utils", "x", "in.xz", []string{"xz", "in"}, artefact.Info{Kind: artefact.XZ}},
		{"lzma", "apt-get install xz-utils", "x", "in.lzma", []string{"xz", "--format=lzma", "in"}, artefact.Info{Kind: artefact.LZMA}},
		{"zstd", "apt-get install zstd", "x", "in.zst", []string{"zstd", "-q", "in"}, artefact.Info{Kind: artefact.Zstd}},
		{"lz4", "apt-get install lz4", "x", "in.lz4", []string{"lz4", "-q", "in", "in.lz4"}, artefact.Info{Kind: artefact.LZ4}},
		{"lz4 legacy", "apt-get install lz4", "x", "in.lz4", []string{"lz4", "-q", "-l", "in", "in.lz4"}, artefact.Info{Kind: artefact.LZ4}},
		{"cpio", "apt-get install cpio", "x", "out", []string{"sh", "-c", "echo in | cpio -o -H newc > out"}, artefact.Info{Kind: artefact.CPIO}},
		{"uImage", uboot, "kernel", "out", []string{"mkimage", "-A", "arm64", "-T", "kernel", "-C", "gzip", "-d", "in", "out"},
			artefact.Info{Kind: artefact.UImage, Size: 6, Type: "kernel", Compression: "gzip", Arch: "arm64"}},
		{"ramdisk", uboot, "initrd", "out", []string{"mkimage", "-A", "arm", "-T", "ramdisk", "-C", "none", "-d", "in", "out"},
			artefact.Info{Kind: artefact.UImage, Size: 6, Type: "ramdisk", Compression: "none", Arch: "arm"}},
		{"device tree", "apt-get install device-tree-compiler", dts, "out", []string{"dtc", "-O", "dtb", "-o", "out", "in"}, artefact.Info{Kind: artefact.DTB}},
		{"text", "apt-get install coreutils", "some text\n", "out", []string{"cp", "in", "out"}, artefact.Info{Kind: artefact.Text}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.argv[0] == "sh" {
				testtool.Need(t, tc.name, tc.get)
			}
			data := made(t, tc.get, tc.in, tc.out, tc.argv...)
			got, err := artefact.Identify(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if tc.want.Kind == artefact.DTB {
				tc.want.Size = int64(len(data))
			}
			if got.Kind != tc.want.Kind || got.Size != tc.want.Size || got.Type != tc.want.Type || got.Arch != tc.want.Arch || got.Compression != tc.want.Compression {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func realFIT(tb testing.TB) []byte {
	tb.Helper()
	its := `/dts-v1/;
/ { description = "t";
  images {
    kernel { data = /incbin/("in"); type = "kernel"; arch = "arm64"; os = "linux"; compression = "none"; load = <0>; entry = <0>; };
    fdt-1 { data = /incbin/("in"); type = "flat_dt"; arch = "arm64"; compression = "none"; hash-1 { algo = "sha256"; }; };
  };
  configurations { default = "b"; a { kernel = "kernel"; }; b { kernel = "kernel"; fdt = "fdt-1"; }; };
};`
	testtool.Need(tb, "dtc", "apt-get install device-tree-compiler")
	return made(tb, "apt-get install u-boot-tools", its, "out", "mkimage", "-f", "in", "out")
}

func TestFIT(t *testing.T) {
	data := realFIT(t)
	got, err := artefact.Identify(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Kind != artefact.FIT || got.DefaultConfig != "b" || !slices.Equal(got.Configs, []string{"a", "b"}) || !slices.Equal(got.Images, []string{"kernel", "fdt-1"}) {
		t.Errorf("got %+v", got)
	}
	for cut := range len(data) {
		got, err := artefact.Identify(bytes.NewReader(data[:cut]), int64(cut))
		if cut >= 40 && (err != nil || got.Size != int64(len(data)) || got.Kind != artefact.DTB) || cut > 3 && cut < 40 && err == nil {
			t.Errorf("cut off at %d: %+v, %v", cut, got, err)
		}
	}
}

func TestEmptyAndShort(t *testing.T) {
	for text, want := range map[string]artefact.Kind{"": artefact.Empty, "x": artefact.Text, "\x00": artefact.Unknown, "\x27\x05\x19\x56": artefact.Unknown,
		strings.Repeat("\x00", 5000): artefact.Unknown} {
		got, err := artefact.Identify(strings.NewReader(text), int64(len(text)))
		if err != nil || got.Kind != want {
			t.Errorf("%.10q: %+v, %v; want %s", text, got, err, want)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add([]byte("\xd0\x0d\xfe\xed\x00\x00\x00\x48\x00\x00\x00\x38\x00\x00\x00\x48\x00\x00\x00\x28\x00\x00\x00\x11\x00\x00\x00\x10" + strings.Repeat("\x00", 28) +
		"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x09"))
	f.Add([]byte("\x27\x05\x19\x56" + strings.Repeat("\x02", 60)))
	if _, err := exec.LookPath("mkimage"); err == nil {
		f.Add(realFIT(f))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := artefact.Identify(bytes.NewReader(data), int64(len(data)))
		if err == nil && info.Kind == "" {
			t.Error("neither a kind nor an error")
		}
		if len(info.Images)+len(info.Configs) > len(data) {
			t.Error("more names than bytes")
		}
	})
}

// TestDeepTree: only the names at the top of a FIT count, so a tree of any shape
// takes no more memory than its file.
func TestDeepTree(t *testing.T) {
	var tree bytes.Buffer
	word := func(n uint32) { binary.Write(&tree, binary.BigEndian, n) }
	begin := func(name string) {
		word(1)
		tree.WriteString(name + strings.Repeat("\x00", 4-len(name)%4))
	}
	begin("")
	begin("images")
	begin("kernel")
	long := strings.Repeat("n", 250)
	for range 59 {
		begin(long)
	}
	for range 30000 {
		begin("x")
		word(2)
	}
	for range 62 {
		word(2)
	}
	word(9)
	var head bytes.Buffer
	for _, n := range []uint32{0xd00dfeed, uint32(40 + tree.Len()), 40, 40, 0, 17, 16, 0, 0, uint32(tree.Len())} {
		binary.Write(&head, binary.BigEndian, n)
	}
	data := append(head.Bytes(), tree.Bytes()...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	info, err := artefact.Identify(bytes.NewReader(data), int64(len(data)))
	runtime.ReadMemStats(&after)
	if err != nil || info.Kind != artefact.FIT || !slices.Equal(info.Images, []string{"kernel"}) {
		t.Errorf("%+v, %v", info, err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 10*uint64(len(data)) {
		t.Errorf("%d bytes for a tree of %d", took, len(data))
	}
}
