package uboot_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/dutflash/dutflash/internal/testtool"
)

// fitSource describes a FIT with one configuration, as mkimage takes it.
const fitSource = `/dts-v1/;
/ {
	description = "kernel of a test";
	#address-cells = <1>;
	images {
		kernel-1 {
			data = /incbin/("%[1]s");
			type = "kernel"; arch = "%[2]s"; os = "linux"; compression = "%[3]s";
			load = <%[4]s>; entry = <%[4]s>;
			hash-1 { algo = "crc32"; };
		};
	};
	configurations {
		default = "conf-1";
		conf-1 { kernel = "kernel-1"; };
	};
};
`

// makeFIT has the real mkimage make a FIT of a kernel.
func makeFIT(t *testing.T, path, kernel, arch, compression, load string) {
	t.Helper()
	mkimage := testtool.Need(t, "mkimage", "apt-get install u-boot-tools device-tree-compiler")
	its := path + ".its"
	if err := os.WriteFile(its, fmt.Appendf(nil, fitSource, kernel, arch, compression, load), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkimage, "-f", its, path).CombinedOutput(); err != nil {
		t.Fatalf("mkimage: %v\n%s", err, out)
	}
}

// fit puts good.itb, and bad.itb with other contents than its hash is of, into the
// directory.
func fit(t *testing.T, arch, dir string) {
	t.Helper()
	kernel, content := filepath.Join(dir, "kernel.bin"), bytes.Repeat([]byte("no kernel "), 100)
	if err := os.WriteFile(kernel, content, 0o600); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "good.itb")
	makeFIT(t, good, kernel, arch, "none", "0x0")
	image, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	image = bytes.Replace(image, []byte("no kernel no"), []byte("NO kernel no"), 1)
	if err := os.WriteFile(filepath.Join(dir, "bad.itb"), image, 0o600); err != nil {
		t.Fatal(err)
	}
}
