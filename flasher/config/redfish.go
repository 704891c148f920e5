package config

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/redfish"
)

type redfishSettings struct {
	switchingFields
	Address     string        `yaml:"address"`
	System      string        `yaml:"system"`
	User        string        `yaml:"user"`
	Password    string        `yaml:"password"`
	Session     bool          `yaml:"session"`
	Graceful    time.Duration `yaml:"graceful" in:"0s.."`
	PowerCycle  bool          `yaml:"power_cycle"`
	CACert      string        `yaml:"cacert"`
	InsecureTLS bool          `yaml:"insecure_tls"`
}

func newRedfish(s redfishSettings) (power.Controller, error) {
	opts := []redfish.Option{redfish.WithSwitching(s.switching()), redfish.WithSystem(s.System)}
	switch {
	case s.Session:
		opts = append(opts, redfish.WithSession(s.User, s.Password))
	case s.User != "":
		opts = append(opts, redfish.WithLogin(s.User, s.Password))
	case s.Password != "":
		return nil, errors.New("it has a password and no user")
	}
	if s.Graceful != 0 {
		opts = append(opts, redfish.WithGracefulShutdown(s.Graceful))
	}
	if s.PowerCycle {
		opts = append(opts, redfish.WithPowerCycle())
	}
	if s.CACert != "" {
		pem, err := os.ReadFile(s.CACert)
		if err != nil {
			return nil, fmt.Errorf("cacert: %w", err)
		}
		opts = append(opts, redfish.WithCA(pem))
	}
	if s.InsecureTLS {
		opts = append(opts, redfish.WithInsecureTLS())
	}
	return redfish.New(s.Address, opts...)
}
