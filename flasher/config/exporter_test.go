package config_test

import (
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/power/ykush"
)

// seedExporter is the configuration of the document that the project was founded
// on, as it stands there.
const seedExporter = `export:
  storage:
    type: "jumpstarter_driver_flashers.driver.TIJ784S4Flasher"
    children:
      serial:
        ref: "serial"
      power:
        ref: "power"
  serial:
    type: "jumpstarter_driver_pyserial.driver.PySerial"
    config:
      url: "/dev/serial/by-id/usb-FTDI_USB__-__Serial_Converter_112214101760A-if00-port0"
      baudrate: 115200
  power:
    type: jumpstarter_driver_yepkit.driver.Ykush
    config:
      serial: "YK112233"
      port: "1"
`

// exporter is a whole exporter file, with a switch that runs commands.
const exporter = `apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
metadata: {namespace: default, name: demo}
endpoint: grpc.jumpstarter.lab:443
token: secret
export:
  storage:
    type: "jumpstarter_driver_flashers.driver.RCarS4Flasher"
    config:
      flasher_bundle: registry.lab/rcar:7
      cache_dir: /var/cache/lab
      default_target: emmc
    children:
      serial: {ref: serial}
      power:
        type: jumpstarter_driver_shell.driver.Shell
        config: {methods: {on: relay on, off: relay off}}
  serial:
    type: jumpstarter_driver_pyserial.driver.PySerial
    config: {url: "socket://rack7:4001"}
  video:
    type: jumpstarter_driver_ustreamer.driver.UStreamer
    config: {args: {device: /dev/video0}}
`

// TestSeedExporter: it loads as it stands.
func TestSeedExporter(t *testing.T) {
	f, err := config.Parse([]byte(seedExporter))
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Board("storage")
	if err != nil {
		t.Fatal(err)
	}
	if want := "quay.io/jumpstarter-dev/jumpstarter-flasher-ti-j784s4:latest"; b.FlasherBundle != want {
		t.Errorf("bundle %q, want %q", b.FlasherBundle, want)
	}
	if p, err := b.Power(); err != nil {
		t.Error(err)
	} else if _, ok := p.(*ykush.Controller); !ok {
		t.Errorf("the power switch is a %T", p)
	}
	if _, err := b.Flasher(); err != nil {
		t.Error(err)
	}
}

func TestExporter(t *testing.T) {
	f, err := config.Parse([]byte(exporter))
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Board("")
	if err != nil {
		t.Fatal(err)
	}
	if b.Name != "storage" || b.FlasherBundle != "registry.lab/rcar:7" || b.CacheDir != "/var/cache/lab" || b.DefaultTarget != "emmc" {
		t.Errorf("got %+v", b)
	}
	if _, err := b.Flasher(); err != nil {
		t.Error(err)
	}
}

func TestExporterProblems(t *testing.T) {
	change := func(old, new string) string { return strings.Replace(exporter, old, new, 1) }
	for _, tc := range []struct{ name, text, says string }{
		{"unknown switch", change("shell.driver.Shell", "shel.driver.Shel"), `unknown power driver "jumpstarter_driver_shel.driver.Shel"; did you mean "jumpstarter_driver_shell.driver.Shell"?`},
		{"unknown line", change("pyserial.driver.PySerial", "dutlink.driver.DutlinkSerial"), "export.serial: unknown serial driver"},
		{"ref to nothing", change("{ref: serial}", "{ref: serail}"), `export.storage.children.serial.ref: unknown driver "serail"; did you mean "serial"?`},
		{"no serial", change("      serial: {ref: serial}\n", ""), "export.storage.children: it has no serial"},
		{"unknown flasher", strings.Replace(change("RCarS4Flasher", "MyFlasher"), "      flasher_bundle: registry.lab/rcar:7\n", "", 1), "give it a flasher_bundle"},
		{"another server", change("      power:\n", "      http: {ref: video}\n      power:\n"), "export.storage.children.http: dutflash has servers of its own"},
		{"misspelt parameter", change("cache_dir", "cachedir"), `export.storage.config.cachedir: unknown key "cachedir"; did you mean "cache_dir"?`},
		{"no flasher", "export: {serial: {type: jumpstarter_driver_pyserial.driver.PySerial}}", "no driver in it is a flasher"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := config.Parse([]byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v\nwant %q", err, tc.says)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Error("the token is in the error")
			}
		})
	}
}
