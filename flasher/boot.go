package flasher

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"strings"

	"github.com/dutflash/dutflash/bundle"
	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/uboot"
)

// artefact is one file that U-Boot loads into RAM.
type artefact struct {
	role    string // kernel, initramfs or DTB, for people
	file    string // path in the bundle
	name    string // name on the TFTP and HTTP servers
	address string
	size    int64
	crc     uint32
}

// openBundle pulls the bundle and checks everything that the manifest says,
// before the board is touched.
func (o *operation) openBundle(ctx context.Context, ref string) error {
	cfg := &o.f.cfg
	cfg.log.Info("Setting up flasher bundle files", "bundle", ref)
	opts := []bundle.Option{bundle.WithLogger(cfg.log)}
	if cfg.cacheDir != "" {
		opts = append(opts, bundle.WithCacheDir(cfg.cacheDir))
	}
	b, err := bundle.Open(ctx, ref, append(opts, cfg.bundle...)...)
	if err != nil {
		return err
	}
	if o.bundle, err = b.With(ctx, cfg.overrides); err != nil {
		return errors.Join(err, b.Close())
	}
	// The derived bundle keeps what it needs of the other.
	if err := b.Close(); err != nil {
		return err
	}
	if o.manifest, err = o.bundle.Manifest(""); err != nil {
		return err
	}
	return o.chooseFiles()
}

// chooseFiles decides what is loaded where and which command boots it.
func (o *operation) chooseFiles() error {
	spec := &o.manifest.Spec
	o.bootCmd = spec.BootCmd
	if k := spec.Kernel; k != nil && k.File != "" {
		o.files = append(o.files, artefact{role: "kernel", file: k.File, address: string(k.Address)})
	}
	if i := spec.Initram; i != nil && i.File != "" {
		o.files = append(o.files, artefact{role: "initramfs", file: i.File, address: string(i.Address)})
	}
	if spec.DTB != nil {
		v, err := o.manifest.Variant("")
		if err != nil {
			return err
		}
		if v.File != "" {
			o.files = append(o.files, artefact{role: "DTB", file: v.File, address: string(spec.DTB.Address)})
		}
		if v.BootCmd != "" {
			o.bootCmd = v.BootCmd
		}
	}
	taken := map[string]bool{}
	for i := range o.files {
		a := &o.files[i]
		a.name = path.Base(a.file)
		if taken[a.name] {
			a.name = strings.ReplaceAll(a.file, "/", "_")
		}
		taken[a.name] = true
		if err := o.measure(a); err != nil {
			return err
		}
	}
	return nil
}

// measure reads an artefact once for its size and CRC-32, which U-Boot can
// compute over RAM as well.
func (o *operation) measure(a *artefact) error {
	file, err := o.bundle.Open(a.file)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := crc32.NewIEEE()
	if a.size, err = io.Copy(sum, file); err != nil {
		return fmt.Errorf("read %s of the bundle: %w", a.file, err)
	}
	if a.size == 0 {
		return fmt.Errorf("%s of the bundle (%s) is empty", a.file, a.role)
	}
	a.crc = sum.Sum32()
	return nil
}

// toBootloader takes the board from whatever it does to a proved U-Boot prompt.
func (o *operation) toBootloader(ctx context.Context) error {
	cfg := &o.f.cfg
	if err := o.step(ctx, StepConsole, cfg.timeouts.Power, o.openConsole); err != nil {
		return err
	}
	if err := o.step(ctx, StepPower, 0, o.powerCycle); err != nil {
		return err
	}
	return o.step(ctx, StepBootloader, cfg.timeouts.Bootloader, func(ctx context.Context) error {
		cfg.log.Info("Waiting for U-Boot prompt...")
		s, err := uboot.New(o.con, append([]uboot.Option{uboot.WithLogger(cfg.log)}, cfg.uboot...)...)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
		o.uboot = s
		return s.Interrupt(ctx)
	})
}

// toShell takes the board from the U-Boot prompt to a proved shell.
func (o *operation) toShell(ctx context.Context) error {
	t := &o.f.cfg.timeouts
	if err := o.step(ctx, StepNetwork, t.Network, o.setUpNetwork); err != nil {
		return err
	}
	if err := o.loadAll(ctx); err != nil {
		return err
	}
	if err := o.step(ctx, StepBoot, t.Boot, o.boot); err != nil {
		return err
	}
	return o.step(ctx, StepLogin, t.Boot, o.login)
}

func (o *operation) boot(ctx context.Context) error {
	o.f.cfg.log.Info("Running boot command", "command", o.bootCmd)
	return o.uboot.Boot(ctx, o.bootCmd)
}

// login waits for the board's shell, logs in and proves it.
func (o *operation) login(ctx context.Context) error {
	cfg := &o.f.cfg
	l := o.manifest.Spec.Login
	opts := []busybox.Option{
		busybox.WithLogger(cfg.log),
		busybox.WithKernelStarted(),
		busybox.WithLogin(busybox.Login{
			LoginPrompt: l.LoginPrompt, Username: l.Username, Password: l.Password, Prompt: l.Prompt,
		}),
	}
	sh, err := busybox.New(o.con, append(opts, cfg.busybox...)...)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := sh.Login(ctx); err != nil {
		return err
	}
	o.shell = sh
	cfg.log.Info("Shell on the board is up")
	return nil
}
