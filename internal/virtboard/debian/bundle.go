package debian

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/template"

	"github.com/dutflash/dutflash/internal/virtboard"
)

//go:embed manifest.yaml.tmpl
var templates embed.FS

// Addresses are where U-Boot loads the parts of a bundle to.
type Addresses struct {
	Kernel, Initramfs, DTB string
}

// LoadAddresses returns the addresses that the bundles for arch use: clear of
// U-Boot, of each other, and of where a zImage unpacks itself to.
func LoadAddresses(arch virtboard.Arch) Addresses {
	if arch == virtboard.ARM {
		return Addresses{Kernel: "0x42000000", Initramfs: "0x46000000", DTB: "0x45000000"}
	}
	return Addresses{Kernel: "0x40400000", Initramfs: "0x44000000", DTB: "0x43000000"}
}

// BootCommand returns the U-Boot commands that boot the parts of a bundle from
// their [LoadAddresses], with the device tree at address dtb, such as
// "${fdtcontroladdr}" for U-Boot's own.
func BootCommand(arch virtboard.Arch, dtb string) string {
	boot := "booti"
	if arch == virtboard.ARM {
		boot = "bootz"
	}
	at := LoadAddresses(arch)
	return fmt.Sprintf("setenv bootargs console=%s; %s %s %s %s", Console, boot, at.Kernel, at.Initramfs, dtb)
}

// Bundle is what goes into a flasher bundle beside the software.
type Bundle struct {
	// Login is asked for on the way to the shell; the zero value is a shell
	// without a login.
	Login Login
	// DTB is the path of the device tree ([virtboard.Board.DumpDTB] writes it),
	// which the bundle then has U-Boot load over the network. Empty boots with
	// the device tree that U-Boot has itself.
	DTB string
	// Preflash are the manifest's preflash_commands.
	Preflash []string
}

// WriteBundle writes a flasher bundle into the directory dir, which it makes:
// manifest.yaml, data/kernel, data/initramfs and, where the bundle has a device
// tree, data/qemu-virt.dtb. Files of the same names are replaced.
func (s *Software) WriteBundle(ctx context.Context, dir string, b Bundle) error {
	if err := s.writeBundle(ctx, dir, b); err != nil {
		return &Error{"write the bundle", err}
	}
	return nil
}

func (s *Software) writeBundle(ctx context.Context, dir string, b Bundle) error {
	initramfs, err := s.Initramfs(b.Login)
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(data, "kernel"), s.Kernel()); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "initramfs"), initramfs, 0o644); err != nil {
		return err
	}
	if b.DTB != "" {
		loose, err := os.ReadFile(b.DTB)
		if err != nil {
			return err
		}
		dtb, err := packDTB(loose)
		if err != nil {
			return fmt.Errorf("%s: %w", b.DTB, err)
		}
		if err := os.WriteFile(filepath.Join(data, "qemu-virt.dtb"), dtb, 0o644); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// Last, so that a directory with a manifest is whole.
	return s.writeManifest(filepath.Join(dir, "manifest.yaml"), b)
}

func (s *Software) writeManifest(path string, b Bundle) error {
	quote := func(v string) string { return fmt.Sprintf("%q", v) } // also YAML's, for ASCII
	t, err := template.New("").Funcs(template.FuncMap{"quote": quote}).ParseFS(templates, "*.tmpl")
	if err != nil {
		return err
	}
	at := LoadAddresses(s.Arch)
	values := struct {
		Bundle
		Arch, Release         string
		At                    Addresses
		BootCommand, UBootOwn string
	}{b, string(s.Arch), s.Release, at, BootCommand(s.Arch, at.DTB), BootCommand(s.Arch, "${fdtcontroladdr}")}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(t.ExecuteTemplate(f, "manifest.yaml.tmpl", values), f.Close())
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
