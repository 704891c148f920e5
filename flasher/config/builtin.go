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
// Power drivers of board files, with their keys. All but command and manual also
// have settle (how long to wait behind a switch, such as 500ms), timeout (of one
// try), tries, pause (between tries) and unverified: see power.Switching.
//
//	command   on, off, state (prints on or off), rescue: shell commands; timeout
//	gpio      chip (a name, a path or a number), line (offset or name), active_low, drive (push-pull, open-drain,
//	          open-source), bias (as-is, pull-up, pull-down, none); rescue_line,
//	          rescue_chip and rescue_hold for the boot strap. The line is let go of
//	          when the command ends, also behind "power on": see power/gpio
//	http      on, off: url, method, body; state: url, on, off (regular expressions);
//	          read: url, method, body, and volts, amperes, watts (places in the JSON
//	          of the answer, such as meters.0.power); headers, user, password, digest,
//	          cacert, insecure_tls
//	ipmi      address (HOST or HOST:PORT), user, password, operator, cipher_suite,
//	          graceful (a time), power_cycle: by the program ipmitool
//	manual    board: asks whoever sits at the terminal
//	qemu      qmp: unix:PATH or tcp:HOST:PORT of a QEMU that runs already
//	redfish   address, system, user, password, session, graceful (a time),
//	          power_cycle, cacert, insecure_tls
//	relay     port, relay (from 1), parallel (a list of further relays), status (the
//	          board answers), normally_closed: LCUS boards with a CH340
//	shelly    address, channel, user, password
//	snmp      address, make (apc, apc-masterswitch, apc-rpdu2, cyberpower, eaton,
//	          raritan, servertech) and outlet, or in their place on and off (oid,
//	          value) and state (oid, on, off); version (1, 2c, 3), community, user,
//	          auth, auth_key, priv, priv_key
//	tasmota   address (HTTP), or broker and topic (MQTT); full_topic, relay, user,
//	          password, cacert (of an mqtts broker)
//	usbhub    hub (its location, such as 1-1.4), port, without_peer
//	ykush     serial (of the hub), port (a number, or all)
//
// Serial drivers of board files:
//
//	url       url: see transport/serial; baudrate: for a local port or rfc2217
//
// Drivers of exporter files, with the keys that Jumpstarter gives them:
//
//	jumpstarter_driver_gpiod.driver.PowerSwitch, DigitalOutput
//	jumpstarter_driver_http_power.driver.HttpPower
//	jumpstarter_driver_network.driver.TcpNetwork, UnixNetwork    as a console
//	jumpstarter_driver_noyito_relay.driver.NoyitoPowerSerial
//	jumpstarter_driver_pyserial.driver.PySerial
//	jumpstarter_driver_shell.driver.Shell           its methods on, off, state, rescue
//	jumpstarter_driver_snmp.driver.SNMPServer
//	jumpstarter_driver_tasmota.driver.TasmotaPower  over tcp; client_id is made up
//	jumpstarter_driver_yepkit.driver.Ykush
//
// Some of their keys are for an exporter that runs all the time, and mean nothing
// here: log_level, check_present, always_on, and default and initial_value, as nothing
// is switched when a file is read.
func DefaultDrivers() Drivers {
	d := Drivers{
		Power: powerDrivers(),
		Serial: map[string]SerialDriver{
			"url": openURL,
			"jumpstarter_driver_network.driver.TcpNetwork":  decodeAs(openTCPNetwork),
			"jumpstarter_driver_network.driver.UnixNetwork": decodeAs(openUnixNetwork),
			pySerial: decodeAs(openPySerial),
		},
	}
	maps.Copy(d.Power, exporterPower())
	return d
}

type urlSettings struct {
	URL      string `yaml:"url"`
	Baudrate int    `yaml:"baudrate" in:"50..12000000"`
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
	if err := serial.Check(where); err != nil {
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

// seconds is how Jumpstarter writes a time.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
