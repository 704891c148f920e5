package config

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/dutflash/dutflash/flasher/config/internal/fields"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/command"
	"github.com/dutflash/dutflash/power/gpio"
	"github.com/dutflash/dutflash/power/httpswitch"
	"github.com/dutflash/dutflash/power/manual"
	"github.com/dutflash/dutflash/power/qemu"
	"github.com/dutflash/dutflash/power/relay"
	"github.com/dutflash/dutflash/power/shelly"
	"github.com/dutflash/dutflash/power/snmp"
	"github.com/dutflash/dutflash/power/tasmota"
	"github.com/dutflash/dutflash/power/usbhub"
	"github.com/dutflash/dutflash/power/ykush"
)

// powerDrivers are the power drivers of board files.
func powerDrivers() map[string]PowerDriver {
	return map[string]PowerDriver{
		"command": decodeAs(newCommand),
		"gpio":    decodeAs(newGPIO),
		"http":    decodeAs(newHTTP),
		"ipmi":    decodeAs(newIPMI),
		"manual":  decodeAs(newManual),
		"qemu":    decodeAs(newQEMU),
		"redfish": decodeAs(newRedfish),
		"relay":   decodeAs(newRelay),
		"shelly":  decodeAs(newShelly),
		"snmp":    decodeAs(newSNMP),
		"tasmota": decodeAs(newTasmota),
		"usbhub":  decodeAs(newUSBHub),
		"ykush":   decodeAs(newYkush),
	}
}

type commandSettings struct {
	On  string `yaml:"on"`
	Off string `yaml:"off"`
}

func newCommand(s commandSettings) (power.Controller, error) {
	if err := required("on", s.On, "off", s.Off); err != nil {
		return nil, err
	}
	return command.New(command.Commands{On: s.On, Off: s.Off})
}

type gpioSettings struct {
	Chip      string        `yaml:"chip"`
	Line      string        `yaml:"line"`
	ActiveLow bool          `yaml:"active_low"`
	Settle    time.Duration `yaml:"settle"`
}

func newGPIO(s gpioSettings) (power.Controller, error) {
	opts := []gpio.Option{gpio.WithSwitching(power.Switching{Settle: s.Settle})}
	if s.ActiveLow {
		opts = append(opts, gpio.WithActiveLow())
	}
	return gpio.New(s.Chip, s.Line, opts...)
}

type requestSettings struct {
	Method string `yaml:"method"`
	URL    string `yaml:"url"`
	Body   string `yaml:"body"`
}

func (r requestSettings) request(header http.Header) httpswitch.Request {
	return httpswitch.Request{Method: r.Method, URL: r.URL, Body: r.Body, Header: header}
}

type stateSettings struct {
	URL string `yaml:"url"`
	On  string `yaml:"on"`
	Off string `yaml:"off"`
}

type httpSettings struct {
	On          requestSettings   `yaml:"on"`
	Off         requestSettings   `yaml:"off"`
	State       stateSettings     `yaml:"state"`
	Headers     map[string]string `yaml:"headers"`
	User        string            `yaml:"user"`
	Password    string            `yaml:"password"`
	CACert      string            `yaml:"cacert"`
	InsecureTLS bool              `yaml:"insecure_tls"`
	Settle      time.Duration     `yaml:"settle"`
}

func newHTTP(s httpSettings) (power.Controller, error) {
	header := http.Header{}
	for name, value := range s.Headers {
		header.Set(name, value)
	}
	opts := []httpswitch.Option{httpswitch.WithSwitching(power.Switching{Settle: s.Settle})}
	if s.State.URL != "" {
		opts = append(opts, httpswitch.WithState(httpswitch.Request{URL: s.State.URL, Header: header}, s.State.On, s.State.Off))
	}
	if s.User != "" {
		opts = append(opts, httpswitch.WithLogin(s.User, s.Password))
	}
	if s.CACert != "" {
		pem, err := os.ReadFile(s.CACert)
		if err != nil {
			return nil, fmt.Errorf("cacert: %w", err)
		}
		opts = append(opts, httpswitch.WithCA(pem))
	}
	if s.InsecureTLS {
		opts = append(opts, httpswitch.WithInsecureTLS())
	}
	return httpswitch.New(s.On.request(header), s.Off.request(header), opts...)
}

type manualSettings struct {
	Board string `yaml:"board"`
}

func newManual(s manualSettings) (power.Controller, error) {
	return manual.New(s.Board, os.Stdin, os.Stderr)
}

type qemuSettings struct {
	QMP string `yaml:"qmp"`
}

func newQEMU(s qemuSettings) (power.Controller, error) { return qemu.Attach(s.QMP) }

type relaySettings struct {
	Port           string        `yaml:"port"`
	Relay          int           `yaml:"relay"`
	NormallyClosed bool          `yaml:"normally_closed"`
	Settle         time.Duration `yaml:"settle"`
}

