package config

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/transport/serial"
)

// DefaultDrivers returns new maps of the drivers that this package knows.
//
// Power drivers of board files, with their keys (settle is how long to wait behind
// a switch, such as 500ms):
//
//	command   on, off: shell commands
//	gpio      chip, line (offset or name), active_low, settle
//	http      on, off: url, method, body; state: url, on, off (regular expressions);
//	          headers, user, password, cacert, insecure_tls, settle
//	ipmi      address (HOST or HOST:PORT), user, password, operator, cipher_suite,
//	          graceful (a time), power_cycle, settle: by the program ipmitool
//	manual    board: asks whoever sits at the terminal
//	qemu      qmp: unix:PATH or tcp:HOST:PORT of a QEMU that runs already
//	redfish   address, system, user, password, session, graceful (a time),
//	          power_cycle, cacert, insecure_tls, settle
//	relay     port, relay (from 1), normally_closed, settle: LCUS boards with a CH340
//	shelly    address, channel, user, password, settle
//	snmp      address, make (apc, apc-masterswitch, apc-rpdu2, cyberpower, eaton,
//	          raritan, servertech), outlet, version (1, 2c, 3), community, user,
//	          auth, auth_key, priv, priv_key, settle
//	tasmota   address (HTTP), or broker and topic (MQTT); full_topic, relay, user,
//	          password, settle
//	usbhub    hub (its location, such as 1-1.4), port, without_peer, settle
//	ykush     serial (of the hub), port, settle
//
// Serial drivers of board files:
//
//	url       url: see transport/serial; baudrate: for a local port
//
// Drivers of exporter files, with the keys that Jumpstarter gives them:
//
//	jumpstarter_driver_http_power.driver.HttpPower  without power_read, which says no state
//	jumpstarter_driver_pyserial.driver.PySerial
//	jumpstarter_driver_shell.driver.Shell           methods on and off
//	jumpstarter_driver_snmp.driver.SNMPServer
//	jumpstarter_driver_tasmota.driver.TasmotaPower  over tcp; client_id is made up
//	jumpstarter_driver_yepkit.driver.Ykush
func DefaultDrivers() Drivers {
	d := Drivers{
		Power: powerDrivers(),
		Serial: map[string]SerialDriver{
			"url": openURL,
			"jumpstarter_driver_pyserial.driver.PySerial": decodeAs(openPySerial),
		},
	}
	maps.Copy(d.Power, exporterPower())
	return d
}

type urlSettings struct {
	URL      string `yaml:"url"`
	Baudrate int    `yaml:"baudrate"`
}

// openURL takes a URL alone, too.
func openURL(s Settings) (flasher.OpenConsole, error) {
	if s.node.Kind == yaml.ScalarNode {
		var u string
		if err := s.Decode(&u); err != nil {
			return nil, err
		}
		return openSerial(urlSettings{URL: u})
	}
	return decodeAs(openSerial)(s)
}

func openSerial(s urlSettings) (flasher.OpenConsole, error) {
	if err := required("url", s.URL); err != nil {
		return nil, err
	}
	where, err := withBaudrate(s.URL, s.Baudrate)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (io.ReadWriteCloser, error) { return serial.Open(ctx, where) }, nil
}

// withBaudrate puts a speed into a URL, of which it must not be part already.
func withBaudrate(where string, baudrate int) (string, error) {
	if baudrate == 0 {
		return where, nil
	}
	path, query, _ := strings.Cut(where, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	if baudrate < 0 || values.Has("baud") {
		return "", fmt.Errorf("baudrate is %d, and the url is %s: say it once, and positive", baudrate, where)
	}
	values.Set("baud", strconv.Itoa(baudrate))
	return path + "?" + values.Encode(), nil
}

// pySerialSettings are those of Jumpstarter's PySerial driver.
type pySerialSettings struct {
	URL          string `yaml:"url"`
	Baudrate     int    `yaml:"baudrate"`
	CheckPresent *bool  `yaml:"check_present"` // whether to look for the port when the exporter starts: nothing of ours does
}

func openPySerial(s pySerialSettings) (flasher.OpenConsole, error) {
	for from, to := range map[string]string{"socket://": "tcp://"} {
		if rest, ok := strings.CutPrefix(s.URL, from); ok {
			s.URL = to + rest
		}
	}
	if s.Baudrate == 0 && strings.HasPrefix(s.URL, "/") {
		s.Baudrate = 115200
	}
	if !strings.HasPrefix(s.URL, "/") {
		s.Baudrate = 0 // the speed is the other side's
	}
	return openSerial(urlSettings{s.URL, s.Baudrate})
}

// seconds is how Jumpstarter writes a time.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
