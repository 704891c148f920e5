package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/command"
	"github.com/dutflash/dutflash/power/manual"
	"github.com/dutflash/dutflash/power/qemu"
	"github.com/dutflash/dutflash/power/relay"
	"github.com/dutflash/dutflash/power/shelly"
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

// switchingFields are what the drivers have in common whose device can fail for a
// moment.
type switchingFields struct {
	retries
	Settle     time.Duration `yaml:"settle" in:"0s.."`
	Timeout    time.Duration `yaml:"timeout" in:"0s.."`
	Tries      int           `yaml:"tries" in:"0.."`
	Pause      time.Duration `yaml:"pause" in:"0s.."`
	Unverified bool          `yaml:"unverified"`
}

func (s switchingFields) switching() power.Switching {
	return power.Switching{Settle: s.Settle, Timeout: s.Timeout, Tries: s.Tries, Pause: s.Pause, Unverified: s.Unverified, Logger: s.log}
}

// retries are told to a logger, which decodeAs sets.
type retries struct{ log *slog.Logger }

func (r *retries) setLogger(log *slog.Logger) { r.log = log }

type commandSettings struct {
	On      string        `yaml:"on"`
	Off     string        `yaml:"off"`
	State   string        `yaml:"state"`
	Rescue  string        `yaml:"rescue"`
	Timeout time.Duration `yaml:"timeout" in:"0s.."`
}

func newCommand(s commandSettings) (power.Controller, error) {
	if err := required("on", s.On, "off", s.Off); err != nil {
		return nil, err
	}
	return command.New(command.Commands{On: s.On, Off: s.Off, State: s.State, Rescue: s.Rescue, Timeout: s.Timeout})
}

type manualSettings struct {
	Board string `yaml:"board"`
}

func newManual(s manualSettings) (power.Controller, error) {
	if err := required("board", s.Board); err != nil {
		return nil, err
	}
	return manual.New(s.Board, os.Stdin, os.Stderr)
}

type qemuSettings struct {
	switchingFields
	QMP string `yaml:"qmp"`
}

func newQEMU(s qemuSettings) (power.Controller, error) {
	return qemu.Attach(s.QMP, qemu.WithSwitching(s.switching()))
}

type relaySettings struct {
	switchingFields
	Port           string `yaml:"port"`
	Relay          int    `yaml:"relay" in:"1..255"`
	Parallel       []int  `yaml:"parallel" in:"1..255"`
	Status         bool   `yaml:"status"`
	NormallyClosed bool   `yaml:"normally_closed"`
}

func newRelay(s relaySettings) (power.Controller, error) {
	if s.Relay == 0 { // one that is given is from 1 on
		return nil, required("port", s.Port, "relay", "")
	}
	opts := []relay.Option{relay.WithSwitching(s.switching()), relay.WithParallel(s.Parallel...)}
	if s.Status {
		opts = append(opts, relay.WithStatus())
	}
	if s.NormallyClosed {
		opts = append(opts, relay.WithNormallyClosed())
	}
	return relay.New(s.Port, s.Relay, opts...)
}

type shellySettings struct {
	switchingFields
	Address  string `yaml:"address"`
	Channel  int    `yaml:"channel" in:"0.."`
	User     string `yaml:"user"`
	Password string `yaml:"password"`
}

func newShelly(s shellySettings) (power.Controller, error) {
	opts := []shelly.Option{shelly.WithSwitching(s.switching()), shelly.WithChannel(s.Channel)}
	if s.Password != "" {
		opts = append(opts, shelly.WithPassword(s.User, s.Password))
	}
	return shelly.New(s.Address, opts...)
}

type tasmotaSettings struct {
	switchingFields
	Address   string `yaml:"address"`
	Broker    string `yaml:"broker"`
	Topic     string `yaml:"topic"`
	FullTopic string `yaml:"full_topic"`
	Relay     int    `yaml:"relay" in:"1..32"`
	User      string `yaml:"user"`
	Password  string `yaml:"password"`
	CACert    string `yaml:"cacert"`
}

func newTasmota(s tasmotaSettings) (power.Controller, error) {
	opts := []tasmota.Option{tasmota.WithSwitching(s.switching())}
	if s.User != "" {
		opts = append(opts, tasmota.WithLogin(s.User, s.Password))
	}
	if s.Relay != 0 {
		opts = append(opts, tasmota.WithRelay(s.Relay))
	}
	if s.FullTopic != "" {
		opts = append(opts, tasmota.WithFullTopic(s.FullTopic))
	}
	if s.CACert != "" {
		pem, err := os.ReadFile(s.CACert)
		if err != nil {
			return nil, fmt.Errorf("cacert: %w", err)
		}
		opts = append(opts, tasmota.WithCA(pem))
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
	switchingFields
	Hub         string `yaml:"hub"`
	Port        int    `yaml:"port" in:"1..255"`
	WithoutPeer bool   `yaml:"without_peer"`
}

func newUSBHub(s usbHubSettings) (power.Controller, error) {
	opts := []usbhub.Option{usbhub.WithSwitching(s.switching())}
	if s.WithoutPeer {
		opts = append(opts, usbhub.WithoutPeer())
	}
	return usbhub.New(s.Hub, s.Port, opts...)
}

type ykushSettings struct {
	switchingFields
	Serial string `yaml:"serial"`
	Port   string `yaml:"port"`
}

func newYkush(s ykushSettings) (power.Controller, error) {
	if err := required("port", s.Port); err != nil {
		return nil, err
	}
	port, err := ykushPort(s.Port)
	if err != nil {
		return nil, err
	}
	return ykush.New(s.Serial, port, ykush.WithSwitching(s.switching()))
}

func ykushPort(text string) (int, error) {
	if text == "all" {
		return ykush.AllPorts, nil
	}
	port, err := strconv.Atoi(text)
	if err != nil || port == ykush.AllPorts {
		return 0, fmt.Errorf("port: %q is neither a number from 1 to 3 nor all", text)
	}
	return port, nil
}
