package config

import (
	"errors"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/ipmi"
)

type ipmiSettings struct {
	switchingFields
	Address     string        `yaml:"address"`
	User        string        `yaml:"user"`
	Password    string        `yaml:"password"`
	Operator    bool          `yaml:"operator"`
	CipherSuite int           `yaml:"cipher_suite" in:"1..17"`
	Graceful    time.Duration `yaml:"graceful" in:"0s.."`
	PowerCycle  bool          `yaml:"power_cycle"`
}

func newIPMI(s ipmiSettings) (power.Controller, error) {
	opts := []ipmi.Option{ipmi.WithSwitching(s.switching())}
	switch {
	case s.User != "":
		opts = append(opts, ipmi.WithLogin(s.User, s.Password))
	case s.Password != "":
		return nil, errors.New("it has a password and no user")
	}
	if s.Operator {
		opts = append(opts, ipmi.WithOperator())
	}
	if s.CipherSuite != 0 {
		opts = append(opts, ipmi.WithCipherSuite(s.CipherSuite))
	}
	if s.Graceful != 0 {
		opts = append(opts, ipmi.WithGracefulShutdown(s.Graceful))
	}
	if s.PowerCycle {
		opts = append(opts, ipmi.WithPowerCycle())
	}
	return ipmi.New(s.Address, opts...)
}
