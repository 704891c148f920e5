package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/command"
	"github.com/dutflash/dutflash/power/httpswitch"
	"github.com/dutflash/dutflash/power/relay"
	"github.com/dutflash/dutflash/power/snmp"
	"github.com/dutflash/dutflash/power/tasmota"
	"github.com/dutflash/dutflash/power/ykush"
)

// exporterPower are the power drivers of exporter files, with the keys and the
// defaults that Jumpstarter's documentation gives them.
func exporterPower() map[string]PowerDriver {
	return map[string]PowerDriver{
		"jumpstarter_driver_gpiod.driver.DigitalOutput":            decodeAs(newGPIOD),
		"jumpstarter_driver_gpiod.driver.PowerSwitch":              decodeAs(newGPIOD),
		"jumpstarter_driver_http_power.driver.HttpPower":           decodeAs(newHTTPPower),
		"jumpstarter_driver_noyito_relay.driver.NoyitoPowerSerial": decodeAs(newNoyito),
		shellDriver: newShell,
		"jumpstarter_driver_snmp.driver.SNMPServer":      decodeAs(newSNMPServer),
		"jumpstarter_driver_tasmota.driver.TasmotaPower": decodeAs(newTasmotaPower),
		"jumpstarter_driver_yepkit.driver.Ykush":         decodeAs(newYepkit),
	}
}

type gpiodSettings struct {
	retries
	Device    string    `yaml:"device"`
	Line      int       `yaml:"line" in:"0.."`
	Drive     string    `yaml:"drive"`
	Mode      string    `yaml:"mode"` // Jumpstarter does not look at it
	ActiveLow bool      `yaml:"active_low"`
	Bias      string    `yaml:"bias"`
	Initial   yaml.Node `yaml:"initial_value"` // nothing is switched when a file is read
}

func newGPIOD(s gpiodSettings) (power.Controller, error) {
	bias := strings.ReplaceAll(s.Bias, "_", "-")
	if bias == "disabled" {
		bias = "none"
	}
	return newGPIO(gpioSettings{switchingFields: switchingFields{retries: s.retries}, Chip: first(s.Device, "/dev/gpiochip0"), Line: strconv.Itoa(s.Line), ActiveLow: s.ActiveLow, Drive: strings.ReplaceAll(s.Drive, "_", "-"), Bias: bias})
}

type noyitoSettings struct {
	retries
	Port        string `yaml:"port"`
	Channel     int    `yaml:"channel" in:"1..2"`
	AllChannels bool   `yaml:"all_channels"`
}

// newNoyito asks the board for its state where somebody wants to know it, and not
// behind each command: not all of them answer.
func newNoyito(s noyitoSettings) (power.Controller, error) {
	opts := []relay.Option{relay.WithStatus(), relay.WithSwitching(power.Switching{Unverified: true, Logger: s.log})}
	switch {
	case s.AllChannels:
		s.Channel = 1
		opts = append(opts, relay.WithParallel(2))
	case s.Channel == 0:
		s.Channel = 1
	}
	return relay.New(s.Port, s.Channel, opts...)
}

// shellSettings are those of the Shell driver whose methods on and off switch a
// board.
type shellSettings struct {
	Methods map[string]yaml.Node `yaml:"methods"`
	Shell   []string             `yaml:"shell"`
	Timeout int                  `yaml:"timeout" in:"0.."`
	Cwd     string               `yaml:"cwd"`
}

type shellMethod struct {
	Command     string `yaml:"command"`
	Description string `yaml:"description"`
	Timeout     int    `yaml:"timeout" in:"0.."`
}

// shellDriver is the type of the Shell driver, with its defaults.
const (
	shellDriver  = "jumpstarter_driver_shell.driver.Shell"
	shellTimeout = 300 // s
	shellProgram = "bash"
)

// shellLimit is the longest that one of its commands may take.
func shellLimit(settings Settings) time.Duration {
	var s shellSettings
	_ = settings.Decode(&s) // what does not fit is told by newShell
	limit := cmp.Or(s.Timeout, shellTimeout)
	for _, n := range s.Methods {
		var m shellMethod
		if n.Kind == yaml.MappingNode && n.Decode(&m) == nil {
			limit = max(limit, m.Timeout)
		}
	}
	return seconds(float64(limit))
}

