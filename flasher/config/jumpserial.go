package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/flasher"
)

// pySerial is the type of Jumpstarter's serial driver.
const pySerial = "jumpstarter_driver_pyserial.driver.PySerial"

// pySerialSettings are those of Jumpstarter's PySerial driver.
type pySerialSettings struct {
	URL          string  `yaml:"url"`
	Baudrate     int     `yaml:"baudrate" in:"50..12000000"`
	CPS          float64 `yaml:"cps" in:"1..1000000"` // the pace of the board, see reader.exported
	DisableHUPCL bool    `yaml:"disable_hupcl"`
	CheckPresent *bool   `yaml:"check_present"` // whether to look for the port when the exporter starts: nothing of ours does
	AlwaysOn     *bool   `yaml:"always_on"`     // whether to read while nobody is connected
}

func openPySerial(s pySerialSettings) (flasher.OpenConsole, error) {
	scheme, rest, network := strings.Cut(s.URL, "://")
	switch {
	case network && scheme == "socket": // the speed is the other side's
		return openSerial(urlSettings{URL: "tcp://" + rest})
	case network && scheme != "rfc2217":
		return openSerial(urlSettings{URL: s.URL})
	}
	if s.Baudrate == 0 {
		s.Baudrate = 115200
	}
	if s.DisableHUPCL && !network && s.URL != "" {
		path, query, _ := strings.Cut(s.URL, "?")
		values, err := url.ParseQuery(query)
		if err != nil {
			return nil, err
		}
		values.Set("hupcl", "off")
		s.URL = path + "?" + values.Encode()
	}
	return openSerial(urlSettings{s.URL, s.Baudrate})
}

type tcpNetworkSettings struct {
	Host          string `yaml:"host"`
	Port          int    `yaml:"port" in:"1..65535"`
	EnableAddress *bool  `yaml:"enable_address"` // whether clients are told the address
}

func openTCPNetwork(s tcpNetworkSettings) (flasher.OpenConsole, error) {
	if err := required("host", s.Host); err != nil {
		return nil, err
	}
	if s.Port < 1 || s.Port > 65535 {
		return nil, fmt.Errorf("port: %d is no TCP port", s.Port)
	}
	return openSerial(urlSettings{URL: "tcp://" + net.JoinHostPort(s.Host, strconv.Itoa(s.Port))})
}

type unixNetworkSettings struct {
	Path string `yaml:"path"`
}

func openUnixNetwork(s unixNetworkSettings) (flasher.OpenConsole, error) {
	if err := required("path", s.Path); err != nil {
		return nil, err
	}
	return openSerial(urlSettings{URL: "unix://" + s.Path})
}
