package flasher_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	expect "github.com/Netflix/go-expect"

	"github.com/dutflash/dutflash/busybox"
	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/internal/virtboard"
	"github.com/dutflash/dutflash/internal/virtboard/debian"
	"github.com/dutflash/dutflash/uboot"
)

func TestBootloaderShell(t *testing.T) {
	t.Parallel()
	eachArch(t, func(t *testing.T, arch virtboard.Arch) {
		r := newRig(t, arch, 16*mib)
		f := r.flasher(t, bundleDir(t, arch, debian.Bundle{}))
		s, err := f.BootloaderShell(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if out, err := s.Run(t.Context(), "version"); err != nil || !strings.Contains(out, "U-Boot 20") {
			t.Errorf("version: %q, %v", out, err)
		}
		var status *uboot.CommandError
		if _, err := s.Run(t.Context(), "false"); !errors.As(err, &status) || status.Status != 1 {
			t.Errorf("false: %v, want exit status 1", err)
		}
		// As in the seed: send, expect, look at what stood before.
		if err := s.Send(t.Context(), "version\r"); err != nil {
			t.Fatal(err)
		}
		m, err := s.Expect(t.Context(), expect.String("=> "))
		if err != nil || !strings.Contains(m.Before, "U-Boot 20") {
			t.Errorf("expect: %+v, %v", m, err)
		}
		// The servers are up.
		n, err := s.DHCP(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n.Server = r.board.Network().Address()
		if err := s.SetNetwork(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if _, err := s.TFTPBoot(t.Context(), uboot.File{Name: s.Files()[1], Address: debian.LoadAddresses(arch).Initramfs, Size: -1}); err != nil {
			t.Error(err)
		}
		if _, err := f.BusyboxShell(t.Context()); !errors.Is(err, flasher.ErrBusy) {
			t.Errorf("a second session: %v, want ErrBusy", err)
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		r.isOff(t)
	})
}

func TestBusyboxShell(t *testing.T) {
	t.Parallel()
	eachArch(t, func(t *testing.T, arch virtboard.Arch) {
		r := newRig(t, arch, 16*mib)
		dir := bundleDir(t, arch, debian.Bundle{})
		f := r.flasher(t, dir, flasher.WithPowerOff(false))
		s, err := f.BusyboxShell(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if out, err := s.Run(t.Context(), "uname -s"); err != nil || strings.TrimSpace(out) != "Linux" {
			t.Errorf("uname: %q, %v", out, err)
		}
		var status *busybox.CommandError
		if _, err := s.Run(t.Context(), "exit 42"); !errors.As(err, &status) || status.Status != 42 {
			t.Errorf("exit 42: %v", err)
		}
		// The HTTP server has the bundle's files.
		want, err := os.ReadFile(filepath.Join(dir, "data", "initramfs"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Fetch(t.Context(), s.FileURL("initramfs"), "/tmp/initramfs"); err != nil {
			t.Fatal(err)
		}
		if out, err := s.Run(t.Context(), "sha256sum </tmp/initramfs"); err != nil || !strings.HasPrefix(out, sha256Hex(want)) {
			t.Errorf("fetched file: %q, %v", out, err)
		}
		// A person gets the prompt back and can type.
		if err := s.Interactive(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Send(t.Context(), "echo two''words\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Expect(t.Context(), expect.String("twowords")); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if on, err := r.board.State(t.Context()); !on || err != nil {
			t.Errorf("WithPowerOff(false) left the board on: %v, %v", on, err)
		}
	})
}
