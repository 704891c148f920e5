package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/dutflash/dutflash/flasher/config/internal/fields"
)

// services are the children of a flasher beside serial and power. What they describe
// dutflash has itself; what they say about it counts.
func services() map[string]func(*Board, found) error {
	return map[string]func(*Board, found) error{"tftp": useTFTP, "http": useHTTP, "uboot": useUBoot}
}

// service decodes the settings of a child that must be of a type.
func service(c found, kind string, into any) error {
	if c.kind != kind {
		return fields.At(c.at, c.path, fields.Unknown("server", c.kind, []string{kind}))
	}
	return c.settings.Decode(into)
}

func useTFTP(b *Board, c found) error {
	var s struct {
		RootDir    string `yaml:"root_dir"` // ours serves the files of the bundle from where they are
		Host       string `yaml:"host"`
		Port       int    `yaml:"port" in:"0..65535"`
		Advertised string `yaml:"advertised_host"`
		Remove     *bool  `yaml:"remove_created_on_close"` // ours leaves no files
	}
	if err := service(c, "jumpstarter_driver_tftp.driver.Tftp", &s); err != nil {
		return err
	}
	if s.Port != 0 && s.Port != 69 {
		return c.settings.locate(fmt.Errorf("port: U-Boot asks for files at port 69, and not at %d", s.Port))
	}
	if err := b.bindTo(s.Host); err != nil {
		return c.settings.locate(err)
	}
	if s.Advertised == "" {
		return nil
	}
	a, err := netip.ParseAddr(s.Advertised)
	if err != nil {
		return c.settings.locate(fmt.Errorf("advertised_host: %w", err))
	}
	if a.IsUnspecified() {
		return c.settings.locate(fmt.Errorf("advertised_host: %v is no address that a board could reach", a))
	}
	b.settings.ServerAddress = a
	return nil
}

func useHTTP(b *Board, c found) error {
	var s struct {
		RootDir string  `yaml:"root_dir"`
		Host    string  `yaml:"host"`
		Port    int     `yaml:"port" in:"0..65535"`
		Timeout float64 `yaml:"timeout" in:"0.."` // for what clients send to the server: they do not
	}
	if err := service(c, "jumpstarter_driver_http.driver.HttpServer", &s); err != nil {
		return err
	}
	b.HTTPDir = first(s.RootDir, b.HTTPDir)
	b.settings.HTTPPort, b.HTTPPort = s.Port, s.Port
	if err := b.bindTo(s.Host); err != nil {
		return c.settings.locate(err)
	}
	return nil
}

// bindTo sets the address that both servers listen on.
func (b *Board) bindTo(host string) error {
	if host == "" {
		return nil
	}
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return fmt.Errorf("host: %w", err)
	case b.settings.BindAddress.IsValid() && b.settings.BindAddress != a:
		return errors.New("host: tftp and http cannot listen on different addresses")
	case !a.IsUnspecified():
		b.settings.BindAddress, b.BindAddress = a, a.String()
	}
	return nil
}

func useUBoot(b *Board, c found) error {
	var s struct {
		Prompt string `yaml:"prompt"`
	}
	if err := service(c, "jumpstarter_driver_uboot.driver.UbootConsole", &s); err != nil {
		return err
	}
	if prompt := strings.TrimSpace(s.Prompt); prompt != "" {
		b.settings.UBoot.Prompts = []text{text(prompt + " ")}
	}
	return nil
}
