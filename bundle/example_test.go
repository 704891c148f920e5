package bundle_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/dutflash/dutflash/bundle"
)

// exampleDir makes a directory with a small bundle.
func exampleDir() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "data", "dtbs"), 0o755); err != nil {
		log.Fatal(err)
	}
	for name, text := range map[string]string{"manifest.yaml": smallManifest, "data/kernel": "kernel", "data/dtbs/a.dtb": "dtb"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	return dir, func() { os.RemoveAll(dir) }
}

func ExampleOpen() {
	dir, remove := exampleDir()
	defer remove()

	// Just as well "quay.io/org/bundle:tag" or an OCI layout.
	b, err := bundle.Open(context.Background(), dir)
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	m, err := b.Manifest("")
	if err != nil {
		log.Fatal(err)
	}
	v, err := m.Variant("")
	if err != nil {
		log.Fatal(err)
	}
	target, err := m.Target("emmc")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Kind(), m.Name)
	fmt.Println("load", m.Spec.Kernel.File, "to", m.Spec.Kernel.Address)
	fmt.Println("load", v.File, "to", m.Spec.DTB.Address)
	fmt.Println("run", v.BootCmd)
	fmt.Println("write to", target)
	// Output:
	// directory small
	// load data/kernel to 0x82000000
	// load data/dtbs/a.dtb to 0x84000000
	// run booti 0x82000000 - 0x84000000
	// write to /dev/mmcblk0
}

func ExampleCreate() {
	dir, remove := exampleDir()
	defer remove()

	// The same files give the same digest, whenever and wherever.
	digest, err := bundle.Create(context.Background(), dir, filepath.Join(dir, "bundle.tar"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(digest)
	// Output: sha256:8ba1ee512b44834d3c354f0e904132256be7f0cd128a339543868eebdfaaac46
}

func ExampleBundle_With() {
	dir, remove := exampleDir()
	defer remove()
	mine := filepath.Join(dir, "my.dtb")
	if err := os.WriteFile(mine, []byte("my device tree"), 0o644); err != nil {
		log.Fatal(err)
	}

	b, err := bundle.Open(context.Background(), dir)
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	changed, err := b.With(context.Background(), bundle.Overrides{DTB: mine})
	if err != nil {
		log.Fatal(err)
	}
	defer changed.Close()
	m, err := changed.Manifest("")
	if err != nil {
		log.Fatal(err)
	}
	v, err := m.Variant("")
	if err != nil {
		log.Fatal(err)
	}
	size, err := changed.Size(v.File)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.File, size)
	// Output: override/dtb/my.dtb 14
}

func ExampleLint() {
	dir, remove := exampleDir()
	defer remove()

	findings, err := bundle.Lint(context.Background(), dir)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range findings {
		if f.Severity == bundle.SeverityError {
			fmt.Println(f)
		}
	}
	// Output:
	// error: manifest.yaml: spec.kernel.file: data/kernel is a text file, not a kernel; is it the pointer of a large-file storage?
	// error: manifest.yaml: spec.dtb.variants.a.file: data/dtbs/a.dtb is a text file, not a device tree blob (magic d00dfeed)
}

func ExampleParseManifest() {
	_, _, err := bundle.ParseManifest("manifest.yaml", []byte(`
kind: FlashBundleManifest
metadata: {name: board}
spec:
  bootcmd: bootm
  default_target: emmc
  targets: {sd: mmcblk1}
  kernel: {file: ../Image, address: "0x80000000"}
`))
	if me, ok := err.(*bundle.ManifestError); ok {
		for _, p := range me.Problems {
			fmt.Println(p.Error())
		}
	}
	// Output:
	// 6:19: spec.default_target: "emmc" is not in targets, which has sd
	// 7:17: spec.targets.sd: "mmcblk1" is no device path: want /dev/NAME or /sys/class/block#ADDRESS
	// 8:18: spec.kernel.file: unsafe path: "../Image" contains ".."; paths are relative to the bundle
}

func ExampleBoards_Lookup() {
	boards := bundle.KnownBoards()
	boards["lab-board"] = bundle.Board{Name: "lab-board", Bundle: "registry.lab.example/flashers/lab-board:v3"}

	for _, name := range []string{"lab-board", "TIJ784S4Flasher"} {
		b, err := boards.Lookup(name)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(b.Bundle)
	}
	// Output:
	// registry.lab.example/flashers/lab-board:v3
	// quay.io/jumpstarter-dev/jumpstarter-flasher-ti-j784s4:latest
}
