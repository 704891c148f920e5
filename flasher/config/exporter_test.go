package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dutflash/dutflash/flasher/config"
	"github.com/dutflash/dutflash/power/relay"
	"github.com/dutflash/dutflash/power/ykush"
	"github.com/dutflash/dutflash/transport/serial"
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
		{"another server", change("      power:\n", "      http: {ref: video}\n      power:\n"), `export.video: unknown server "jumpstarter_driver_ustreamer.driver.UStreamer"; known are jumpstarter_driver_http.driver.HttpServer`},
		{"another child", change("      power:\n", "      video: {ref: video}\n      power:\n"), `unknown child of a flasher "video"; known are http, power, serial, tftp, uboot`},
		{"ref to itself", change("    type: jumpstarter_driver_pyserial.driver.PySerial\n    config: {url: \"socket://rack7:4001\"}\n", "    ref: serial\n"), "export.serial: its ref leads to itself"},
		{"ref into nothing", change("{ref: serial}", "{ref: serial.port}"), `unknown driver "serial.port"`},
		{"TFTP on another port", change("      power:\n", "      tftp: {type: jumpstarter_driver_tftp.driver.Tftp, config: {port: 70}}\n      power:\n"), "U-Boot asks for files at port 69"},
		{"two addresses", change("      power:\n", "      tftp: {type: jumpstarter_driver_tftp.driver.Tftp, config: {host: 10.0.0.1}}\n      http: {type: jumpstarter_driver_http.driver.HttpServer, config: {host: 10.0.0.2}}\n      power:\n"), "cannot listen on different addresses"},
		{"address that nobody reaches", change("      power:\n", "      tftp: {type: jumpstarter_driver_tftp.driver.Tftp, config: {advertised_host: 0.0.0.0}}\n      power:\n"), "tftp.config.advertised_host: 0.0.0.0 is no address"},
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

// rack is an exporter file with what else Jumpstarter's documentation has: drivers
// within a Composite, proxies, refs with dots, and servers of the flasher's own.
const rack = `
export:
  rack:
    type: jumpstarter_driver_composite.driver.Composite
    children:
      relay:
        type: jumpstarter_driver_noyito_relay.driver.NoyitoPowerSerial
        config: {port: /dev/ttyUSB7, all_channels: true, log_level: DEBUG}
      storage:
        type: jumpstarter_driver_flashers.driver.TIJ784S4Flasher
        config: {tftp_dir: /srv/tftp, http_dir: /srv/http, variant: first, log_level: DEBUG}
        children:
          serial: {ref: line}
          power: {type: jumpstarter_driver_composite.driver.Proxy, config: {ref: rack.relay}}
          tftp:
            type: jumpstarter_driver_tftp.driver.Tftp
            config: {root_dir: /srv/tftp, host: 10.0.0.1, advertised_host: 10.0.0.2}
          http:
            type: jumpstarter_driver_http.driver.HttpServer
            config: {root_dir: /srv/images, host: 10.0.0.1, port: 8081}
          uboot:
            type: jumpstarter_driver_uboot.driver.UbootConsole
            config: {prompt: "\nJ784S4 =>"}
            children: {serial: {ref: line}, power: {ref: rack.relay}}
  line: {ref: port}
  port:
    type: jumpstarter_driver_pyserial.driver.PySerial
    config: {url: /dev/ttyUSB0, baudrate: 1500000, cps: 10, disable_hupcl: true, always_on: true, check_present: false}
`

func TestRack(t *testing.T) {
	f, err := config.Parse([]byte(rack))
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Board("rack.storage")
	if err != nil {
		t.Fatal(err)
	}
	if b.Name != "rack.storage" || b.TFTPDir != "" || b.HTTPDir != "/srv/images" || b.HTTPPort != 8081 || b.BindAddress != "10.0.0.1" || b.Variant != "first" {
		t.Errorf("got %+v", b)
	}
	if p, err := b.Power(); err != nil {
		t.Error(err)
	} else if _, ok := p.(*relay.Controller); !ok {
		t.Errorf("the power switch is a %T", p)
	}
	if _, err := b.Flasher(); err != nil {
		t.Error(err)
	}
	open, err := b.OpenConsole()
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(t.Context())
	if want := "/dev/ttyUSB0?baud=1500000&hupcl=off"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the console is not %s: %v", want, err)
	}
	if _, err := config.Parse([]byte(strings.Replace(rack, "cps: 10", "cps: -1", 1))); err == nil || !strings.Contains(err.Error(), "cps: -1 is not from 1") {
		t.Errorf("cps is not checked: %v", err)
	}
}

// TestExporterIsLiteral: Jumpstarter puts in nothing for a dollar sign, and shells
// have a use for it.
func TestExporterIsLiteral(t *testing.T) {
	dir := t.TempDir()
	text := strings.Replace(exporter, "{methods: {on: relay on, off: relay off}}",
		`{shell: [sh, -c], cwd: `+dir+`, timeout: 20, methods: {on: {command: 'A=x; echo ${A}$$ >on', description: on, timeout: 30}, off: "true", other: {command: x}}}`, 1)
	f, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Board("")
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Power()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.On(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "on")); err != nil || !regexp.MustCompile(`^x\d+\n$`).Match(got) {
		t.Errorf("the command wrote %q, %v", got, err)
	}
}

func TestExporterConsoles(t *testing.T) {
	for driver, url := range map[string]string{
		`pyserial.driver.PySerial, config: {url: "rfc2217://127.0.0.1:1", baudrate: 1500000}`: "rfc2217://127.0.0.1:1?baud=1500000",
		`pyserial.driver.PySerial, config: {url: "socket://127.0.0.1:1", baudrate: 9600}`:     "tcp://127.0.0.1:1",
		`pyserial.driver.PySerial, config: {url: COM97, baudrate: 9600}`:                      "COM97?baud=9600",
		`network.driver.TcpNetwork, config: {host: 127.0.0.1, port: 1, enable_address: true}`: "tcp://127.0.0.1:1",
		`network.driver.UnixNetwork, config: {path: /none/sock}`:                              "unix:///none/sock",
	} {
		text := seedExporter[:strings.Index(seedExporter, "  serial:\n    type")] + "  serial: {type: jumpstarter_driver_" + driver + "}\n" +
			seedExporter[strings.Index(seedExporter, "  power:\n    type"):]
		f, err := config.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", driver, err)
			continue
		}
		b, err := f.Board("")
		if err != nil {
			t.Fatal(err)
		}
		open, err := b.OpenConsole()
		if err != nil {
			t.Fatal(err)
		}
		var typed *serial.Error
		if _, err := open(t.Context()); !errors.As(err, &typed) || typed.URL != url {
			t.Errorf("%s: got %v, want the console %s", driver, err, url)
		}
	}
}
