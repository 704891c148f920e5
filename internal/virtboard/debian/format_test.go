package debian

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/internal/virtboard"
)

// tool runs a program that knows the format and returns what it prints.
func tool(t *testing.T, stdin []byte, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// TestCPIO has busybox read what the kernel will.
func TestCPIO(t *testing.T) {
	busybox := testtool.Need(t, "busybox", "apt-get install busybox-static")
	var b bytes.Buffer
	c := newCPIO(&b)
	c.file("etc/deep/er", 0o640, []byte("12345"))
	c.file("etc/deep/est", 0o755, nil)
	c.symlink("init", "bin/busybox")
	c.char("dev/console", 0o600, 5, 1)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	list := tool(t, b.Bytes(), busybox, "cpio", "-tv")
	for _, want := range []string{"drwxr-xr-x", "-rw-r-----", "-rwxr-xr-x", "lrwxrwxrwx", "crw-------", "etc/deep/er", "etc/deep/est", "bin/busybox", "dev/console"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in:\n%s", want, list)
		}
	}
	if n := strings.Count(list, "etc/deep\n"); n != 1 {
		t.Errorf("etc/deep is there %d times:\n%s", n, list)
	}
}

// TestUImage has mkimage check the header and its checksums.
func TestUImage(t *testing.T) {
	mkimage := testtool.Need(t, "mkimage", "apt-get install u-boot-tools")
	for arch, want := range map[virtboard.Arch]string{virtboard.ARM64: "AArch64 Linux RAMDisk Image", virtboard.ARM: "ARM Linux RAMDisk Image"} {
		path := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(path, uImage(arch, "a name", []byte("some data")), 0o600); err != nil {
			t.Fatal(err)
		}
		out := tool(t, nil, mkimage, "-l", path)
		if !strings.Contains(out, want) || !strings.Contains(out, "a name") || !strings.Contains(out, "9 Bytes") {
			t.Errorf("%s: %s", arch, out)
		}
	}
}

// TestPackDTB has dtc find the same tree in the packed file.
func TestPackDTB(t *testing.T) {
	dtc := testtool.Need(t, "dtc", "apt-get install device-tree-compiler")
	source := []byte(`/dts-v1/; / { compatible = "a,board"; chosen { bootargs = "quiet"; }; };`)
	loose := []byte(tool(t, source, dtc, "-q", "-p", "100000", "-I", "dts", "-O", "dtb"))
	packed, err := packDTB(loose)
	if err != nil {
		t.Fatal(err)
	}
	if len(loose) < 100000 || len(packed) > 1000 {
		t.Errorf("%d bytes packed to %d", len(loose), len(packed))
	}
	before, after := tool(t, loose, dtc, "-q", "-I", "dtb", "-O", "dts"), tool(t, packed, dtc, "-q", "-I", "dtb", "-O", "dts")
	if before != after {
		t.Errorf("packed:\n%s\nbefore:\n%s", after, before)
	}
}

func FuzzPackDTB(f *testing.F) {
	dtb := make([]byte, 64)
	binary.BigEndian.PutUint32(dtb, 0xd00dfeed)
	f.Add(dtb)
	binary.BigEndian.PutUint32(dtb[8:], 0xffffffff)
	binary.BigEndian.PutUint32(dtb[36:], 0xffffffff)
	f.Add(dtb)
	f.Add([]byte("no tree"))
	f.Fuzz(func(t *testing.T, b []byte) {
		packed, err := packDTB(b)
		if err == nil && len(packed) > len(b) {
			t.Errorf("%d bytes became %d", len(b), len(packed))
		}
	})
}

func TestClosure(t *testing.T) {
	all := map[string]module{}
	for file, depends := range map[string][]string{
		"kernel/a.ko": {"b-c", "built"}, "kernel/x/b-c.ko": {"d"}, "kernel/d.ko": nil, "kernel/other.ko": nil, "kernel/e.ko": {"gone"},
	} {
		all[moduleName(file)] = module{file: file, depends: depends}
	}
	got, err := closure([]string{"a", "d"}, all, map[string]bool{"built": true})
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, m := range got {
		files = append(files, m.file)
	}
	if s := strings.Join(files, " "); s != "kernel/d.ko kernel/x/b-c.ko kernel/a.ko" {
		t.Errorf("order: %s", s)
	}
	dep, _ := indexes(got)
	if !strings.Contains(string(dep), "kernel/a.ko: kernel/x/b-c.ko kernel/d.ko\n") {
		t.Errorf("modules.dep:\n%s", dep)
	}
	if _, err := closure([]string{"e"}, all, nil); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("a missing module: %v", err)
	}
}

func TestLoginRefused(t *testing.T) {
	s := &Software{Arch: virtboard.ARM64, dir: t.TempDir()}
	for _, l := range []Login{{Username: "alice"}, {Password: "x"}, {Username: "root", Password: "a\nb"}} {
		if _, err := s.Initramfs(l); err == nil || !strings.Contains(err.Error(), "pass") && !strings.Contains(err.Error(), "only root") {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// TestPackedOnce: an archive is packed once for all processes, and a file that
// a crash cut is packed again.
func TestPackedOnce(t *testing.T) {
	s := &Software{Arch: virtboard.ARM64, dir: t.TempDir()}
	archive := bytes.Repeat([]byte("an archive\n"), 1000)
	first, err := s.pack(archive)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, archive) {
		t.Errorf("unpacked %d bytes, %v", len(got), err)
	}
	names, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("in the cache: %q, %v; want one file", names, err)
	}
	// Another file with the right end tells that it is the cache that answers.
	mark := append([]byte("from the cache"), first[len(first)-8:]...)
	for _, tc := range []struct{ content, want []byte }{{mark, mark}, {first[:len(first)/2], first}, {nil, first}} {
		if err := os.WriteFile(names[0], tc.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.pack(archive); err != nil || !bytes.Equal(got, tc.want) {
			t.Errorf("with %d bytes in the cache: %d bytes, %v; want %d", len(tc.content), len(got), err, len(tc.want))
		}
	}
}