func newRelay(s relaySettings) (power.Controller, error) {
	opts := []relay.Option{relay.WithSwitching(power.Switching{Settle: s.Settle})}
	if s.NormallyClosed {
		opts = append(opts, relay.WithNormallyClosed())
	}
	return relay.New(s.Port, s.Relay, opts...)
}

type shellySettings struct {
	Address  string        `yaml:"address"`
	Channel  int           `yaml:"channel"`
	User     string        `yaml:"user"`
	Password string        `yaml:"password"`
	Settle   time.Duration `yaml:"settle"`
}

func newShelly(s shellySettings) (power.Controller, error) {
	opts := []shelly.Option{shelly.WithSwitching(power.Switching{Settle: s.Settle}), shelly.WithChannel(s.Channel)}
	if s.Password != "" {
		opts = append(opts, shelly.WithPassword(s.User, s.Password))
	}
	return shelly.New(s.Address, opts...)
}

type snmpSettings struct {
	Address   string        `yaml:"address"`
	Make      string        `yaml:"make"`
	Outlet    int           `yaml:"outlet"`
	Version   string        `yaml:"version"`
	Community string        `yaml:"community"`
	User      string        `yaml:"user"`
	Auth      string        `yaml:"auth"`
	AuthKey   string        `yaml:"auth_key"`
	Priv      string        `yaml:"priv"`
	PrivKey   string        `yaml:"priv_key"`
	Settle    time.Duration `yaml:"settle"`
}

// outlets are the makes of PDUs that are known.
func outlets() map[string]func(int) snmp.Outlet {
	return map[string]func(int) snmp.Outlet{
		"apc": snmp.APC, "apc-masterswitch": snmp.APCMasterSwitch, "apc-rpdu2": snmp.APCRackPDU2, "cyberpower": snmp.CyberPower,
		"eaton": snmp.Eaton, "raritan": snmp.Raritan, "servertech": snmp.ServerTech,
	}
}

func newSNMP(s snmpSettings) (power.Controller, error) {
	outlet, ok := outlets()[s.Make]
	if !ok {
		return nil, fmt.Errorf("make: %w", fields.Unknown("make of PDU", s.Make, names(outlets())))
	}
	opts := []snmp.Option{snmp.WithSwitching(power.Switching{Settle: s.Settle})}
	switch s.Version {
	case "1":
		opts = append(opts, snmp.WithV1(s.Community))
	case "", "2c":
		opts = append(opts, snmp.WithV2c(s.Community))
	case "3":
		opts = append(opts, snmp.WithV3(snmp.User{Name: s.User, Auth: s.Auth, AuthPassphrase: s.AuthKey, Privacy: s.Priv, PrivacyPassphrase: s.PrivKey}))
	default:
		return nil, fmt.Errorf("version: %q is none of 1, 2c and 3", s.Version)
	}
	return snmp.New(s.Address, outlet(s.Outlet), opts...)
}

type tasmotaSettings struct {
	Address   string        `yaml:"address"`
	Broker    string        `yaml:"broker"`
	Topic     string        `yaml:"topic"`
	FullTopic string        `yaml:"full_topic"`
	Relay     int           `yaml:"relay"`
	User      string        `yaml:"user"`
	Password  string        `yaml:"password"`
	Settle    time.Duration `yaml:"settle"`
}

func newTasmota(s tasmotaSettings) (power.Controller, error) {
	opts := []tasmota.Option{tasmota.WithSwitching(power.Switching{Settle: s.Settle})}
	if s.User != "" {
		opts = append(opts, tasmota.WithLogin(s.User, s.Password))
	}
	if s.Relay != 0 {
		opts = append(opts, tasmota.WithRelay(s.Relay))
	}
	if s.FullTopic != "" {
		opts = append(opts, tasmota.WithFullTopic(s.FullTopic))
	}
	switch {
	case s.Address != "" && s.Broker == "" && s.Topic == "":
		return tasmota.New(s.Address, opts...)
	case s.Address == "" && s.Broker != "" && s.Topic != "":
		return tasmota.NewMQTT(s.Broker, s.Topic, opts...)
	}
	return nil, errors.New("it needs an address (HTTP), or a broker and a topic (MQTT)")
}

type usbHubSettings struct {
	Hub         string        `yaml:"hub"`
	Port        int           `yaml:"port"`
	WithoutPeer bool          `yaml:"without_peer"`
	Settle      time.Duration `yaml:"settle"`
}

func newUSBHub(s usbHubSettings) (power.Controller, error) {
	opts := []usbhub.Option{usbhub.WithSwitching(power.Switching{Settle: s.Settle})}
	if s.WithoutPeer {
		opts = append(opts, usbhub.WithoutPeer())
	}
	return usbhub.New(s.Hub, s.Port, opts...)
}

type ykushSettings struct {
	Serial string        `yaml:"serial"`
	Port   int           `yaml:"port"`
	Settle time.Duration `yaml:"settle"`
}

func newYkush(s ykushSettings) (power.Controller, error) {
	return ykush.New(s.Serial, s.Port, ykush.WithSwitching(power.Switching{Settle: s.Settle}))
}