func newShell(settings Settings) (power.Controller, error) {
	var s shellSettings
	if err := settings.Decode(&s); err != nil {
		return nil, err
	}
	c := command.Commands{Shell: s.Shell, Dir: s.Cwd}
	if c.Shell == nil {
		c.Shell = []string{shellProgram, "-c"}
	}
	s.Timeout = cmp.Or(s.Timeout, shellTimeout)
	for name, into := range map[string]*string{"on": &c.On, "off": &c.Off, "state": &c.State, "rescue": &c.Rescue} {
		n, ok := s.Methods[name]
		if !ok {
			continue
		}
		m := shellMethod{Timeout: s.Timeout}
		var err error
		if n.Kind == yaml.ScalarNode {
			m.Command = n.Value
		} else {
			err = Settings{&n, settings.path + ".methods." + name, settings.literal, settings.log}.Decode(&m)
		}
		if err != nil {
			return nil, err
		}
		*into = m.Command
		c.Timeout = max(c.Timeout, seconds(float64(m.Timeout)))
	}
	if err := required("methods.on", c.On, "methods.off", c.Off); err != nil {
		return nil, settings.locate(err)
	}
	p, err := command.New(c)
	if err != nil {
		return nil, settings.locate(err)
	}
	return p, nil
}

type yepkitSettings struct {
	retries
	Serial  string `yaml:"serial"`
	Port    string `yaml:"port"`
	Default string `yaml:"default"` // what an exporter switches when a lease begins
}

func newYepkit(s yepkitSettings) (power.Controller, error) {
	port, err := ykushPort(first(s.Port, "all"))
	if err != nil {
		return nil, err
	}
	return ykush.New(s.Serial, port, ykush.WithSwitching(power.Switching{Logger: s.log}))
}

type snmpServerSettings struct {
	retries
	Host         string  `yaml:"host"`
	User         string  `yaml:"user"`
	Plug         int     `yaml:"plug" in:"0.."`
	Port         int     `yaml:"port" in:"0..65535"`
	OID          string  `yaml:"oid"`
	AuthProtocol string  `yaml:"auth_protocol"`
	AuthKey      string  `yaml:"auth_key"`
	PrivProtocol string  `yaml:"priv_protocol"`
	PrivKey      string  `yaml:"priv_key"`
	Timeout      float64 `yaml:"timeout" in:"0.."`
}

// raritanOID is the default of Jumpstarter's driver: switchingOperation of a
// Raritan PDU, to which the number of the plug is put.
const raritanOID = "1.3.6.1.4.1.13742.6.4.1.2.1.2.1"

func newSNMPServer(s snmpServerSettings) (power.Controller, error) {
	if err := required("host", s.Host, "user", s.User); err != nil {
		return nil, err
	}
	outlet := snmp.Raritan(s.Plug)
	if oid := strings.Trim(s.OID, "."); oid != "" && oid != raritanOID {
		oid += "." + strconv.Itoa(s.Plug)
		outlet = snmp.Outlet{Name: fmt.Sprintf("outlet %d", s.Plug), On: snmp.Command{OID: oid, Value: 1}, Off: snmp.Command{OID: oid, Value: 0}}
	}
	address := s.Host
	if s.Port != 0 {
		address = net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
	}
	u := snmp.User{Name: s.User}
	if s.AuthProtocol != "" && s.AuthProtocol != "NONE" {
		u.Auth, u.AuthPassphrase = s.AuthProtocol, s.AuthKey
	}
	if s.PrivProtocol != "" && s.PrivProtocol != "NONE" {
		u.Privacy, u.PrivacyPassphrase = s.PrivProtocol, s.PrivKey
	}
	return snmp.New(address, outlet, snmp.WithV3(u), snmp.WithSwitching(power.Switching{Timeout: seconds(s.Timeout), Logger: s.log}))
}

type tasmotaPowerSettings struct {
	retries
	Host      string  `yaml:"host"`
	Port      int     `yaml:"port" in:"0..65535"`
	TLS       *bool   `yaml:"tls"`
	ClientID  string  `yaml:"client_id"` // ours is made up, so that two sessions do not cut each other off
	Transport string  `yaml:"transport"`
	Timeout   float64 `yaml:"timeout" in:"0.."`
	Username  string  `yaml:"username"`
	Password  string  `yaml:"password"`
	Command   string  `yaml:"cmnd_topic"`
	Status    string  `yaml:"stat_topic"`
}

