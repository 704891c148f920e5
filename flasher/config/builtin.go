package config

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dutflash/dutflash/flasher"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/command"
	"github.com/dutflash/dutflash/transport/serial"
)

// DefaultDrivers returns new maps of the drivers that this package knows.
//
// Power drivers of board files, with their keys:
//
//	command   on, off: shell commands
//
// Serial drivers of board files:
//
//	url       url: see transport/serial; baudrate: for a local port
//
// Drivers of exporter files, with the keys that Jumpstarter gives them:
//
//	jumpstarter_driver_pyserial.driver.PySerial   url, baudrate
//	jumpstarter_driver_shell.driver.Shell         methods on and off
func DefaultDrivers() Drivers {
	shell := decodeAs(newShell)
	return Drivers{
		Power: map[string]PowerDriver{
			"command":                               decodeAs(newCommand),
			"jumpstarter_driver_shell.driver.Shell": shell,
		},
		Serial: map[string]SerialDriver{
			"url": openURL,
			"jumpstarter_driver_pyserial.driver.PySerial": decodeAs(openPySerial),
		},
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

// shellSettings are those of Jumpstarter's Shell driver whose methods on and off
// switch a board.
type shellSettings struct {
	Methods struct {
		On  string `yaml:"on"`
		Off string `yaml:"off"`
	} `yaml:"methods"`
}

func newShell(s shellSettings) (power.Controller, error) {
	return newCommand(commandSettings(s.Methods))
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
