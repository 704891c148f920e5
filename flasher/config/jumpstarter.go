package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/httpswitch"
	"github.com/dutflash/dutflash/power/snmp"
	"github.com/dutflash/dutflash/power/tasmota"
	"github.com/dutflash/dutflash/power/ykush"
)

// exporterPower are the power drivers of exporter files, with the keys and the
// defaults that Jumpstarter's documentation gives them.
func exporterPower() map[string]PowerDriver {
	return map[string]PowerDriver{
		"jumpstarter_driver_http_power.driver.HttpPower": decodeAs(newHTTPPower),
		"jumpstarter_driver_shell.driver.Shell":          decodeAs(newShell),
		"jumpstarter_driver_snmp.driver.SNMPServer":      decodeAs(newSNMPServer),
		"jumpstarter_driver_tasmota.driver.TasmotaPower": decodeAs(newTasmotaPower),
		"jumpstarter_driver_yepkit.driver.Ykush":         decodeAs(newYepkit),
	}
}

// shellSettings are those of the Shell driver whose methods on and off switch a
// board.
type shellSettings struct {
	Methods struct {
		On  string `yaml:"on"`
		Off string `yaml:"off"`
	} `yaml:"methods"`
}

func newShell(s shellSettings) (power.Controller, error) {
	return newCommand(commandSettings(s.Methods))
}

type yepkitSettings struct {
	Serial string `yaml:"serial"`
	Port   string `yaml:"port"`
}

func newYepkit(s yepkitSettings) (power.Controller, error) {
	port, err := strconv.Atoi(s.Port)
	if err != nil {
		return nil, fmt.Errorf("port: %q is no number of a port: a board hangs on one", s.Port)
	}
	return ykush.New(s.Serial, port)
}

type snmpServerSettings struct {
	Host         string  `yaml:"host"`
	User         string  `yaml:"user"`
	Plug         int     `yaml:"plug"`
	Port         int     `yaml:"port"`
	OID          string  `yaml:"oid"`
	AuthProtocol string  `yaml:"auth_protocol"`
	AuthKey      string  `yaml:"auth_key"`
	PrivProtocol string  `yaml:"priv_protocol"`
	PrivKey      string  `yaml:"priv_key"`
	Timeout      float64 `yaml:"timeout"`
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
	return snmp.New(address, outlet, snmp.WithV3(u), snmp.WithSwitching(power.Switching{Timeout: seconds(s.Timeout)}))
}

type tasmotaPowerSettings struct {
	Host      string  `yaml:"host"`
	Port      int     `yaml:"port"`
	TLS       *bool   `yaml:"tls"`
	ClientID  string  `yaml:"client_id"` // ours is made up, so that two sessions do not cut each other off
	Transport string  `yaml:"transport"`
	Timeout   float64 `yaml:"timeout"`
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
	opts := []tasmota.Option{tasmota.WithRelay(device.relay), tasmota.WithSwitching(power.Switching{Timeout: seconds(s.Timeout)})}
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

type httpPowerSettings struct {
	Name string           `yaml:"name"`
	On   httpPowerRequest `yaml:"power_on"`
	Off  httpPowerRequest `yaml:"power_off"`
	Read httpPowerRequest `yaml:"power_read"` // what it answers, Jumpstarter does not say either
	Auth struct {
		Basic struct {
			User     string `yaml:"user"`
			Password string `yaml:"password"`
		} `yaml:"basic"`
	} `yaml:"auth"`
}

func newHTTPPower(s httpPowerSettings) (power.Controller, error) {
	if s.On.URL == "" || s.Off.URL == "" {
		return nil, errors.New("power_on and power_off need a url each")
	}
	var opts []httpswitch.Option
	if s.Name != "" {
		opts = append(opts, httpswitch.WithName(s.Name))
	}
	if u := s.Auth.Basic.User; u != "" {
		opts = append(opts, httpswitch.WithLogin(u, s.Auth.Basic.Password))
	}
	return httpswitch.New(httpswitch.Request{Method: s.On.Method, URL: s.On.URL, Body: s.On.Data},
		httpswitch.Request{Method: s.Off.Method, URL: s.Off.URL, Body: s.Off.Data}, opts...)
}