func newTasmotaPower(s tasmotaPowerSettings) (power.Controller, error) {
	if err := required("host", s.Host, "cmnd_topic", s.Command, "stat_topic", s.Status); err != nil {
		return nil, err
	}
	if s.Transport != "" && s.Transport != "tcp" {
		return nil, fmt.Errorf("transport: %q is not supported, only tcp", s.Transport)
	}
	scheme, port := "mqtts", 1883
	if s.TLS != nil && !*s.TLS {
		scheme = "mqtt"
	}
	if s.Port != 0 {
		port = s.Port
	}
	device, err := tasmotaDevice(s.Command)
	if err != nil {
		return nil, err
	}
	opts := []tasmota.Option{tasmota.WithRelay(device.relay), tasmota.WithSwitching(power.Switching{Timeout: seconds(s.Timeout), Logger: s.log})}
	if s.Username != "" {
		opts = append(opts, tasmota.WithLogin(s.Username, s.Password))
	}
	return tasmota.NewMQTT(scheme+"://"+net.JoinHostPort(s.Host, strconv.Itoa(port)), device.topic, opts...)
}

type tasmotaName struct {
	topic string
	relay int
}

// tasmotaDevice reads cmnd/TOPIC/POWER or cmnd/TOPIC/POWER2.
func tasmotaDevice(command string) (tasmotaName, error) {
	fail := fmt.Errorf("cmnd_topic: %q is not cmnd/TOPIC/POWER", command)
	rest, ok := strings.CutPrefix(command, "cmnd/")
	i := strings.LastIndexByte(rest, '/')
	if !ok || i < 1 {
		return tasmotaName{}, fail
	}
	number, ok := strings.CutPrefix(strings.ToUpper(rest[i+1:]), "POWER")
	if !ok {
		return tasmotaName{}, fail
	}
	relay := 1
	if number != "" {
		var err error
		if relay, err = strconv.Atoi(number); err != nil {
			return tasmotaName{}, fail
		}
	}
	return tasmotaName{rest[:i], relay}, nil
}

type httpPowerRequest struct {
	URL    string `yaml:"url"`
	Method string `yaml:"method"`
	Data   string `yaml:"data"`
}

func (r httpPowerRequest) request() httpswitch.Request {
	return httpswitch.Request{Method: strings.ToUpper(r.Method), URL: r.URL, Body: r.Data}
}

type httpPowerLogin struct {
	User     string `yaml:"user"`
	Password string `yaml:"password"`
}

type httpPowerSettings struct {
	retries
	Name string           `yaml:"name"`
	On   httpPowerRequest `yaml:"power_on"`
	Off  httpPowerRequest `yaml:"power_off"`
	Read struct {
		httpPowerRequest
		Volts   string `yaml:"voltage_path"`
		Amperes string `yaml:"current_path"`
	} `yaml:"power_read"`
	Auth struct {
		Basic  *httpPowerLogin `yaml:"basic"`
		Digest *httpPowerLogin `yaml:"digest"`
	} `yaml:"auth"`
}

func newHTTPPower(s httpPowerSettings) (power.Controller, error) {
	if s.On.URL == "" || s.Off.URL == "" {
		return nil, errors.New("power_on and power_off need a url each")
	}
	opts := []httpswitch.Option{httpswitch.WithSwitching(power.Switching{Logger: s.log})}
	if s.Name != "" {
		opts = append(opts, httpswitch.WithName(s.Name))
	}
	if s.Read.URL != "" {
		opts = append(opts, httpswitch.WithMeter(s.Read.request(),
			httpswitch.Values{Volts: first(s.Read.Volts, "voltage?"), Amperes: first(s.Read.Amperes, "current?")}))
	}
	switch basic, digest := s.Auth.Basic, s.Auth.Digest; {
	case basic != nil && digest != nil:
		return nil, errors.New("auth: basic and digest exclude each other")
	case basic != nil:
		opts = append(opts, httpswitch.WithLogin(basic.User, basic.Password))
	case digest != nil:
		opts = append(opts, httpswitch.WithDigestLogin(digest.User, digest.Password))
	}
	return httpswitch.New(s.On.request(), s.Off.request(), opts...)
}
